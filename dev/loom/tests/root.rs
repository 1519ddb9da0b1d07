//! The first use of the crate in a process, by two threads at once. Alone in its program: other models begin after the first use.

mod common;

use common::*;

#[test]
fn two_threads_create_the_root() {
    Model { first_use: true, one_variant: true, preemptions: 2, ..Model::new("") }.run(|| {
        let object = object::<Dropped<0>>();
        let other = {
            let object = object.clone();
            spawn(move || object.with(|v| assert_eq!(v.what(), 1)))
        };
        object.with(|v| assert_eq!(v.what(), 1));
        other.join().unwrap();
    });
}
