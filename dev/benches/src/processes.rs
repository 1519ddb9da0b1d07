//! Measuring one scenario in several processes.
//!
//! What runs once in a cold cache depends on the addresses at which the system loads the program and places its memory: two copies of the
//! same code differed by 20 % in one process, and the other way round in the next. So the figure of one process is not that of the code.

use crate::rounds::Settings;
use std::io;
use std::process::Command;

/// Measures so many rounds of a scenario in a new process, and returns the samples of each row, by peer.
pub fn samples_in_new_process(
    id: &str,
    rounds: usize,
    settings: &Settings,
) -> io::Result<Vec<(String, Vec<f64>)>> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args(["--samples", id, &rounds.to_string(), "--seed", &settings.seed.to_string()]);
    if settings.floors {
        command.arg("floors");
    }
    let output = command.output()?;
    if !output.status.success() {
        return Err(io::Error::other(String::from_utf8_lossy(&output.stderr)));
    }
    let text = String::from_utf8(output.stdout).map_err(io::Error::other)?;
    text.lines().map(parse).collect::<Option<_>>().ok_or_else(|| io::Error::other(text.clone()))
}

/// What that process prints of a row.
pub fn line(peer: &str, samples: &[f64]) -> String {
    let samples: Vec<_> = samples.iter().map(f64::to_string).collect();
    format!("{peer}\t{}\n", samples.join("\t"))
}

fn parse(line: &str) -> Option<(String, Vec<f64>)> {
    let (peer, samples) = line.split_once('\t')?;
    let samples = samples.split('\t').map(|sample| sample.parse().ok()).collect::<Option<_>>()?;
    Some((peer.to_string(), samples))
}
