//! The hot path: the value is there.

use super::{grouped, CALL};
use crate::peers::*;
use crate::rounds::{time, time_once, Scenario};
use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

/// The spread of a row of the hot path up to which its figures may be committed.
pub const HOT_SPREAD: f64 = 0.1;

pub fn scenarios() -> Vec<Scenario> {
    all().into_iter().map(|scenario| scenario.most_spread(HOT_SPREAD)).collect()
}

fn all() -> Vec<Scenario> {
    let mut all = Vec::new();

    let mut loops = Scenario::new("hot/static/loop", "a static, in a loop", 1).reason(CALL);
    let mut calls =
        Scenario::new("hot/static/call", "a static, each access in a call of its own", 1)
            .reason(CALL);
    for fixed in statics() {
        loops.row(fixed.name, move |iterations| time_once(|| (fixed.loop_)(iterations)));
        calls.row(fixed.name, move |iterations| time_once(|| (fixed.calls)(iterations)));
    }
    all.push(loops);
    all.push(calls);

    let mut loops =
        Scenario::new("hot/object/loop", "through an object, in a loop", 1).reason(CALL);
    let mut calls =
        Scenario::new("hot/object/call", "through an object, each access in a call of its own", 1)
            .reason(CALL);
    each_kind!(Set => {
        if <Set as Objects>::NAME != RAW {
            let set = Arc::new(Set::create(1));
            set.use_all();
            let again = set.clone();
            loops.row(Set::NAME, move |iterations| time_once(|| set.use_first(iterations)));
            calls.row(Set::NAME, move |iterations| time(iterations, || {
                black_box(black_box(&*again).call_first());
            }));
        }
    });
    raw_object(&mut loops, &mut calls);
    all.push(loops);
    all.push(calls);

    for count in [1_000, 100_000] {
        let mut scenario = Scenario::new(
            format!("hot/{count}"),
            format!("{} objects, one after another", grouped(count)),
            count,
        )
        .reason(CALL);
        if count > 10_000 {
            // The caches are shared with the machine's other guests: a turn of many passes has their mean.
            scenario = scenario.rounds(51, Duration::from_millis(30));
        }
        each_kind!(Set => if <Set as Objects>::fits(count) {
            if <Set as Objects>::MAX.is_none() {
                // Made when it is first measured, and kept: its pages and caches are its own business.
                let mut set = None;
                scenario.row(Set::NAME, move |iterations| {
                    let set = set.get_or_insert_with(|| {
                        let set = Set::create(count);
                        set.use_all();
                        set
                    });
                    set.use_all();
                    time(iterations, || set.use_all())
                });
            } else {
                // Two rows cannot both have 1,000 keys: each makes them for its turn, outside of the time.
                scenario.row(Set::NAME, move |iterations| {
                    let set = Set::create(count);
                    set.use_all();
                    time(iterations, || set.use_all())
                });
            }
        });
        all.push(scenario);
    }
    all
}

/// The raw key without so much as a null check: the bar for an object.
fn raw_object(loops: &mut Scenario, calls: &mut Scenario) {
    #[inline(never)]
    fn use_first(key: &RawKey, iterations: u64) {
        for _ in 0..iterations {
            // SAFETY: both rows make the value first.
            black_box(unsafe { key.read_unchecked() });
        }
    }
    #[inline(never)]
    fn call_first(key: &RawKey) -> u64 {
        // SAFETY: both rows make the value first.
        unsafe { key.read_unchecked() }
    }
    let key = Arc::new(RawKey::new());
    key.read();
    let again = key.clone();
    loops.row(RAW, move |iterations| time_once(|| use_first(black_box(&key), iterations)));
    calls.row(RAW, move |iterations| {
        time(iterations, || {
            black_box(call_first(black_box(&again)));
        })
    });
}
