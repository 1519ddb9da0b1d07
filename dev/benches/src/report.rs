//! The report: tables for a terminal and for Markdown, and charts.

use crate::floors::{self, Verdict};
use crate::machine::Load;
use crate::peers::{self, ANCESTOR, DIRECT, NOTHING, OURS, RAW, STD, THREAD_LOCAL};
use crate::rounds::Scenario;
use crate::scenarios::HOT_SPREAD;
use crate::stats::{human, Quartiles};
use std::fmt::Write;
use std::path::Path;

/// A ratio and its quartiles.
fn ratio_text(ratio: Quartiles) -> [String; 2] {
    [format!("{:.2}", ratio.median), format!("{:.2} .. {:.2}", ratio.q1, ratio.q3)]
}

/// A table for a terminal: the first column to the left, the others to the right.
struct Columns(Vec<Vec<String>>);

impl Columns {
    fn new<const N: usize>(head: [&str; N]) -> Columns {
        Columns(vec![head.map(str::to_owned).into()])
    }

    fn line<const N: usize>(&mut self, cells: [String; N]) {
        self.0.push(cells.into());
    }

    /// A line that is not in columns.
    fn heading(&mut self, scenario: &Scenario) {
        self.0.push(vec![format!("\n{}: {}", scenario.id, scenario.title)]);
    }

    fn print(&self) -> String {
        let in_columns = || self.0.iter().filter(|line| line.len() > 1);
        let width = |column: usize| {
            let cells = in_columns().filter_map(|line| line.get(column));
            cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
        };
        let mut out = String::new();
        for line in &self.0 {
            let mut text = String::new();
            for (column, cell) in line.iter().enumerate() {
                let width = width(column);
                let _ = match column {
                    0 => write!(text, "{cell:<width$}"),
                    _ => write!(text, "  {cell:>width$}"),
                };
            }
            out.push_str(text.trim_end());
            out.push('\n');
        }
        out
    }
}

/// For a terminal: every row with its median, its quartiles and ours as a multiple of it.
pub fn rows(scenarios: &[Scenario]) -> String {
    let mut out = Columns::new(["", "median", "quartiles", "ours / it", "quartiles", ""]);
    for scenario in scenarios {
        out.heading(scenario);
        for row in &scenario.rows {
            let Some(figure) = row.quartiles() else { continue };
            let ratio = scenario.ratio(OURS, row.peer).filter(|_| row.peer != OURS);
            let same = ratio.is_some_and(|ratio| ratio.contains(1.0));
            let [ratio, of_ratio] = ratio.map(ratio_text).unwrap_or_default();
            out.line([
                format!("  {}", row.peer),
                human(figure.median),
                format!("{} .. {}", human(figure.q1), human(figure.q3)),
                ratio,
                of_ratio,
                if same { "no difference shown".into() } else { String::new() },
            ]);
        }
    }
    out.print()
}

/// For a terminal: every floor and what was reached.
pub fn core(scenarios: &[Scenario]) -> String {
    let head = ["", "ours", "the peer's", "ratio", "quartiles", "floor", "reached"];
    let mut out = Columns::new(head);
    let mut last = "";
    for measured in floors::measured(scenarios) {
        if measured.floor.scenario != last {
            out.heading(measured.scenario);
            last = measured.floor.scenario;
        }
        let [ratio, of_ratio] = ratio_text(measured.ratio);
        out.line([
            format!("  {} / {}", measured.floor.this, measured.floor.peer),
            human(measured.this.median),
            human(measured.peer.median),
            ratio,
            of_ratio,
            format!("{:.2}", measured.floor.most),
            measured.verdict.word().into(),
        ]);
    }
    out.print()
}

/// The part of a Markdown file between two marks that a program writes; the rest belongs to people.
fn replace_section(file: &Path, section: &str, body: &str) -> std::io::Result<()> {
    let (open, close) = (format!("<!-- begin {section} -->"), format!("<!-- end {section} -->"));
    let text = std::fs::read_to_string(file).unwrap_or_default();
    let (before, after) = match (text.find(&open), text.find(&close)) {
        (Some(begin), Some(end)) if begin < end => (&text[..begin], &text[end + close.len()..]),
        _ => (text.as_str(), "\n"),
    };
    std::fs::write(file, format!("{before}{open}\n{body}{close}{after}"))
}

/// A Markdown table: a line per scenario, a column per peer that one of them has.
fn table(
    scenarios: &[&Scenario],
    without: &[&str],
    cell: impl Fn(&Scenario, &str) -> Option<String>,
) -> String {
    let columns: Vec<_> = peers::all()
        .filter(|peer| !without.contains(peer) && scenarios.iter().any(|s| s.find(peer).is_some()))
        .collect();
    let mut out = String::new();
    let _ = writeln!(out, "| one operation | {} |", columns.join(" | "));
    let _ = writeln!(out, "| --- |{}", " ---: |".repeat(columns.len()));
    for scenario in scenarios {
        let _ = write!(out, "| {} |", scenario.title);
        for peer in &columns {
            let _ = match cell(scenario, peer) {
                Some(cell) => write!(out, " {cell} |"),
                None => write!(out, " |"),
            };
        }
        out.push('\n');
    }
    out
}

fn medians_with_spread(scenarios: &[&Scenario]) -> String {
    table(scenarios, &[], |scenario, peer| {
        let figure = scenario.figure(peer)?;
        Some(format!("{} ±{:.0}%", human(figure.median), figure.spread().abs() * 50.0))
    })
}

fn ratios(scenarios: &[&Scenario]) -> String {
    table(scenarios, &[OURS, NOTHING], |scenario, peer| {
        let ratio = scenario.ratio(OURS, peer)?;
        Some(format!("{:.2}{}", ratio.median, if ratio.contains(1.0) { " ≈" } else { "" }))
    })
}

/// The explanation of what `medians_with_spread` and `ratios` write.
const LEGEND: &str = "A time is the median of all rounds, ± half the interquartile range. A ratio is the time of os-thread-local \
    (default features) divided by the time of the other row, as the median of all rounds: below 1, os-thread-local is faster. ≈: the \
    quartiles of the ratio are on both sides of 1, so the run shows no difference.\n\n";

/// The tables of a page, by the beginning of their scenarios' ids.
const PARTS: [(&str, &[&str]); 6] = [
    ("Access", &["hot/"]),
    ("First use", &["first-use/"]),
    ("End of a thread", &["end/", "thread/"]),
    ("Life of an object", &["create-use-drop/"]),
    ("Threads that start and end at once", &["use-exit/"]),
    ("`PerThread`", &["per-thread/"]),
];

fn results(scenarios: &[Scenario]) -> String {
    let mut out = String::from(LEGEND);
    for (title, prefixes) in PARTS {
        let of_part: Vec<_> = scenarios
            .iter()
            .filter(|scenario| prefixes.iter().any(|prefix| scenario.id.starts_with(prefix)))
            .collect();
        let _ = writeln!(
            out,
            "### {title}\n\n{}\n{}",
            medians_with_spread(&of_part),
            ratios(&of_part),
        );
    }
    out.truncate(out.trim_end().len());
    out.push('\n');
    out
}

fn floors_table<'a>(floors: impl IntoIterator<Item = &'a floors::Measured<'a>>) -> String {
    let mut out = String::new();
    let _ = writeln!(
        out,
        "| one operation | row | compared with | at most | measured | quartiles | met |"
    );
    let _ = writeln!(out, "| --- | --- | --- | ---: | ---: | ---: | --- |");
    for measured in floors {
        let [ratio, of_ratio] = ratio_text(measured.ratio);
        let _ = writeln!(
            out,
            "| {} | {} | {} | {:.2} | {ratio} | {of_ratio} | {} |",
            measured.scenario.title,
            measured.floor.this,
            measured.floor.peer,
            measured.floor.most,
            measured.verdict.word(),
        );
    }
    out
}

/// What was not reached, and where a peer that does the same work for objects is faster than the default features.
fn not_reached(scenarios: &[Scenario]) -> String {
    let measured = floors::measured(scenarios);
    let missed: Vec<_> =
        measured.iter().filter(|floor| floor.verdict != Verdict::Reached).collect();
    let mut out = String::new();
    if missed.is_empty() {
        let _ = writeln!(out, "All {} performance targets were met.", measured.len());
    } else {
        let _ = writeln!(
            out,
            "{} of {} performance targets were met. The others:\n\n{}",
            measured.len() - missed.len(),
            measured.len(),
            floors_table(missed),
        );
        out.pop();
    }
    out.push('\n');
    let behind = behind(scenarios);
    if behind.is_empty() {
        out.push_str("No peer that provides objects is faster in any row.\n");
    } else {
        let _ = writeln!(out, "| slower than | {ANCESTOR} | {THREAD_LOCAL} | reason |");
        let _ = writeln!(out, "| --- | ---: | ---: | --- |");
        out.push_str(&behind);
    }
    out
}

fn behind(scenarios: &[Scenario]) -> String {
    let mut out = String::new();
    let mut last = "";
    for scenario in scenarios.iter().filter(|scenario| !scenario.reason.is_empty()) {
        let ahead = [ANCESTOR, THREAD_LOCAL].map(|peer| {
            let ratio = scenario.ratio(OURS, peer)?;
            (ratio.q1 > 1.0).then(|| format!(" {:.2}", ratio.median))
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

/// The scenario of the README's chart, and its rows from top to bottom.
const ACCESS: &str = "hot/static/call";
const BARS: [&str; 6] = [OURS, DIRECT, RAW, STD, THREAD_LOCAL, ANCESTOR];

/// A bar chart of characters, in a code block.
fn text_chart(scenario: &Scenario) -> String {
    const LONGEST: f64 = 32.0;
    let figures: Vec<_> =
        BARS.iter().filter_map(|peer| Some((*peer, scenario.figure(peer)?.median))).collect();
    let longest = figures.iter().map(|(_, figure)| *figure).fold(0.0, f64::max);
    let mut out =
        String::from("```text\none access to a static, in a function that is not inlined");
    if let Some(empty) = scenario.figure(NOTHING) {
        let _ = write!(out, " (an empty one: {})", human(empty.median));
    }
    out.push('\n');
    for (peer, figure) in figures {
        let bar = "█".repeat((figure / longest * LONGEST).round().max(1.0) as usize);
        let _ = writeln!(out, "{peer:<28}  {bar} {}", human(figure));
    }
    out.push_str("```\n");
    out
}

/// A complete run.
pub struct Run {
    pub scenarios: Vec<Scenario>,
    /// The tables of `growth`.
    pub growth: String,
    pub machine: String,
    pub load: Load,
}

impl Run {
    /// What the figures were measured on, in a sentence or two.
    pub fn provenance(&self) -> String {
        let mut out = format!("Measured on: {}. {}", self.machine, self.load);
        let repeated: usize = self.scenarios.iter().map(|scenario| scenario.repeated).sum();
        let _ = write!(
            out,
            " {repeated} rounds were measured again: the processor ran at another speed, or hot rows spread too far."
        );
        if let Some((spread, row)) = self.hot_spread() {
            let _ = write!(
                out,
                " The largest interquartile range of a hot-path row: {:.1} % of its median ({row}).",
                spread * 100.0
            );
        }
        out
    }

    /// The hot row with the largest spread.
    fn hot_spread(&self) -> Option<(f64, String)> {
        let hot = self.scenarios.iter().filter(|scenario| scenario.id.starts_with("hot/"));
        let rows = hot.flat_map(|scenario| {
            scenario.rows.iter().filter_map(move |row| {
                let name = format!("{}, {}", scenario.title, row.peer);
                Some((row.quartiles()?.spread(), name))
            })
        });
        rows.max_by(|a, b| a.0.total_cmp(&b.0))
    }

    /// Why these figures are not to be committed.
    pub fn objection(&self) -> Option<String> {
        if !self.load.quiet() {
            return Some(self.load.to_string());
        }
        self.hot_spread().filter(|(spread, _)| *spread >= HOT_SPREAD).map(|(spread, row)| {
            format!("the quartiles of {row} are {:.1} % apart", spread * 100.0)
        })
    }

    fn starting_with(&self, prefix: &str) -> Vec<&Scenario> {
        self.scenarios.iter().filter(|scenario| scenario.id.starts_with(prefix)).collect()
    }

    /// The README's section: a chart that every Markdown renderer shows, and a sentence for each bar that matters.
    fn speed(&self) -> String {
        let find = |id: &str| self.scenarios.iter().find(|scenario| scenario.id == id);
        let ratio = |id: &str, this: &str, peer: &str| {
            Some(format!("{:.2}", find(id)?.ratio(this, peer)?.median))
        };
        let mut out = String::new();
        if let Some(scenario) = find(ACCESS) {
            out.push_str(&text_chart(scenario));
        }
        let sentences = [
            ratio(ACCESS, OURS, RAW).map(|raw| {
                format!("**os-thread-local** takes {raw} times as long as a raw pthread key: nearly all of it is `pthread_getspecific`.")
            }),
            ratio(ACCESS, DIRECT, STD).map(|std| {
                format!("**direct-read**, a feature, takes {std} times as long as std: it reads the slot without a libc call.")
            }),
            ratio(ACCESS, OURS, THREAD_LOCAL).zip(ratio(ACCESS, DIRECT, THREAD_LOCAL)).map(|(ours, direct)| {
                format!("Compared with **thread_local**, which needs no libc call, os-thread-local takes {ours} times as long, with direct-read {direct} times.")
            }),
            ratio(ACCESS, OURS, ANCESTOR)
                .map(|ancestor| format!("Compared with **0.1.3**, it takes {ancestor} times as long.")),
            ratio("create-use-drop/1", OURS, THREAD_LOCAL)
                .zip(ratio("create-use-drop/threads/8", OURS, THREAD_LOCAL))
                .map(|(one, eight)| {
                    format!("Creating, using and dropping an object takes {one} times as long as with thread_local, in 8 threads at once {eight} times.")
                }),
            ratio("first-use/1", OURS, THREAD_LOCAL).zip(ratio("first-use/1000", OURS, THREAD_LOCAL)).map(
                |(one, many)| {
                    format!("A new thread's first use of one object takes {one} times as long as with thread_local, of each of 1,000 objects {many} times.")
                },
            ),
        ];
        out.push('\n');
        for sentence in sentences.into_iter().flatten() {
            let _ = writeln!(out, "- {sentence}");
        }
        let quiet = if self.load.quiet() { "" } else { ", busy with other programs" };
        let _ = writeln!(out, "\nMeasured on {}{quiet}.", self.machine);
        out
    }

    /// Writes the pages, the charts and the README's section.
    pub fn write(&self, folder: &Path, readme: &Path) -> Result<(), Box<dyn std::error::Error>> {
        std::fs::create_dir_all(folder)?;
        let provenance = self.provenance();

        let page = folder.join("BENCHMARKS.md");
        replace_section(&page, "not reached", &not_reached(&self.scenarios))?;
        let measured = floors::measured(&self.scenarios);
        let body = format!(
            "{provenance}\n\n{}\n### Performance targets that were met\n\n{}",
            results(&self.scenarios),
            floors_table(measured.iter().filter(|floor| floor.verdict == Verdict::Reached)),
        );
        replace_section(&page, "results", &body)?;
        replace_section(&page, "growth", &format!("{provenance}\n\n{}", self.growth))?;
        let of_chart: Vec<_> = CHART
            .iter()
            .filter_map(|id| self.scenarios.iter().find(|scenario| scenario.id == *id))
            .collect();
        crate::chart::draw(&folder.join("benchmarks.svg"), &of_chart)?;
        replace_section(readme, "speed", &self.speed())?;

        let counters = self.starting_with("counters/");
        let body = format!(
            "{provenance}\n\n{LEGEND}{}\n{}",
            medians_with_spread(&counters),
            ratios(&counters)
        );
        replace_section(&folder.join("COUNTERS.md"), "results", &body)?;
        crate::chart::draw(&folder.join("counters.svg"), &counters)
    }
}

/// The scenarios of the chart.
const CHART: [&str; 10] = [
    "hot/static/loop",
    "hot/static/call",
    "hot/object/loop",
    "hot/object/call",
    "hot/1000",
    "hot/100000",
    "first-use/1000",
    "thread/900",
    "create-use-drop/1",
    "create-use-drop/threads/8",
];
