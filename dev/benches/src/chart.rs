//! Bar charts: a panel per scenario, a bar per peer, the peers in groups.

use crate::peers::{self, GROUPS, OURS};
use crate::rounds::Scenario;
use crate::stats::human;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};
use std::path::Path;

// Of a brightness that can be read on white and on near-black.
const TEXT: RGBColor = RGBColor(118, 131, 144);
/// Of each of `GROUPS`.
const COLORS: [RGBColor; GROUPS.len()] = [
    RGBColor(224, 108, 44),
    RGBColor(84, 138, 196),
    RGBColor(76, 160, 120),
    RGBColor(140, 140, 140),
];

const WIDTH: i32 = 1000;
const PANEL: i32 = WIDTH / 2;
const BAR: i32 = 14;
const GAP: i32 = 4;
/// Above the first bar of a group, but the first group.
const GROUP_GAP: i32 = 8;
const LABEL: i32 = 190;
/// For the figure behind a bar.
const FIGURE: i32 = 110;
const TITLE: i32 = 22;
const HEAD: i32 = 62;
/// A bar this many times as long as ours is cut.
const CUT: f64 = 6.0;

/// The rows of a scenario that have a place in the chart, with their group.
fn bars(scenario: &Scenario) -> Vec<(usize, &'static str, crate::stats::Quartiles)> {
    let groups = GROUPS.iter().enumerate();
    groups
        .flat_map(|(group, peers)| peers.peers.iter().map(move |peer| (group, *peer)))
        .filter_map(|(group, peer)| Some((group, peer, scenario.figure(peer)?)))
        .collect()
}

/// The place of each bar, and the height of all.
fn places(groups: impl Iterator<Item = usize>) -> (Vec<i32>, i32) {
    let (mut places, mut y, mut last) = (Vec::new(), TITLE, None);
    for group in groups {
        if last.is_some_and(|last| last != group) {
            y += GROUP_GAP;
        }
        last = Some(group);
        places.push(y);
        y += BAR + GAP;
    }
    (places, y + 20)
}

pub fn draw(file: &Path, scenarios: &[&Scenario]) -> Result<(), Box<dyn std::error::Error>> {
    let height_of = |scenario: &Scenario| places(bars(scenario).iter().map(|bar| bar.0)).1;
    let lines: Vec<_> = scenarios.chunks(2).collect();
    let heights: Vec<i32> =
        lines.iter().map(|line| line.iter().map(|s| height_of(s)).max().unwrap_or(0)).collect();
    let height = HEAD + heights.iter().sum::<i32>();

    let root = SVGBackend::new(file, (WIDTH as u32, height as u32)).into_drawing_area();
    let font = |size| ("sans-serif", size).into_font();
    let heading = font(15).style(FontStyle::Bold).color(&TEXT);
    let text = "Time per operation, shorter is better; the line is from one quartile to the other";
    root.draw(&Text::new(text, (10, 8), heading))?;
    legend(&root, scenarios)?;

    let mut top = HEAD;
    for (line, height) in lines.iter().zip(&heights) {
        for (column, scenario) in line.iter().enumerate() {
            panel(&root, scenario, (column as i32 * PANEL + 10, top))?;
        }
        top += height;
    }
    root.present()?;
    Ok(())
}

type Area<'a> = DrawingArea<SVGBackend<'a>, plotters::coord::Shift>;

/// The colours of the groups that the chart has.
fn legend(root: &Area<'_>, scenarios: &[&Scenario]) -> Result<(), Box<dyn std::error::Error>> {
    let style = ("sans-serif", 12).into_font().color(&TEXT);
    let style = style.pos(Pos::new(HPos::Left, VPos::Center));
    let mut x = 10;
    for (group, color) in GROUPS.iter().zip(COLORS) {
        let has = |peer: &&str| scenarios.iter().any(|scenario| scenario.find(peer).is_some());
        if !group.peers.iter().any(has) {
            continue;
        }
        root.draw(&Rectangle::new([(x, 34), (x + 12, 46)], color.filled()))?;
        root.draw(&Text::new(group.title, (x + 18, 40), style.clone()))?;
        x += 18 + 7 * group.title.len() as i32 + 20;
    }
    Ok(())
}

fn panel(
    root: &Area<'_>,
    scenario: &Scenario,
    (x, top): (i32, i32),
) -> Result<(), Box<dyn std::error::Error>> {
    let font = |size| ("sans-serif", size).into_font();
    let bold = |size| font(size).style(FontStyle::Bold).color(&TEXT);
    let right = Pos::new(HPos::Right, VPos::Center);
    let left = Pos::new(HPos::Left, VPos::Center);
    root.draw(&Text::new(scenario.title.replace('`', ""), (x, top), bold(13)))?;

    let bars = bars(scenario);
    let ours = scenario.figure(OURS).map_or(f64::INFINITY, |figure| figure.median);
    let longest = bars.iter().map(|bar| bar.2.median).fold(0.0, f64::max).min(ours * CUT);
    let room = f64::from(PANEL - 10 - LABEL - FIGURE);
    let length = |figure: f64| (room * (figure / longest).clamp(0.0, 1.0)) as i32;
    let (places, _) = places(bars.iter().map(|bar| bar.0));
    for ((group, peer, figure), y) in bars.into_iter().zip(places) {
        let (y, middle, begin) = (top + y, top + y + BAR / 2, x + LABEL);
        let this = peers::GROUPS[0].peers.contains(&peer);
        let style = if this { bold(12) } else { font(12).color(&TEXT) };
        let end = begin + length(figure.median).max(1);
        root.draw(&Text::new(peer, (begin - 6, middle), style.pos(right)))?;
        root.draw(&Rectangle::new([(begin, y), (end, y + BAR)], COLORS[group].filled()))?;
        let cut = figure.median > longest * 1.0001;
        let (low, high) = (begin + length(figure.q1), begin + length(figure.q3));
        if !cut && high > low {
            root.draw(&PathElement::new(vec![(low, middle), (high, middle)], TEXT))?;
        }
        let note = format!("{}{}", human(figure.median), if cut { " (cut)" } else { "" });
        let style = if this { bold(12) } else { font(12).color(&TEXT) };
        root.draw(&Text::new(note, (end.max(high) + 6, middle), style.pos(left)))?;
    }
    Ok(())
}
