//! Measuring in rounds: every round runs every row of a scenario once, each time starting with another one, so that a
//! machine that is busy for a while is busy for all of them, and the ratios of one run mean something.

use std::time::{Duration, Instant};

/// One peer in one scenario.
pub struct Row {
    pub peer: &'static str,
    run: Box<dyn FnMut(u64) -> Duration>,
    iterations: u64,
    /// Nanoseconds per operation, one per round.
    pub samples: Vec<f64>,
}

impl Row {
    /// The quickest round: what the code costs when nobody disturbs it.
    pub fn best(&self) -> f64 {
        self.samples.iter().copied().fold(f64::INFINITY, f64::min)
    }

    pub fn median(&self) -> f64 {
        let mut sorted = self.samples.clone();
        sorted.sort_by(f64::total_cmp);
        sorted[sorted.len() / 2]
    }
}

/// Rows that are measured side by side.
pub struct Scenario {
    pub id: String,
    /// What one operation is, for the table.
    pub title: String,
    /// Whether the median says more than the best: threads compete, or a peer leaks and its best round is the one that finds
    /// memory which others gave back.
    pub by_median: bool,
    /// Why a peer that leaves something out may be quicker.
    pub reason: &'static str,
    pub rows: Vec<Row>,
    operations: f64,
    rounds: usize,
    chunk: Duration,
}

/// How long to measure.
#[derive(Clone, Copy, PartialEq)]
pub enum Effort {
    /// Every row once: proves that it runs.
    Smoke,
    /// Enough for a number.
    Full,
}

impl Scenario {
    /// `operations`: how many operations one iteration of a row does.
    pub fn new(id: impl Into<String>, title: impl Into<String>, operations: usize) -> Scenario {
        Scenario {
            id: id.into(),
            title: title.into(),
            by_median: false,
            reason: "",
            rows: Vec::new(),
            operations: operations as f64,
            rounds: 150,
            chunk: Duration::from_millis(3),
        }
    }

    pub fn rounds(mut self, rounds: usize, chunk: Duration) -> Scenario {
        self.rounds = rounds;
        self.chunk = chunk;
        self
    }

    pub fn by_median(mut self) -> Scenario {
        self.by_median = true;
        self
    }

    pub fn reason(mut self, reason: &'static str) -> Scenario {
        self.reason = reason;
        self
    }

    /// Adds a row whose closure does so many iterations and says how long they took; what it does outside of that
    /// time is not counted.
    pub fn row(&mut self, peer: &'static str, run: impl FnMut(u64) -> Duration + 'static) {
        self.rows.push(Row { peer, run: Box::new(run), iterations: 1, samples: Vec::new() });
    }

    /// Measures all rows, unless that was done already.
    pub fn measure(&mut self, effort: Effort) {
        if self.rows.iter().any(|row| !row.samples.is_empty()) {
            return;
        }
        if effort == Effort::Smoke {
            self.rounds = 1;
        } else {
            for row in &mut self.rows {
                row.calibrate(self.chunk);
            }
        }
        let count = self.rows.len();
        for round in 0..self.rounds {
            for index in 0..count {
                let row = &mut self.rows[(round + index) % count];
                let time = (row.run)(row.iterations);
                row.samples
                    .push(time.as_nanos() as f64 / (row.iterations as f64 * self.operations));
            }
        }
    }

    pub fn rounds_wanted(&self) -> usize {
        self.rounds
    }

    /// Lets go of what the rows hold, objects and values; the numbers stay.
    pub fn finish(mut self) -> Scenario {
        for row in &mut self.rows {
            row.run = Box::new(|_| unreachable!("a finished scenario is not measured"));
        }
        self
    }

    pub fn find(&self, peer: &str) -> Option<&Row> {
        self.rows.iter().find(|row| row.peer == peer)
    }

    /// The number that stands for a row.
    pub fn figure(&self, peer: &str) -> Option<f64> {
        let row = self.find(peer)?;
        Some(if self.by_median { row.median() } else { row.best() })
    }
}

impl Row {
    /// Doubles the iterations until a run takes as long as it should.
    fn calibrate(&mut self, chunk: Duration) {
        loop {
            let begin = Instant::now();
            (self.run)(self.iterations);
            // The whole of it, preparation included, or a row with a long preparation would take forever.
            if begin.elapsed() >= chunk / 2 {
                return;
            }
            self.iterations *= 2;
        }
    }
}

/// Runs `body` so often and says how long it took.
#[inline(always)]
pub fn time(iterations: u64, mut body: impl FnMut()) -> Duration {
    let begin = Instant::now();
    for _ in 0..iterations {
        body();
    }
    begin.elapsed()
}
