//! The first use of the crate in a process, by two threads at once. Alone in its program: other models begin after the first use.

mod common;

use common::*;

#[test]
fn two_threads_create_the_root() {
    Model { first_use: true, preemptions: 1, ..Model::new("") }.run(|| {
        let (first, second) = (object::<Dropped<0>>(), object::<Dropped<0>>());
        let other = {
            let (first, second) = (first.clone(), second.clone());
            spawn(move || {
                first.with(|_| ());
                second.with(|v| assert_eq!(v.what(), 1));
            })
        };
        first.with(|_| ());
        second.with(|v| assert_eq!(v.what(), 1));
        other.join().unwrap();
    });
}
