//! What the figures were measured on, and what else it did meanwhile.

use crate::clock::process_time_with_children;
use std::fmt;

/// The processor, the system and the compiler.
pub fn describe() -> String {
    let output = |command: &str, args: &[&str]| {
        let output = std::process::Command::new(command).args(args).output().ok()?;
        let text = String::from_utf8_lossy(&output.stdout);
        Some(text.lines().next()?.trim().to_owned())
    };
    let processor = std::fs::read_to_string("/proc/cpuinfo").ok().and_then(|text| {
        let line = text.lines().find(|line| line.starts_with("model name"))?;
        Some(line.split_once(':')?.1.trim().to_owned())
    });
    let parts = [
        processor,
        std::thread::available_parallelism().ok().map(|n| format!("{n} hardware threads")),
        output("uname", &["-srm"]),
        output("getconf", &["GNU_LIBC_VERSION"]),
        output("rustc", &["--version"]),
    ];
    parts.into_iter().flatten().collect::<Vec<_>>().join(", ")
}

/// Ticks of all processors since the system started, from `/proc/stat`.
#[derive(Clone, Copy)]
struct Ticks {
    all: f64,
    idle: f64,
    stolen: f64,
}

impl Ticks {
    fn now() -> Option<Ticks> {
        let text = std::fs::read_to_string("/proc/stat").ok()?;
        let fields: Vec<f64> = text
            .lines()
            .next()?
            .strip_prefix("cpu ")?
            .split_whitespace()
            .map_while(|field| field.parse().ok())
            .collect();
        // user, nice, system, idle, iowait, irq, softirq, steal; what follows is in the first two already.
        let fields = fields.get(..8)?;
        Some(Ticks { all: fields.iter().sum(), idle: fields[3] + fields[4], stolen: fields[7] })
    }
}

/// Watches how much of the processors others use, from its creation until `load`.
pub struct Watch {
    ticks: Option<Ticks>,
    own: f64,
}

impl Watch {
    #[allow(clippy::new_without_default)] // it begins to watch
    pub fn new() -> Watch {
        Watch { ticks: Ticks::now(), own: process_time_with_children() }
    }

    pub fn load(&self) -> Load {
        Load(self.ticks.zip(Ticks::now()).map(|(before, now)| {
            let all = now.all - before.all;
            let busy = all - (now.idle - before.idle) - (now.stolen - before.stolen);
            // SAFETY: the call only reads its argument.
            let per_second = unsafe { libc::sysconf(libc::_SC_CLK_TCK) } as f64;
            let own = (process_time_with_children() - self.own) / 1e9 * per_second;
            Shares {
                others: ((busy - own) / all).max(0.0),
                stolen: (now.stolen - before.stolen) / all,
            }
        }))
    }
}

#[derive(Clone, Copy)]
struct Shares {
    others: f64,
    stolen: f64,
}

/// What others used of the processors while something was measured.
#[derive(Clone, Copy)]
pub struct Load(Option<Shares>);

/// The part of the processors up to which a machine is quiet: its own services use about one percent.
const QUIET: f64 = 0.03;

impl Load {
    pub fn quiet(&self) -> bool {
        self.0.is_some_and(|shares| shares.others + shares.stolen <= QUIET)
    }
}

impl fmt::Display for Load {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(shares) = self.0 else {
            return f.write_str("The system does not say what else it did meanwhile.");
        };
        write!(
            f,
            "The machine was {}: other programs used {:.1} % of the processors' time, the hypervisor took {:.1} %.",
            if self.quiet() { "quiet" } else { "busy" },
            shares.others * 100.0,
            shares.stolen * 100.0,
        )
    }
}
