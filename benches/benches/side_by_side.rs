//! All rows side by side: `cargo bench`. Scenarios are measured in rounds over their rows (see `rounds`); criterion
//! gets those rounds as its samples, so its statistics, baselines (`--save-baseline`) and filters work as usual.
//!
//! A complete run writes `docs/BENCHMARKS.md`, `docs/benchmarks.svg` and the table in the README; `BENCH_OUT=folder` writes elsewhere.

use criterion::{Criterion, SamplingMode};
use os_thread_local_benches::report;
use os_thread_local_benches::rounds::{Effort, Scenario};
use os_thread_local_benches::scenarios;
use std::path::PathBuf;
use std::time::Duration;

fn main() {
    // What `cargo bench -- --test` and `cargo test` ask for: that everything runs, not how quickly.
    let smoke =
        std::env::args().any(|arg| arg == "--test") || std::env::var_os("BENCH_SMOKE").is_some();
    let effort = if smoke { Effort::Smoke } else { Effort::Full };

    let mut criterion = Criterion::default().configure_from_args().without_plots();
    let mut done = Vec::new();
    let mut complete = true;
    for make in [scenarios::hot, scenarios::cold, scenarios::contended] {
        for mut scenario in make() {
            run(&mut criterion, &mut scenario, effort);
            complete &= scenario.rows.iter().all(|row| !row.samples.is_empty());
            // The closures hold the objects of the scenario: keep the numbers only.
            done.push(scenario.finish());
        }
    }
    criterion.final_summary();

    let folder = std::env::var_os("BENCH_OUT").map(PathBuf::from);
    if complete && (effort == Effort::Full || folder.is_some()) {
        let root = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/.."));
        let (folder, readme) = match folder {
            Some(folder) => (folder.clone(), folder.join("README.md")),
            None => (root.join("docs"), root.join("README.md")),
        };
        report::write(&folder, &readme, &done).expect("the folder can be written");
        println!(
            "written: {0}/BENCHMARKS.md, {0}/benchmarks.svg, {1}",
            folder.display(),
            readme.display()
        );
    } else {
        done.retain(|scenario| scenario.rows.iter().all(|row| !row.samples.is_empty()));
        print!("{}", report::table(&done));
        println!("nothing written: a filtered or a smoke run");
    }
}

/// Hands the rounds of a scenario to criterion, measuring them when it asks for the first.
fn run(criterion: &mut Criterion, scenario: &mut Scenario, effort: Effort) {
    let mut group = criterion.benchmark_group(scenario.id.clone());
    // Criterion is not to measure: the shortest times it accepts, one sample a round.
    group
        .sampling_mode(SamplingMode::Flat)
        .warm_up_time(Duration::from_nanos(1))
        .measurement_time(Duration::from_nanos(1))
        .sample_size(scenario.rounds_wanted().max(10));
    let names: Vec<_> = scenario.rows.iter().map(|row| row.peer).collect();
    for (index, name) in names.into_iter().enumerate() {
        let mut next = 0;
        group.bench_function(name, |bencher| {
            bencher.iter_custom(|iterations| {
                scenario.measure(effort);
                let samples = &scenario.rows[index].samples;
                let sample = samples[next % samples.len()];
                next += 1;
                Duration::from_nanos((sample * iterations as f64).round() as u64)
            });
        });
    }
    group.finish();
}
