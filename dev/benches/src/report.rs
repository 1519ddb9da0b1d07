//! The report: tables for a terminal and for Markdown, and charts.

use crate::floors;
use crate::machine::Load;
use crate::peers::{self, ANCESTOR, NOTHING, OURS, RAW, STD, THREAD_LOCAL};
use crate::pin;
use crate::rounds::Scenario;
use crate::scenarios::{COLD, HOT_SPREAD};
use crate::stats::{human, Quartiles};
use std::fmt::Write;
use std::path::Path;

/// A ratio and its quartiles.
fn ratio_text(ratio: Quartiles) -> [String; 2] {
    [one_ratio(ratio.median), format!("{} .. {}", one_ratio(ratio.q1), one_ratio(ratio.q3))]
}

/// Infinite: see `Scenario::ratio`.
fn one_ratio(ratio: f64) -> String {
    if ratio.is_finite() {
        format!("{ratio:.2}")
    } else {
        "?".into()
    }
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

/// For a terminal: every floor and whether it was met.
pub fn floors(scenarios: &[Scenario]) -> String {
    let head = ["", "ours", "the peer's", "ratio", "quartiles", "at most", "met"];
    let mut out = Columns::new(head);
    let mut last = "";
    let measured = floors::measured(scenarios);
    for measured in &measured {
        if measured.floor.scenario != last {
            out.heading(measured.scenario);
            last = measured.floor.scenario;
        }
        let [ratio, of_ratio] = ratio_text(measured.ratio);
        out.line([
            format!("  compared with {}", measured.floor.peer),
            human(measured.ours.median),
            human(measured.peer.median),
            ratio,
            of_ratio,
            format!("{:.2}", measured.floor.most),
            measured.verdict.word().into(),
        ]);
    }
    let met = measured.iter().filter(|measured| measured.verdict.met).count();
    format!(
        "{}\n{met} of {} are met; ≈: the limit lies between the quartiles.\n",
        out.print(),
        measured.len()
    )
}

/// A Markdown list.
fn list(sentences: &[String]) -> String {
    sentences.iter().map(|sentence| format!("- {sentence}\n")).collect()
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
    with: impl Fn(&str) -> bool,
    cell: impl Fn(&Scenario, &str) -> Option<String>,
) -> String {
    let columns: Vec<_> = peers::all()
        .filter(|peer| with(peer) && scenarios.iter().any(|s| s.find(peer).is_some()))
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

fn time_cell(scenario: &Scenario, peer: &str) -> Option<String> {
    let figure = scenario.figure(peer)?;
    Some(format!("{} ±{:.0}%", human(figure.median), figure.spread().abs() * 50.0))
}

fn ratio_cell(scenario: &Scenario, peer: &str) -> Option<String> {
    let ratio = scenario.ratio(OURS, peer)?;
    Some(format!("{}{}", one_ratio(ratio.median), if ratio.contains(1.0) { " ≈" } else { "" }))
}

/// Whether ours is compared with this row.
fn compared(peer: &str) -> bool {
    ![OURS, NOTHING].contains(&peer)
}

fn medians_with_spread(scenarios: &[&Scenario]) -> String {
    table(scenarios, |_| true, time_cell)
}

fn ratios(scenarios: &[&Scenario]) -> String {
    table(scenarios, compared, ratio_cell)
}

/// The explanation of what `medians_with_spread` and `ratios` write.
const LEGEND: &str = "A time is the median of all rounds, ± half the interquartile range. A ratio is the time of os-thread-local \
    (default features) divided by the time of the other row, as the median of all rounds: below 1, os-thread-local is faster. ≈: the \
    quartiles of the ratio are on both sides of 1, so the run shows no difference. ?: the run has not measured the ratio, because a difference \
    from an empty thread was lost in noise.\n\n";

/// A Markdown table with a line per row, and a column each for hot and for cold caches.
fn hot_and_cold(scenarios: &[&Scenario]) -> String {
    let mut out = String::from(
        "| one operation | | hot | cold | ratio, hot | ratio, cold |\n| --- | --- | ---: | ---: | ---: | ---: |\n",
    );
    for hot in scenarios.iter().filter(|scenario| !scenario.id.ends_with(COLD)) {
        let cold_id = format!("{}{COLD}", hot.id);
        let cold = scenarios.iter().find(|scenario| scenario.id == cold_id);
        let mut title = hot.title.as_str();
        for peer in peers::all().filter(|peer| hot.find(peer).is_some()) {
            let cells = |scenario: Option<&&Scenario>| {
                let time = scenario.and_then(|scenario| time_cell(scenario, peer));
                let ratio = scenario.and_then(|scenario| ratio_cell(scenario, peer));
                (time.unwrap_or_default(), ratio.filter(|_| compared(peer)).unwrap_or_default())
            };
            let (hot, hot_ratio) = cells(Some(hot));
            let (cold, cold_ratio) = cells(cold);
            let _ =
                writeln!(out, "| {title} | {peer} | {hot} | {cold} | {hot_ratio} | {cold_ratio} |");
            title = "";
        }
    }
    out
}

/// The tables of a page, by the beginning of their scenarios' ids.
const PARTS: [(&str, &[&str]); 8] = [
    ("Access", &["hot/"]),
    ("Access in a library opened with `dlopen`", &["dlopen/"]),
    ("First use", &["first-use/"]),
    ("End of a thread", &["end/"]),
    ("Whole life of a thread", &["thread/"]),
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
        let _ = writeln!(out, "### {title}\n");
        let _ = match of_part.iter().any(|scenario| scenario.id.ends_with(COLD)) {
            true => writeln!(out, "{}", hot_and_cold(&of_part)),
            false => writeln!(out, "{}\n{}", medians_with_spread(&of_part), ratios(&of_part)),
        };
    }
    out.truncate(out.trim_end().len());
    out.push('\n');
    out
}

/// All targets, and whether they were met.
fn targets(scenarios: &[Scenario]) -> String {
    let measured = floors::measured(scenarios);
    let met = measured.iter().filter(|measured| measured.verdict.met).count();
    let mut out = format!(
        "{met} of {} were met.\n\n\
         | one operation | compared with | at most | measured | quartiles | met | why this can be reached |\n\
         | --- | --- | ---: | ---: | ---: | --- | --- |\n",
        measured.len(),
    );
    for measured in measured {
        let [ratio, of_ratio] = ratio_text(measured.ratio);
        let _ = writeln!(
            out,
            "| {} | {} | {:.2} | {ratio} | {of_ratio} | {} | {} |",
            measured.scenario.title,
            measured.floor.peer,
            measured.floor.most,
            measured.verdict.word(),
            measured.floor.reason,
        );
    }
    out
}

/// The rows in which a peer that provides objects is faster.
fn slower(scenarios: &[Scenario]) -> String {
    let mut lines = String::new();
    let mut last = "";
    for scenario in scenarios.iter().filter(|scenario| !scenario.reason.is_empty()) {
        let ahead = [ANCESTOR, THREAD_LOCAL].map(|peer| {
            let ratio = scenario.ratio(OURS, peer)?;
            (ratio.q1 > 1.0 && ratio.median.is_finite()).then(|| format!(" {:.2}", ratio.median))
        });
        if ahead.iter().any(Option::is_some) {
            let [ancestor, thread_local] = ahead.map(Option::unwrap_or_default);
            let why = if scenario.reason == last { "as above" } else { scenario.reason };
            let _ = writeln!(lines, "| {} |{ancestor} |{thread_local} | {why} |", scenario.title);
            last = scenario.reason;
        }
    }
    if lines.is_empty() {
        return "No crate that provides objects is faster in any row.\n".into();
    }
    format!("| one operation | {ANCESTOR} | {THREAD_LOCAL} | reason |\n| --- | ---: | ---: | --- |\n{lines}")
}

/// The scenarios of the README's chart, and its rows from top to bottom.
const CALL: &str = "hot/static/call";
const LOOP: &str = "hot/static/loop";
const BARS: [&str; 5] = [OURS, STD, THREAD_LOCAL, RAW, ANCESTOR];

/// A bar chart of characters, in a code block. The numbers come first: a narrow page cuts what comes last.
fn text_chart(calls: &Scenario, loops: &Scenario) -> String {
    const LONGEST: f64 = 24.0;
    let figures: Vec<_> = BARS
        .iter()
        .filter_map(|peer| Some((*peer, calls.figure(peer)?.median, loops.figure(peer)?.median)))
        .collect();
    let longest = figures.iter().map(|(_, call, _)| *call).fold(0.0, f64::max);
    let mut out = String::from(
        "```text\none access to a static, in a call of its own (the bars) and in a loop\n",
    );
    let _ = writeln!(out, "{:>7}  {:>7}", "call", "loop");
    for (peer, call, in_loop) in figures {
        let bar = "█".repeat((call / longest * LONGEST).round().max(1.0) as usize);
        let _ = writeln!(out, "{:>7}  {:>7}  {peer:<21}  {bar}", human(call), human(in_loop));
    }
    if let Some((call, in_loop)) = calls.figure(NOTHING).zip(loops.figure(NOTHING)) {
        let (call, in_loop) = (human(call.median), human(in_loop.median));
        let _ = writeln!(out, "{call:>7}  {in_loop:>7}  the call or loop alone");
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
    /// Of the rows' order.
    pub seed: u64,
    pub load: Load,
}

impl Run {
    /// What the figures were measured on, in a sentence or two.
    pub fn provenance(&self) -> String {
        let mut out = format!("Measured on: {}. {}", self.machine, self.load);
        let _ = write!(out, " The rows were shuffled with the seed {}", self.seed);
        let _ = match pin::processor() {
            Some(number) => {
                write!(out, ", and pinned to processor {number} unless they run threads at once.")
            }
            None => write!(out, ", and not pinned to a processor."),
        };
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

    /// The most important ratios, in sentences.
    fn sentences(&self) -> Vec<String> {
        let times = |id: &str, peer: &str| {
            let scenario = self.scenarios.iter().find(|scenario| scenario.id == id)?;
            Some(one_ratio(scenario.ratio(OURS, peer)?.median))
        };
        let sentence = |ids: [&str; 2], peer: &str, text: &str| {
            let [first, second] = ids.map(|id| times(id, peer));
            Some(text.replacen("{}", &first?, 1).replacen("{}", &second?, 1))
        };
        let all = [
            sentence(
                [CALL, LOOP],
                THREAD_LOCAL,
                "An access to a static takes {} times as long as with `thread_local` in a call, and {} times in a loop.",
            ),
            sentence(
                [CALL, LOOP],
                STD,
                "Compared with std it takes {} times as long in a call, and {} times in a loop, where the compiler knows std's address.",
            ),
            sentence(
                [CALL, LOOP],
                RAW,
                "Compared with a raw pthread key it takes {} times as long in a call, and {} times in a loop.",
            ),
            sentence(
                ["hot/object/call", "hot/object/loop"],
                THREAD_LOCAL,
                "Through an object: {} times as long as with `thread_local` in a call, and {} times in a loop.",
            ),
            sentence(
                ["create-use-drop/1", "create-use-drop/threads/8"],
                THREAD_LOCAL,
                "Creating, using and dropping an object: {} times as long as with `thread_local`, {} times in 8 threads at once.",
            ),
            sentence(
                ["thread/plain/1", "thread/1"],
                THREAD_LOCAL,
                "A whole thread that uses one object, above an empty thread: {} times as long as with `thread_local`; {} times with a \
                 destructor, which `thread_local` does not run at thread exit.",
            ),
            sentence(
                ["thread/1", "thread/10"],
                ANCESTOR,
                "The same compared with 0.1.3, with destructors: {} times with one object, {} times with 10.",
            ),
        ];
        all.into_iter().flatten().collect()
    }

    /// The README's section: a chart that every Markdown renderer shows, and the sentences about what the chart does not have.
    fn speed(&self) -> String {
        let find = |id: &str| self.scenarios.iter().find(|scenario| scenario.id == id);
        let chart = find(CALL).zip(find(LOOP)).map(|(calls, loops)| text_chart(calls, loops));
        let quiet = if self.load.quiet() { "" } else { ", busy with other programs" };
        let mut sentences = self.sentences();
        sentences.retain(|sentence| !sentence.starts_with("Compared with"));
        format!(
            "{}\n{}\nMeasured on {}{quiet}.\n",
            chart.unwrap_or_default(),
            list(&sentences),
            self.machine,
        )
    }

    /// Writes the pages, the charts and the README's section.
    pub fn write(&self, folder: &Path, readme: &Path) -> std::io::Result<()> {
        std::fs::create_dir_all(folder)?;
        let provenance = self.provenance();

        let page = folder.join("BENCHMARKS.md");
        replace_section(&page, "summary", &list(&self.sentences()))?;
        replace_section(&page, "slower", &slower(&self.scenarios))?;
        replace_section(
            &page,
            "results",
            &format!("{provenance}\n\n{}", results(&self.scenarios)),
        )?;
        replace_section(&page, "targets", &targets(&self.scenarios))?;
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
const CHART: [&str; 8] = [
    "hot/static/call",
    "hot/static/loop",
    "hot/object/call",
    "hot/object/loop",
    "hot/1000",
    "thread/1",
    "thread/10",
    "create-use-drop/1",
];
