//! Bar charts: a panel per scenario, a bar per peer, the peers in groups.
//!
//! One column, narrow enough that the text keeps 12 pixels where a page has 360 for it. The text has the colour of the page around the
//! chart, and without one, as an image, the colours of the reader's theme.

use crate::peers::{self, GROUPS, OURS};
use crate::rounds::Scenario;
use crate::stats::{human, Quartiles};
use std::fmt::Write;
use std::path::Path;

/// Of each of `GROUPS`. Their contrast with white and with near-black is 3 or more.
const COLORS: [&str; GROUPS.len()] = ["#d9642a", "#4f86c6", "#3f9a70", "#8c8c8c"];

/// Without the margins.
const WIDTH: usize = 464;
const MARGIN: usize = 8;
/// Of the font: 12 pixels where a page has 360 for the chart.
const TEXT: usize = 16;
const LINE: usize = 20;
const BAR: usize = 7;
/// From one row to the next: its line of text, its bar, a gap.
const ROW: usize = LINE + BAR + 6;
/// Above a panel's title.
const PANEL_GAP: usize = 16;
/// Above the first row of a group, but the first group.
const GROUP_GAP: usize = 6;
/// A bar this many times as long as ours is cut.
const CUT: f64 = 6.0;

/// As an image the chart has a background of its own, so that it can be read on a page whose theme is not the system's. Inline it has none,
/// and `currentColor` is the page's.
const STYLE: &str = ".chart text { font-family: sans-serif; fill: currentColor }
.chart .background { fill: none }
.chart:root { color: #1f2328 }
.chart:root .background { fill: #ffffff }
@media (prefers-color-scheme: dark) {
.chart:root { color: #e6edf3 }
.chart:root .background { fill: #0d1117 }
}";

/// The rows of a scenario that have a place in the chart, with their group.
fn bars(scenario: &Scenario) -> Vec<(usize, &'static str, Quartiles)> {
    let groups = GROUPS.iter().enumerate();
    groups
        .flat_map(|(group, peers)| peers.peers.iter().map(move |peer| (group, *peer)))
        .filter_map(|(group, peer)| Some((group, peer, scenario.figure(peer)?)))
        .collect()
}

/// Draws from top to bottom.
struct Drawing {
    body: String,
    y: usize,
}

impl Drawing {
    fn text(&mut self, x: usize, bold: bool, text: &str) {
        let weight = if bold { " font-weight=\"bold\"" } else { "" };
        let text = text.replace('&', "&amp;").replace('<', "&lt;");
        let base = self.y + TEXT;
        let _ = writeln!(
            self.body,
            "<text x=\"{x}\" y=\"{base}\" font-size=\"{TEXT}\"{weight}>{text}</text>"
        );
    }

    fn rectangle(&mut self, x: usize, y: usize, width: usize, height: usize, color: &str) {
        let _ = writeln!(
            self.body,
            "<rect x=\"{x}\" y=\"{y}\" width=\"{width}\" height=\"{height}\" fill=\"{color}\"/>"
        );
    }

    /// Text in as many lines as it needs.
    fn lines(&mut self, bold: bool, text: &str) {
        /// Characters of a bold sans-serif font that fit for certain.
        const FIT: usize = 50;
        let mut line = String::new();
        for word in text.split(' ') {
            if !line.is_empty() && line.chars().count() + word.chars().count() >= FIT {
                self.text(0, bold, &line);
                self.y += LINE;
                line.clear();
            }
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        }
        self.text(0, bold, &line);
        self.y += LINE;
    }

    /// The colours of the groups that the chart has.
    fn legend(&mut self, scenarios: &[&Scenario]) {
        for (group, color) in GROUPS.iter().zip(COLORS) {
            let has = |peer: &&str| scenarios.iter().any(|scenario| scenario.find(peer).is_some());
            if group.peers.iter().any(has) {
                self.rectangle(0, self.y + 4, 12, 12, color);
                self.text(18, false, group.title);
                self.y += LINE;
            }
        }
    }

    fn panel(&mut self, scenario: &Scenario) {
        self.y += PANEL_GAP;
        self.lines(true, &scenario.title.replace('`', ""));
        self.y += GROUP_GAP;
        let bars = bars(scenario);
        let ours = scenario.figure(OURS).map_or(f64::INFINITY, |figure| figure.median);
        let longest = bars.iter().map(|bar| bar.2.median).fold(0.0, f64::max).min(ours * CUT);
        let mut last = None;
        for (group, peer, figure) in bars {
            if last.is_some_and(|last| last != group) {
                self.y += GROUP_GAP;
            }
            last = Some(group);
            let this = peers::GROUPS[0].peers.contains(&peer);
            let cut = figure.median > longest * 1.0001;
            self.text(0, this, &human(figure.median));
            self.text(90, this, &format!("{peer}{}", if cut { " (bar cut)" } else { "" }));
            let part = (figure.median / longest).clamp(0.0, 1.0);
            let length = (WIDTH as f64 * part) as usize;
            self.rectangle(0, self.y + LINE + 1, length.max(1), BAR, COLORS[group]);
            self.y += ROW;
        }
    }
}

/// Writes the chart of these scenarios. Without any it says that nothing has been measured.
pub fn draw(file: &Path, scenarios: &[&Scenario]) -> std::io::Result<()> {
    let mut drawing = Drawing { body: String::new(), y: 4 };
    if scenarios.is_empty() {
        drawing.lines(true, "Not measured yet.");
    } else {
        drawing.lines(true, "Time per operation, the median: shorter is better");
        drawing.legend(scenarios);
        scenarios.iter().for_each(|scenario| drawing.panel(scenario));
    }
    let Drawing { body, y } = drawing;
    let (width, height) = (WIDTH + 2 * MARGIN, y + MARGIN);
    // No height: it follows from the width that the page gives.
    std::fs::write(
        file,
        format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" class=\"chart\" width=\"{width}\" \
             viewBox=\"-{MARGIN} 0 {width} {height}\" style=\"max-width: 100%; height: auto\">\n<style>\n{STYLE}\n</style>\n\
             <rect class=\"background\" x=\"-{MARGIN}\" width=\"{width}\" height=\"{height}\"/>\n{body}</svg>\n",
        ),
    )
}
