//! All rows side by side: `cargo bench`. See `options` for the arguments.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use os_thread_local_benches::machine::{self, Watch};
use os_thread_local_benches::options::{Options, HELP};
use os_thread_local_benches::processes;
use os_thread_local_benches::report::{self, Run};
use os_thread_local_benches::rounds::{Effort, Scenario, Settings};
use os_thread_local_benches::{floors, growth, scenarios};
use std::path::PathBuf;
use std::process::ExitCode;

fn main() -> ExitCode {
    let options = match Options::from_environment() {
        Ok(options) => options,
        Err(message) => {
            eprintln!("error: {message}\n\n{HELP}");
            return ExitCode::FAILURE;
        }
    };
    if options.help {
        print!("{HELP}");
        return ExitCode::SUCCESS;
    }

    if let Some(divisor) = options.growth {
        print!("{}", growth::tables(divisor));
        return ExitCode::SUCCESS;
    }

    // Other threads may wait for one that panics.
    let print = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        print(info);
        std::process::exit(101);
    }));

    let mut scenarios = scenarios::all();
    if options.floors() {
        for scenario in &mut scenarios {
            let id = scenario.id.clone();
            scenario.rows.retain(|row| floors::compares(&id, row.peer));
        }
        scenarios.retain(|scenario| !scenario.rows.is_empty());
    }
    if let Some((id, rounds)) = &options.samples {
        scenarios.retain(|scenario| scenario.id == *id);
        for scenario in &mut scenarios {
            scenario.measure_here(&options.settings(), *rounds, || ());
            scenario
                .rows
                .iter()
                .for_each(|row| print!("{}", processes::line(row.peer, &row.samples)));
        }
        return ExitCode::SUCCESS;
    }
    scenarios.retain(|scenario| options.selects(&scenario.id));
    let grows = !options.floors() && options.selects(GROWTH);
    if options.list {
        scenarios.iter().for_each(|scenario| println!("{:40} {}", scenario.id, scenario.title));
        if grows {
            println!("{GROWTH:40} tables of what grows with the number of objects or of threads");
        }
        return ExitCode::SUCCESS;
    }
    if scenarios.is_empty() && !grows {
        eprintln!("error: no scenario has such an id; `--list` prints the ids");
        return ExitCode::FAILURE;
    }

    let watch = Watch::new();
    measure(&mut scenarios, &options.settings());
    let load = watch.load();
    let growth = if grows {
        let divisor = if options.effort == Effort::Full { 1 } else { 100 };
        growth::tables_in_new_process(divisor).expect("the program can be run again")
    } else {
        String::new()
    };
    let run = Run { scenarios, growth, machine: machine::describe(), seed: options.seed, load };
    if options.floors() {
        print!("{}", report::floors(&run.scenarios));
    } else {
        print!("{}\n{}", report::rows(&run.scenarios), run.growth);
    }
    println!("\n{}", run.provenance());
    write(&options, &run)
}

/// The id of what is not measured in rounds.
const GROWTH: &str = "growth";

/// Writes what the options ask for.
fn write(options: &Options, run: &Run) -> ExitCode {
    let root = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."));
    let (folder, readme) = match &options.out {
        _ if !options.complete() => return ExitCode::SUCCESS,
        Some(folder) => (folder.clone(), folder.join("README.md")),
        None if options.write => (root.join("docs"), root.join("README.md")),
        None => return ExitCode::SUCCESS,
    };
    if let (None, false, Some(objection)) = (&options.out, options.busy, run.objection()) {
        eprintln!("error: nothing written: {objection} With --busy it is, and the pages say so.");
        return ExitCode::FAILURE;
    }
    run.write(&folder, &readme).expect("the files can be written");
    println!(
        "written: BENCHMARKS.md and COUNTERS.md with their charts in {}, {}",
        folder.display(),
        readme.display()
    );
    ExitCode::SUCCESS
}

fn measure(scenarios: &mut [Scenario], settings: &Settings) {
    let weight = |scenario: &Scenario| {
        let (turns, chunk) = scenario.turns(settings.effort);
        turns * chunk.as_millis() as u64
    };
    // Drawn between turns by this thread, and rarely: no other thread is to run beside what is measured.
    let bar = ProgressBar::with_draw_target(
        Some(scenarios.iter().map(weight).sum()),
        ProgressDrawTarget::stderr_with_hz(2),
    );
    bar.set_style(
        ProgressStyle::with_template("{bar:30} {percent:>3} %, {eta} left, {wide_msg}")
            .expect("the template is valid"),
    );
    for scenario in scenarios {
        bar.set_message(scenario.title.clone());
        let (_, chunk) = scenario.turns(settings.effort);
        scenario.measure(settings, || bar.inc(chunk.as_millis() as u64));
    }
    bar.finish_and_clear();
}
