//! What was aimed at: how many times a peer's figure one of ours may be at most.

use crate::peers::{ALONE, ANCESTOR, DIRECT, OURS, RAW, STD, THREAD_LOCAL};
use crate::rounds::Scenario;
use crate::stats::Quartiles;

/// The row `this` of a scenario takes at most `most` times what the row `peer` takes.
pub struct Floor {
    pub scenario: &'static str,
    pub this: &'static str,
    pub peer: &'static str,
    pub most: f64,
}

const fn floor(scenario: &'static str, this: &'static str, most: f64, peer: &'static str) -> Floor {
    Floor { scenario, this, peer, most }
}

/// Those of the hot path are what it reached before the core was rewritten, rounded up to a twentieth: a cycle more in our
/// row is above each of them. The instruction counts in `instructions/counts` are exact.
pub const FLOORS: &[Floor] = &[
    floor("hot/static/loop", OURS, 1.05, RAW),
    floor("hot/static/loop", OURS, 0.70, ANCESTOR),
    floor("hot/static/loop", DIRECT, 0.85, THREAD_LOCAL),
    floor("hot/static/call", OURS, 1.05, RAW),
    floor("hot/static/call", OURS, 0.80, ANCESTOR),
    floor("hot/static/call", DIRECT, 0.60, THREAD_LOCAL),
    floor("hot/static/call", DIRECT, 0.45, RAW),
    floor("hot/static/call", DIRECT, 1.05, STD),
    floor("hot/object/loop", OURS, 1.05, RAW),
    floor("hot/object/loop", OURS, 0.70, ANCESTOR),
    floor("hot/object/loop", DIRECT, 0.85, THREAD_LOCAL),
    floor("hot/object/call", OURS, 1.05, RAW),
    floor("hot/object/call", OURS, 0.95, ANCESTOR),
    floor("hot/object/call", DIRECT, 0.60, THREAD_LOCAL),
    floor("hot/1000", OURS, 1.00, RAW),
    floor("hot/1000", DIRECT, 1.25, THREAD_LOCAL),
    floor("hot/100000", OURS, 0.35, THREAD_LOCAL),
    floor("first-use/plain/1", OURS, 0.70, THREAD_LOCAL),
    floor("first-use/1", OURS, 1.10, THREAD_LOCAL),
    floor("first-use/1", OURS, 1.50, STD),
    floor("first-use/10", OURS, 1.10, ANCESTOR),
    floor("first-use/1000", OURS, 0.75, ANCESTOR),
    // Objects of which no ended thread has left values: those that only another thread has used, and those that none has.
    floor("first-use/1000", OURS, 0.55, THREAD_LOCAL),
    floor("first-use/fresh/1000", OURS, 0.55, THREAD_LOCAL),
    floor("end/plain/1000", OURS, 0.15, ANCESTOR),
    floor("end/1000", OURS, 0.50, ANCESTOR),
    floor("thread/900", OURS, 0.75, ANCESTOR),
    floor("create-use-drop/1", OURS, 0.60, THREAD_LOCAL),
    floor("create-use-drop/1", OURS, 0.60, ANCESTOR),
    floor("create-use-drop/crowd/4000", OURS, 1.50, ALONE),
    floor("create-use-drop/threads/2", OURS, 0.60, THREAD_LOCAL),
    floor("create-use-drop/threads/8", OURS, 0.60, THREAD_LOCAL),
    floor("create-use-drop/threads/64", OURS, 0.60, THREAD_LOCAL),
    floor("per-thread/create-use-drop/1", OURS, 1.00, THREAD_LOCAL),
    floor("per-thread/create-use-drop/threads/8", OURS, 1.00, THREAD_LOCAL),
    floor("per-thread/inherited/900", OURS, 1.00, THREAD_LOCAL),
];

/// Whether a floor compares this row.
pub fn compares(scenario: &str, peer: &str) -> bool {
    FLOORS
        .iter()
        .any(|floor| floor.scenario == scenario && (floor.this == peer || floor.peer == peer))
}

/// What a run says of a floor.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    Reached,
    /// The floor lies between the quartiles of the ratio.
    WithinSpread,
    NotReached,
}

impl Verdict {
    fn of(ratio: Quartiles, most: f64) -> Verdict {
        // As it is printed, with two digits: 1.10 has reached 1.10.
        let round = |ratio: f64| (ratio * 100.0).round() / 100.0;
        if round(ratio.q3) <= most {
            Verdict::Reached
        } else if round(ratio.q1) <= most {
            Verdict::WithinSpread
        } else {
            Verdict::NotReached
        }
    }

    pub fn word(self) -> &'static str {
        match self {
            Verdict::Reached => "yes",
            Verdict::WithinSpread => "within spread",
            Verdict::NotReached => "no",
        }
    }
}

/// A floor and what was measured.
pub struct Measured<'a> {
    pub floor: &'static Floor,
    pub scenario: &'a Scenario,
    pub this: Quartiles,
    pub peer: Quartiles,
    pub ratio: Quartiles,
    pub verdict: Verdict,
}

/// Every floor whose two rows were measured.
pub fn measured(scenarios: &[Scenario]) -> Vec<Measured<'_>> {
    FLOORS
        .iter()
        .filter_map(|floor| {
            let scenario = scenarios.iter().find(|scenario| scenario.id == floor.scenario)?;
            let ratio = scenario.ratio(floor.this, floor.peer)?;
            Some(Measured {
                floor,
                scenario,
                this: scenario.figure(floor.this)?,
                peer: scenario.figure(floor.peer)?,
                ratio,
                verdict: Verdict::of(ratio, floor.most),
            })
        })
        .collect()
}
