//! The command line.

use crate::rounds::{Effort, Settings};
use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

pub const HELP: &str = "\
cargo bench -- [OPTION...] [FILTER...]

Measures the scenarios whose id contains one of the filters, all without a filter. The filter `floors` measures only the
rows that a performance target compares, within about eight minutes, and prints for each target the ratio, its quartiles
and whether it is met. Filters after it choose among those: `cargo bench -- floors end/`.

  --list          print the ids
  --quick         a quarter of the rounds: enough to see a factor
  --test          every row once: proves that all of them run
  --write         after a complete run: write docs/BENCHMARKS.md, docs/COUNTERS.md, their charts and the README's chart
  --busy          with --write: also if the machine was busy, which the pages say then
  --out FOLDER    the same, into another folder, after a run of any effort

  --seed N        the seed of the rows' order, which a run prints; a new one for each run if it is not given
  --growth N      print only the tables of growth, with 1/N of the objects and threads
  --samples ID N  print only the samples of N rounds of a scenario

Environment: BENCH_OUT is --out, BENCH_SMOKE is --test.
";

pub struct Options {
    pub effort: Effort,
    pub list: bool,
    pub help: bool,
    pub write: bool,
    pub busy: bool,
    pub growth: Option<usize>,
    pub samples: Option<(String, usize)>,
    pub out: Option<PathBuf>,
    pub seed: u64,
    filters: Vec<String>,
}

impl Options {
    pub fn from_environment() -> Result<Options, String> {
        let mut options = Options {
            effort: Effort::Full,
            list: false,
            help: false,
            write: false,
            busy: false,
            growth: None,
            samples: None,
            out: std::env::var_os("BENCH_OUT").map(PathBuf::from),
            seed: SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs()),
            filters: Vec::new(),
        };
        if std::env::var_os("BENCH_SMOKE").is_some() {
            options.effort = Effort::Smoke;
        }
        let mut arguments = std::env::args().skip(1);
        while let Some(argument) = arguments.next() {
            match argument.as_str() {
                "--bench" => {} // cargo's
                "--list" => options.list = true,
                "--help" | "-h" => options.help = true,
                "--quick" => options.effort = Effort::Quick,
                "--test" => options.effort = Effort::Smoke,
                "--write" => options.write = true,
                "--busy" => options.busy = true,
                "--out" => {
                    let folder = arguments.next().ok_or("--out needs a folder")?;
                    options.out = Some(folder.into());
                }
                "--seed" => {
                    let seed = arguments.next().and_then(|text| text.parse().ok());
                    options.seed = seed.ok_or("--seed needs a number")?;
                }
                "--growth" => {
                    let divisor = arguments.next().and_then(|text| text.parse().ok());
                    options.growth = Some(divisor.ok_or("--growth needs a number")?);
                }
                "--samples" => {
                    let id = arguments.next().ok_or("--samples needs an id and a number")?;
                    let rounds = arguments.next().and_then(|text| text.parse().ok());
                    options.samples = Some((id, rounds.ok_or("--samples needs a number")?));
                }
                flag if flag.starts_with('-') => return Err(format!("unknown option {flag}")),
                _ => options.filters.push(argument),
            }
        }
        if options.write && (options.effort != Effort::Full || !options.filters.is_empty()) {
            return Err("--write needs a complete run, without filters".into());
        }
        Ok(options)
    }

    /// Whether only what has a floor is asked for.
    pub fn floors(&self) -> bool {
        self.filters.first().is_some_and(|filter| filter == "floors")
    }

    pub fn settings(&self) -> Settings {
        Settings { effort: self.effort, seed: self.seed, floors: self.floors() }
    }

    pub fn complete(&self) -> bool {
        self.filters.is_empty()
    }

    pub fn selects(&self, id: &str) -> bool {
        let filters = &self.filters[usize::from(self.floors())..];
        filters.is_empty() || filters.iter().any(|filter| id.contains(filter))
    }
}
