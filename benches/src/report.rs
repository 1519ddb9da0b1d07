//! The report: one Markdown table and one SVG chart.

use crate::peers::{self, ANCESTOR, DIRECT, NOTHING, OURS, RAW, STD, THREAD_LOCAL};
use crate::rounds::Scenario;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};
use std::fmt::Write;
use std::path::Path;

/// Nanoseconds with a unit a person would choose.
pub fn human(nanoseconds: f64) -> String {
    let (number, unit) = match nanoseconds {
        n if n < 1_000.0 => (n, "ns"),
        n if n < 1_000_000.0 => (n / 1e3, "µs"),
        n => (n / 1e6, "ms"),
    };
    match number {
        n if n < 10.0 => format!("{n:.2} {unit}"),
        n if n < 100.0 => format!("{n:.1} {unit}"),
        n => format!("{n:.0} {unit}"),
    }
}

/// The part of a Markdown file between two marks that a program writes; the rest belongs to people.
pub fn replace_section(file: &Path, section: &str, body: &str) -> std::io::Result<()> {
    let (open, close) = (format!("<!-- begin {section} -->"), format!("<!-- end {section} -->"));
    let text = std::fs::read_to_string(file).unwrap_or_default();
    let (before, after) = match (text.find(&open), text.find(&close)) {
        (Some(begin), Some(end)) if begin < end => (&text[..begin], &text[end + close.len()..]),
        _ => (text.as_str(), "\n"),
    };
    std::fs::write(file, format!("{before}{open}\n{body}{close}{after}"))
}

/// The table: a line per scenario, a column per peer.
pub fn table<'a>(scenarios: impl IntoIterator<Item = &'a Scenario> + Clone) -> String {
    let columns: Vec<_> = peers::ALL
        .into_iter()
        .filter(|peer| scenarios.clone().into_iter().any(|s| s.find(peer).is_some()))
        .collect();
    let mut out = String::new();
    let _ = writeln!(out, "| one operation | {} |", columns.join(" | "));
    let _ = writeln!(out, "| --- |{}", " ---: |".repeat(columns.len()));
    for scenario in scenarios {
        let _ = write!(out, "| {} |", scenario.title);
        for peer in &columns {
            let _ = match scenario.figure(peer) {
                Some(figure) => write!(out, " {} |", human(figure)),
                None => write!(out, " |"),
            };
        }
        out.push('\n');
    }
    out
}

/// The same as ratios: what a peer needs, in units of what this crate needs.
pub fn ratios(scenarios: &[Scenario]) -> String {
    let columns: Vec<_> = peers::ALL
        .into_iter()
        .filter(|peer| {
            ![OURS, NOTHING].contains(peer) && scenarios.iter().any(|s| s.find(peer).is_some())
        })
        .collect();
    let mut out = String::new();
    let _ = writeln!(out, "| one operation | {} |", columns.join(" | "));
    let _ = writeln!(out, "| --- |{}", " ---: |".repeat(columns.len()));
    for scenario in scenarios {
        let Some(ours) = scenario.figure(OURS) else {
            continue;
        };
        let _ = write!(out, "| {} |", scenario.title);
        for peer in &columns {
            let _ = match scenario.figure(peer) {
                Some(figure) => write!(out, " {:.2} |", ours / figure),
                None => write!(out, " |"),
            };
        }
        out.push('\n');
    }
    out
}

/// What was aimed at: this crate's row, at most so many times a peer's, in a scenario.
const AIMS: [(&str, &str, &str, f64); 16] = [
    (OURS, RAW, "hot/static/loop", 1.05),
    (OURS, RAW, "hot/static/call", 1.05),
    (OURS, ANCESTOR, "hot/static/loop", 0.90),
    (OURS, ANCESTOR, "hot/static/call", 0.90),
    (OURS, RAW, "hot/object/loop", 1.10),
    (OURS, RAW, "hot/object/call", 1.10),
    (OURS, ANCESTOR, "hot/object/loop", 1.08),
    (OURS, ANCESTOR, "hot/object/call", 1.08),
    (OURS, THREAD_LOCAL, "hot/100000", 0.40),
    (DIRECT, THREAD_LOCAL, "hot/static/loop", 0.65),
    (DIRECT, THREAD_LOCAL, "hot/static/call", 0.65),
    (DIRECT, RAW, "hot/static/call", 0.50),
    (DIRECT, THREAD_LOCAL, "hot/object/call", 0.95),
    (DIRECT, STD, "hot/static/call", 1.00),
    (OURS, ANCESTOR, "create-use-drop/1", 1.00),
    (OURS, ANCESTOR, "thread/900", 1.00),
];

/// The aims, and what this run says of them.
fn aims(scenarios: &[Scenario]) -> String {
    let mut out = String::new();
    let _ = writeln!(out, "| what was aimed at | this | to | aim | measured |");
    let _ = writeln!(out, "| --- | --- | --- | ---: | ---: |");
    for (this, peer, id, aim) in AIMS {
        let Some(scenario) = scenarios.iter().find(|scenario| scenario.id == id) else {
            continue;
        };
        if let (Some(ours), Some(theirs)) = (scenario.figure(this), scenario.figure(peer)) {
            let measured = format!("{:.2}", ours / theirs);
            let bold = if ours / theirs < aim + 0.005 { "" } else { "**" };
            let title = &scenario.title;
            let _ =
                writeln!(out, "| {title} | {this} | {peer} | {aim:.2} | {bold}{measured}{bold} |");
        }
    }
    out
}

/// By how much a peer must be ahead to count as ahead: a twentieth is the machine's mood.
const AHEAD: f64 = 1.05;

/// Where those that do the same work for objects are ahead of the default features, and why.
pub fn behind(scenarios: &[Scenario]) -> String {
    let mut out = String::new();
    let _ = writeln!(out, "| where others are ahead | {ANCESTOR} | {THREAD_LOCAL} | why |");
    let _ = writeln!(out, "| --- | ---: | ---: | --- |");
    let mut last = "";
    for scenario in scenarios {
        let ahead = [ANCESTOR, THREAD_LOCAL].map(|peer| {
            let ratio = scenario.figure(OURS)? / scenario.figure(peer)?;
            (ratio > AHEAD).then(|| format!(" {ratio:.2}"))
        });
        if ahead.iter().any(Option::is_some) {
            let [ancestor, thread_local] = ahead.map(Option::unwrap_or_default);
            let why = if scenario.reason == last { "as above" } else { scenario.reason };
            let _ = writeln!(out, "| {} |{ancestor} |{thread_local} | {why} |", scenario.title);
            last = scenario.reason;
        }
    }
    out
}

// Of a brightness that can be read on white and on near-black.
const TEXT: RGBColor = RGBColor(118, 131, 144);
const OURS_COLOR: RGBColor = RGBColor(224, 108, 44);
const PEER_COLOR: RGBColor = RGBColor(84, 138, 196);
const NOTHING_COLOR: RGBColor = RGBColor(140, 140, 140);

const WIDTH: u32 = 1000;
const BAR: i32 = 15;
const LABEL: i32 = 190;
/// A bar this many times as long as ours is cut.
const CUT: f64 = 6.0;

/// Small multiples: a panel per scenario, a bar per peer.
pub fn chart(file: &Path, scenarios: &[&Scenario]) -> Result<(), Box<dyn std::error::Error>> {
    let panel_height = |scenario: &Scenario| 46 + scenario.rows.len() as i32 * (BAR + 4);
    let lines: Vec<_> = scenarios.chunks(2).collect();
    let heights: Vec<i32> =
        lines.iter().map(|line| line.iter().map(|s| panel_height(s)).max().unwrap_or(0)).collect();
    let height = 40 + heights.iter().sum::<i32>();

    let root = SVGBackend::new(file, (WIDTH, height as u32)).into_drawing_area();
    let heading = ("sans-serif", 15).into_font().style(FontStyle::Bold).color(&TEXT);
    let title = ("sans-serif", 13).into_font().style(FontStyle::Bold).color(&TEXT);
    let right =
        ("sans-serif", 12).into_font().color(&TEXT).pos(Pos::new(HPos::Right, VPos::Center));
    let left = ("sans-serif", 12).into_font().color(&TEXT).pos(Pos::new(HPos::Left, VPos::Center));
    root.draw(&Text::new("Time per operation, shorter is better", (10, 10), heading))?;

    let mut top = 40;
    for (line, height) in lines.iter().zip(&heights) {
        for (column, scenario) in line.iter().enumerate() {
            let x = column as i32 * (WIDTH as i32 / 2) + 10;
            root.draw(&Text::new(scenario.title.clone(), (x, top), title.clone()))?;
            let ours = scenario.figure(OURS).unwrap_or(f64::INFINITY);
            let figures: Vec<_> = peers::ALL
                .into_iter()
                .filter_map(|peer| Some((peer, scenario.figure(peer)?)))
                .collect();
            let longest =
                figures.iter().map(|(_, figure)| *figure).fold(0.0, f64::max).min(ours * CUT);
            let room = f64::from(WIDTH as i32 / 2 - LABEL - 100);
            for (index, (peer, figure)) in figures.into_iter().enumerate() {
                let y = top + 22 + index as i32 * (BAR + 4);
                let color = match peer {
                    OURS | DIRECT => OURS_COLOR,
                    NOTHING => NOTHING_COLOR,
                    _ => PEER_COLOR,
                };
                let length = (room * (figure / longest).min(1.0)).max(1.0) as i32;
                let begin = x + LABEL;
                root.draw(&Text::new(peer, (begin - 6, y + BAR / 2), right.clone()))?;
                root.draw(&Rectangle::new(
                    [(begin, y), (begin + length, y + BAR)],
                    color.filled(),
                ))?;
                let cut = if figure > longest * 1.0001 { " (cut)" } else { "" };
                let note = format!("{}{cut}", human(figure));
                root.draw(&Text::new(note, (begin + length + 6, y + BAR / 2), left.clone()))?;
            }
        }
        top += height;
    }
    root.present()?;
    Ok(())
}

/// What the figures were measured on.
pub fn machine() -> String {
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
        output("uname", &["-sm"]),
        output("getconf", &["GNU_LIBC_VERSION"]),
        output("rustc", &["--version"]),
    ];
    parts.into_iter().flatten().collect::<Vec<_>>().join(", ")
}

/// The scenarios of the chart. None where threads contend: two runs would not agree.
const CHART: [&str; 9] = [
    "hot/static/loop",
    "hot/static/call",
    "hot/object/loop",
    "hot/object/call",
    "hot/1000",
    "hot/100000",
    "first-use/1000",
    "create-use-drop/1",
    "thread/900",
];

/// Writes the tables and the chart of a complete run; the README has the rows of the chart.
pub fn write(
    folder: &Path,
    readme: &Path,
    scenarios: &[Scenario],
) -> Result<(), Box<dyn std::error::Error>> {
    std::fs::create_dir_all(folder)?;
    let body = format!(
        "Measured on: {}.\n\n{}\nAs ratios, ours (default features) to each peer; below 1 we are quicker:\n\n{}\n{}\n{}",
        machine(),
        table(scenarios),
        ratios(scenarios),
        behind(scenarios),
        aims(scenarios),
    );
    replace_section(&folder.join("BENCHMARKS.md"), "results", &body)?;
    let of_chart: Vec<_> = CHART
        .iter()
        .filter_map(|id| scenarios.iter().find(|scenario| scenario.id == *id))
        .collect();
    let body = format!("Measured on: {}.\n\n{}", machine(), table(of_chart.iter().copied()));
    replace_section(readme, "speed", &body)?;
    chart(&folder.join("benchmarks.svg"), &of_chart)
}
