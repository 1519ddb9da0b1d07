//! `PerThread`, whose values belong to the object; so do those of `thread_local`, its peer.

use super::cold::{life_of_thread_row, life_row};
use super::parallel::{lives, lives_row};
use super::{many, objects, OWNED};
use crate::peers::*;
use crate::rounds::Scenario;
use std::time::Duration;

pub fn scenarios() -> Vec<Scenario> {
    vec![create_use_drop(), create_use_drop_in_threads(8), inherited(900)]
}

fn create_use_drop() -> Scenario {
    let title = "`PerThread`: create, use and drop an object";
    let mut scenario = Scenario::new("per-thread/create-use-drop/1", title, 1)
        .reason(OWNED)
        .rounds(40, Duration::from_millis(5));
    each!(Set in [OursPerThread, ThreadLocalCrate] => life_row::<Set>(&mut scenario));
    scenario
}

fn create_use_drop_in_threads(threads: usize) -> Scenario {
    let title = format!(
        "`PerThread`: create, use and drop an object, {} at once, wall time each",
        many(threads)
    );
    let id = format!("per-thread/create-use-drop/threads/{threads}");
    let mut scenario = lives(id, title).reason(OWNED);
    each!(Set in [OursPerThread, ThreadLocalCrate] => {
        lives_row::<Set>(&mut scenario, threads);
    });
    scenario
}

/// The values are there, left by threads that have ended.
fn inherited(count: usize) -> Scenario {
    let title = format!(
        "`PerThread`: a thread that uses {} with values of ended threads, start to join, above an empty thread",
        objects(count)
    );
    let mut scenario = Scenario::new(format!("per-thread/inherited/{count}"), title, 1)
        .reason(OWNED)
        .rounds(40, Duration::from_millis(10));
    each!(Set in [OursPerThread, ThreadLocalCrate] => {
        life_of_thread_row::<Set>(&mut scenario, count);
    });
    scenario
}
