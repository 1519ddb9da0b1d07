//! Each thread counts words in its own map, without a lock. At the end the maps are merged.
//!
//! Run it with `cargo run --example word_counts`.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::thread;

use os_thread_local::PerThread;

const TEXT: &str = "\
a bird in the hand is worth two in the bush
the early bird catches the worm
the worm in the bush is not the worm in the hand
birds of a feather flock together
a bird in two bushes is two birds";

fn main() {
    let lines: Vec<&str> = TEXT.lines().collect();

    // The maps belong to this object, which is dropped in this function, so their keys can borrow from the text.
    let counts: PerThread<RefCell<BTreeMap<&str, usize>>> = PerThread::default();
    let next_line = AtomicUsize::new(0);

    thread::scope(|s| {
        for _ in 0..4 {
            s.spawn(|| {
                while let Some(line) = lines.get(next_line.fetch_add(1, Relaxed)) {
                    counts.with_borrow_mut(|map| {
                        for word in line.split_whitespace() {
                            *map.entry(word).or_default() += 1;
                        }
                    });
                }
            });
        }
    });

    // The threads have ended. The object is consumed, and gives up the maps.
    let merged =
        counts.into_iter().map(RefCell::into_inner).fold(BTreeMap::new(), |mut all, map| {
            for (word, count) in map {
                *all.entry(word).or_default() += count;
            }
            all
        });

    let mut by_count: Vec<(&str, usize)> = merged.into_iter().collect();
    by_count.sort_by_key(|&(word, count)| (std::cmp::Reverse(count), word));
    for (word, count) in by_count.iter().take(5) {
        println!("{count} x {word}");
    }
    let words: usize = by_count.iter().map(|(_, count)| count).sum();
    assert_eq!(words, TEXT.split_whitespace().count());
    println!("{words} words in all");
}
