//! Measuring in rounds: every round runs every row of a scenario once, in an order of its own (see `order`). A machine that is busy for a
//! while is busy for all rows, and the ratio of two rows within one round means something.
//!
//! A scenario is measured on one processor (see `pin`), unless its rows run threads beside each other.
//!
//! A round in which the processor runs at another speed than in most is measured again: a virtual processor's speed can change by a half,
//! for a second or for minutes, with what its neighbours do.

use crate::clock::thread_time;
use crate::order::{seed_of, Orders};
use crate::pin::Pinned;
use crate::processes::samples_in_new_process;
use crate::stats::Quartiles;
use std::hint::black_box;
use std::time::{Duration, Instant};

type Run = Box<dyn FnMut(u64) -> f64>;

/// One peer in one scenario.
pub struct Row {
    pub peer: &'static str,
    run: Run,
    iterations: u64,
    /// Nanoseconds per operation, one per round.
    pub samples: Vec<f64>,
}

impl Row {
    pub fn quartiles(&self) -> Option<Quartiles> {
        Quartiles::of(self.samples.iter().copied())
    }
}

/// Rows that are measured side by side.
pub struct Scenario {
    pub id: String,
    /// What one operation is, for the table.
    pub title: String,
    /// Why a peer that leaves something out may be faster.
    pub reason: &'static str,
    pub rows: Vec<Row>,
    operations: f64,
    rounds: usize,
    chunk: Duration,
    /// If a row's quartiles are further apart, as a part of its median, the scenario is measured again.
    most_spread: f64,
    /// In how many processes the rounds are measured, if not in this one.
    processes: Option<usize>,
    /// Whether more iterations make a turn longer.
    calibrated: bool,
    /// Whether all of it runs on one processor.
    pinned: bool,
    /// How many rounds were measured again.
    pub repeated: usize,
}

/// How often a scenario is measured at most, if its rows spread too far.
const MEASUREMENTS: usize = 20;
/// A measurement makes at most this many times as many rounds as it needs.
const ATTEMPTS: usize = 10;
/// After this many times as many, half of the rounds at one speed are enough.
const ATTEMPTS_FOR_HALF: usize = 3;
/// By what part of it a round's reading of the processor's speed may differ from the usual one.
const SPEED_TOLERANCE: f64 = 0.04;

/// How long to measure.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Effort {
    /// Every row once: proves that it runs.
    Smoke,
    /// A quarter of the rounds: enough to see a factor.
    Quick,
    /// Enough for a committed figure.
    Full,
}

/// How to measure.
#[derive(Clone, Copy)]
pub struct Settings {
    pub effort: Effort,
    /// Decides over the order of the rows.
    pub seed: u64,
    /// Only the rows that the floors compare; and no scenario takes more than twice its planned time, however restless the machine is.
    pub floors: bool,
}

impl Scenario {
    /// `operations`: how many operations one iteration of a row does.
    pub fn new(id: impl Into<String>, title: impl Into<String>, operations: usize) -> Scenario {
        Scenario {
            id: id.into(),
            title: title.into(),
            reason: "",
            rows: Vec::new(),
            operations: operations as f64,
            rounds: 101,
            chunk: Duration::from_millis(3),
            most_spread: f64::INFINITY,
            processes: None,
            calibrated: true,
            pinned: true,
            repeated: 0,
        }
    }

    /// How many rounds, and how long one row's turn in a round is to take.
    pub fn rounds(mut self, rounds: usize, chunk: Duration) -> Scenario {
        self.rounds = rounds;
        self.chunk = chunk;
        self
    }

    /// Measures the scenario again, up to `MEASUREMENTS` times, if a row's quartiles are further apart than this part of its median.
    pub fn most_spread(mut self, spread: f64) -> Scenario {
        self.most_spread = spread;
        self
    }

    /// Measures a part of the rounds in each of so many processes: see `processes`.
    pub fn processes(mut self, processes: usize) -> Scenario {
        self.processes = Some(processes);
        self
    }

    /// Every turn takes the same time, whatever its iterations: doubling them until it takes longer would not end before they are 0.
    pub fn uncalibrated(mut self) -> Scenario {
        self.calibrated = false;
        self
    }

    /// The rows run threads beside each other, which need all processors.
    pub fn unpinned(mut self) -> Scenario {
        self.pinned = false;
        self
    }

    pub fn reason(mut self, reason: &'static str) -> Scenario {
        self.reason = reason;
        self
    }

    /// Adds a row whose closure does so many iterations and returns how long they took, in nanoseconds. What it does
    /// outside of that time is not counted.
    pub fn row(&mut self, peer: &'static str, run: impl FnMut(u64) -> f64 + 'static) {
        self.rows.push(Row { peer, run: Box::new(run), iterations: 1, samples: Vec::new() });
    }

    fn rounds_of(&self, effort: Effort) -> usize {
        match effort {
            Effort::Smoke => 1,
            Effort::Quick => (self.rounds / 4).max(5),
            Effort::Full => self.rounds,
        }
    }

    /// How many turns `measure` takes, and the weight of one: the time that it should take.
    pub fn turns(&self, effort: Effort) -> (u64, Duration) {
        ((self.rounds_of(effort) * self.rows.len()) as u64, self.chunk)
    }

    /// Measures all rows. Calls `turn` after each of the turns that were planned, not after those of rounds that are measured again.
    pub fn measure(&mut self, settings: &Settings, turn: impl FnMut()) {
        let rounds = self.rounds_of(settings.effort);
        match self.processes {
            Some(processes) if settings.effort != Effort::Smoke => self
                .measure_elsewhere(settings, processes.min(rounds), rounds, turn)
                .expect("the program can be run again"),
            _ => {
                let seed = seed_of(settings.seed, &self.id, 0);
                self.measure_here(&Settings { seed, ..*settings }, rounds, turn);
            }
        }
    }

    fn measure_elsewhere(
        &mut self,
        settings: &Settings,
        processes: usize,
        rounds: usize,
        mut turn: impl FnMut(),
    ) -> std::io::Result<()> {
        for process in 0..processes {
            let rounds = rounds * (process + 1) / processes - rounds * process / processes;
            let seed = seed_of(settings.seed, &self.id, process);
            let settings = Settings { seed, ..*settings };
            for (peer, samples) in samples_in_new_process(&self.id, rounds, &settings)? {
                if let Some(row) = self.rows.iter_mut().find(|row| row.peer == peer) {
                    row.samples.extend(samples);
                }
            }
            (0..rounds * self.rows.len()).for_each(|_| turn());
        }
        Ok(())
    }

    /// Measures so many rounds of all rows in this process. The seed is the scenario's own.
    pub fn measure_here(&mut self, settings: &Settings, wanted: usize, mut turn: impl FnMut()) {
        let _pinned = self.pinned.then(Pinned::new);
        if settings.effort != Effort::Smoke && self.calibrated {
            for row in &mut self.rows {
                row.calibrate(self.chunk);
            }
        }
        let planned = self.chunk * (wanted * self.rows.len()) as u32;
        let end = settings.floors.then(|| Instant::now() + planned * 2);
        let mut orders = Orders::new(settings.seed, self.rows.len());
        let mut made = 0;
        for measurement in 1..=MEASUREMENTS {
            let mut turn = || {
                if measurement == 1 {
                    turn();
                }
            };
            made += self.measure_once(wanted, end, &mut orders, &mut turn);
            if self.largest_spread() < self.most_spread || settings.effort == Effort::Smoke {
                break;
            }
            // What is left must be enough for another measurement.
            if end.is_some_and(|end| Instant::now() + planned > end) {
                break;
            }
        }
        self.repeated = made.saturating_sub(wanted);
        // The closures hold the objects of the scenario, and those are not to be in the way of the next.
        for row in &mut self.rows {
            row.run = Box::new(|_| unreachable!("a measured scenario is not measured again"));
        }
    }

    /// The spread of the row that has the largest.
    fn largest_spread(&self) -> f64 {
        self.rows.iter().filter_map(Row::quartiles).map(|row| row.spread()).fold(0.0, f64::max)
    }

    /// Measures so many rounds at one speed, or what there are at `end`, and returns how many it made. Calls `turn` after each turn of the
    /// planned rounds.
    fn measure_once(
        &mut self,
        wanted: usize,
        end: Option<Instant>,
        orders: &mut Orders,
        mut turn: impl FnMut(),
    ) -> usize {
        self.rows.iter_mut().for_each(|row| row.samples.clear());
        let mut speeds = Vec::new();
        let at_usual_speed = loop {
            let round = speeds.len();
            let mut readings = vec![processor_time_of_a_fixed_loop()];
            for index in orders.next_round() {
                let row = &mut self.rows[index];
                let time = (row.run)(row.iterations);
                row.samples.push(time / (row.iterations as f64 * self.operations));
                readings.push(processor_time_of_a_fixed_loop());
                if round < wanted {
                    turn();
                }
            }
            speeds.push(Quartiles::of(readings).expect("there are two or more"));
            let kept = usual(&speeds);
            if kept.len() >= wanted {
                break kept;
            }
            if speeds.len() >= ATTEMPTS_FOR_HALF * wanted && kept.len() * 2 >= wanted {
                break kept;
            }
            if speeds.len() == ATTEMPTS * wanted || end.is_some_and(|end| Instant::now() > end) {
                // Few of very many would look exact: the machine is too restless to choose.
                break if kept.len() * 2 >= speeds.len() {
                    kept
                } else {
                    (0..speeds.len()).collect()
                };
            }
        };
        for row in &mut self.rows {
            row.samples = at_usual_speed.iter().map(|round| row.samples[*round]).collect();
        }
        speeds.len()
    }

    pub fn find(&self, peer: &str) -> Option<&Row> {
        self.rows.iter().find(|row| row.peer == peer)
    }

    /// The figure of a row that was measured.
    pub fn figure(&self, peer: &str) -> Option<Quartiles> {
        self.find(peer)?.quartiles()
    }

    /// What `this` needs in units of what `peer` needs: the quartiles of the ratio in each round.
    ///
    /// A difference of two times that is not positive is noise. The peer's makes an infinite ratio, so that no target is met by noise; if
    /// the median is infinite, the run has not measured the ratio.
    pub fn ratio(&self, this: &str, peer: &str) -> Option<Quartiles> {
        let (this, peer) = (self.find(this)?, self.find(peer)?);
        let ratio = |(this, peer): (&f64, &f64)| match *peer > 0.0 {
            true => this.max(0.0) / peer,
            false => f64::INFINITY,
        };
        Quartiles::of(this.samples.iter().zip(&peer.samples).map(ratio))
    }
}

impl Row {
    /// Doubles the iterations until a turn takes as long as it should.
    fn calibrate(&mut self, chunk: Duration) {
        // The whole of it, preparation included, or a row with a long preparation would take forever.
        let long_enough = |row: &mut Row| {
            let begin = Instant::now();
            (row.run)(row.iterations);
            begin.elapsed() >= chunk / 2
        };
        // More than once: a thread that was preempted took long, too, and two iterations would measure the clock.
        while !(0..3).all(|_| long_enough(self)) {
            self.iterations *= 2;
        }
    }
}

/// Calls and loads that the processor can overlap, as in the hot rows: their time depends on its clock, and on what another hardware thread
/// of the same core leaves.
fn processor_time_of_a_fixed_loop() -> f64 {
    #[inline(never)]
    fn step(words: &[u64; 64], n: usize) -> u64 {
        words[n % 64]
    }
    let (words, step) = (black_box([1; 64]), black_box(step as fn(&[u64; 64], usize) -> u64));
    time_once(|| {
        let mut sum = 0;
        for n in 0..20_000 {
            sum += step(&words, n);
        }
        black_box(sum);
    })
}

/// The rounds at the speed that most rounds have, whose quartiles are both near to it.
fn usual(speeds: &[Quartiles]) -> Vec<usize> {
    let near = |a: f64, b: f64| (a / b - 1.0).abs() <= SPEED_TOLERANCE;
    let like = |usual: f64| -> Vec<usize> {
        let is_like =
            |round: &usize| near(speeds[*round].q1, usual) && near(speeds[*round].q3, usual);
        (0..speeds.len()).filter(is_like).collect()
    };
    speeds.iter().map(|speed| like(speed.median)).max_by_key(Vec::len).unwrap_or_default()
}

/// Runs `body` so often and returns the processor time that it took, in nanoseconds.
#[inline(always)]
pub fn time(iterations: u64, mut body: impl FnMut()) -> f64 {
    time_once(|| {
        for _ in 0..iterations {
            body();
        }
    })
}

/// The processor time of `body`, in nanoseconds: what else the machine does is not in it.
#[inline(always)]
pub fn time_once(body: impl FnOnce()) -> f64 {
    let begin = thread_time();
    body();
    thread_time() - begin
}
