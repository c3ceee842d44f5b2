//! The chart as one SVG, for print and for pages: everything is told by position, colour *and* words (`title`).

use std::fmt::Write as _;

use super::{Bar, Chart, Mark, Phase, tick_step};
use crate::moment::{Clock, length};

const WIDTH: f64 = 1200.0;
const RIGHT: f64 = 24.0;
const TOP: f64 = 92.0;
const BOTTOM: f64 = 30.0;

/// Measures that depend on how much there is to show.
struct Layout {
    left: f64,
    row: f64,
    font: f64,
    height: f64,
    from: u64,
    span: f64,
}

impl Layout {
    fn of(chart: &Chart) -> Self {
        let (row, font) = match chart.bars.len() {
            0..=60 => (20.0, 12.0),
            61..=150 => (14.0, 10.0),
            _ => (10.0, 8.0),
        };
        let longest = chart.bars.iter().map(|bar| title(bar).chars().count()).max().unwrap_or(0).clamp(8, 32);
        let left = 24.0 + longest as f64 * font * 0.58;
        let height = TOP + chart.bars.len() as f64 * row + BOTTOM;
        Self { left, row, font, height, from: chart.from, span: (chart.to - chart.from).max(1) as f64 }
    }

    fn x(&self, at: u64) -> f64 {
        self.left + at.saturating_sub(self.from) as f64 / self.span * (WIDTH - RIGHT - self.left)
    }
}

/// Draws it.
#[must_use]
pub fn svg(chart: &Chart, clock: &Clock) -> String {
    let layout = Layout::of(chart);
    let mut out = String::new();
    // A String takes everything.
    let _ = write!(
        out,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" width=\"{WIDTH}\" height=\"{height}\" \
         font-family=\"system-ui, 'DejaVu Sans', sans-serif\" font-size=\"{}\">\n<style>{STYLE}</style>\n\
         <rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n",
        layout.font,
        height = layout.height,
    );
    head(&mut out, chart, clock);
    axis(&mut out, chart, &layout, clock);
    for (index, bar) in chart.bars.iter().enumerate() {
        row(&mut out, chart, &layout, bar, index);
    }
    events(&mut out, chart, &layout);
    recoveries(&mut out, chart, &layout);
    out.push_str("</svg>\n");
    out
}

const STYLE: &str = ".up{fill:#f2b134}.running{fill:#3f9c6b}.down{fill:#8d99ae}.fail{fill:#d1495b}\
    .back{stroke:#d1495b;stroke-width:1.4;stroke-dasharray:4 3}.grid{stroke:#e6e8ec}.event{stroke:#3d5a80;stroke-width:1.4}\
    .name{fill:#2b2d42}.dim{fill:#6c757d}.odd{fill:#f7f8fa}";

fn head(out: &mut String, chart: &Chart, clock: &Clock) {
    let begin = chart.from.saturating_add_signed(chart.wall_offset);
    let took = length(chart.to - chart.from);
    let count = chart.bars.len();
    let _ = write!(
        out,
        "<text x=\"24\" y=\"26\" font-size=\"16\" font-weight=\"600\" class=\"name\">{}, {took}</text>\
         <text x=\"24\" y=\"44\" font-size=\"11\" class=\"dim\">{count} instances, {} events from outside, init came back \
         {}</text>",
        escape(&clock.short(begin)),
        chart.events.len(),
        match chart.recoveries.len() {
            1 => "once".to_owned(),
            times => format!("{times} times"),
        }
    );
    let legend = [("up", "coming up"), ("running", "running"), ("down", "going down"), ("fail", "failure")];
    let mut x = WIDTH - RIGHT - 480.0;
    for (class, text) in legend {
        let _ = write!(
            out,
            "<rect x=\"{x:.1}\" y=\"16\" width=\"12\" height=\"12\" rx=\"2\" class=\"{class}\"/>\
             <text x=\"{:.1}\" y=\"26\" font-size=\"11\" class=\"dim\">{text}</text>",
            x + 17.0
        );
        x += 92.0;
    }
    let _ = writeln!(
        out,
        "<line x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"14\" y2=\"30\" class=\"back\"/>\
         <text x=\"{:.1}\" y=\"26\" font-size=\"11\" class=\"dim\">init comes back</text>",
        x + 8.0
    );
}

fn axis(out: &mut String, chart: &Chart, layout: &Layout, clock: &Clock) {
    let step = tick_step(chart.to - chart.from, 9);
    let format = match step {
        0..1_000 => "%H:%M:%S%.6f",
        1_000..1_000_000 => "%H:%M:%S%.3f",
        1_000_000..60_000_000 => "%H:%M:%S",
        _ => "%m-%d %H:%M",
    };
    let begin = chart.from.saturating_add_signed(chart.wall_offset);
    let mut at = begin.next_multiple_of(step);
    while at <= chart.to.saturating_add_signed(chart.wall_offset) {
        let x = layout.x(at.saturating_add_signed(-chart.wall_offset));
        let _ = write!(
            out,
            "<line x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{TOP}\" y2=\"{:.1}\" class=\"grid\"/>\
             <text x=\"{x:.1}\" y=\"{:.1}\" text-anchor=\"middle\" font-size=\"10\" class=\"dim\">{}</text>",
            layout.height - BOTTOM,
            layout.height - 12.0,
            clock.write(at, format)
        );
        at += step;
    }
    out.push('\n');
}

fn row(out: &mut String, chart: &Chart, layout: &Layout, bar: &Bar, index: usize) {
    let y = TOP + index as f64 * layout.row;
    let middle = y + layout.row / 2.0;
    if index % 2 == 1 {
        let _ = write!(
            out,
            "<rect x=\"0\" y=\"{y:.1}\" width=\"{WIDTH}\" height=\"{:.1}\" class=\"odd\" opacity=\".6\"/>",
            layout.row
        );
    }
    let name = title(bar);
    let _ = write!(
        out,
        "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\" class=\"name\">{}<title>{}</title></text>",
        layout.left - 8.0,
        middle + layout.font * 0.36,
        escape(&shorten(&name, 32)),
        escape(&name)
    );
    let thickness = layout.row * 0.62;
    for piece in &bar.pieces {
        let x = layout.x(piece.from);
        // What takes no time is still to be seen.
        let width = (layout.x(piece.to) - x).max(1.2);
        let class = match piece.phase {
            Phase::Up => "up",
            Phase::Running => "running",
            Phase::Down => "down",
        };
        let _ = write!(
            out,
            "<rect x=\"{x:.2}\" y=\"{:.1}\" width=\"{width:.2}\" height=\"{thickness:.1}\" class=\"{class}\"><title>{} {} \
             for {}</title></rect>",
            middle - thickness / 2.0,
            escape(&name),
            piece.state,
            length(piece.to - piece.from)
        );
    }
    for failure in &bar.failures {
        let x = layout.x(failure.at);
        let _ = write!(
            out,
            "<circle cx=\"{x:.2}\" cy=\"{middle:.1}\" r=\"{:.1}\" class=\"fail\" stroke=\"#fff\" stroke-width=\".8\">\
             <title>{}: {}</title></circle>",
            layout.row * 0.24,
            escape(&name),
            escape(&told(failure, chart))
        );
    }
    out.push('\n');
}

fn events(out: &mut String, chart: &Chart, layout: &Layout) {
    let y = TOP - 8.0;
    for (index, event) in chart.events.iter().enumerate() {
        let x = layout.x(event.at);
        let _ = write!(
            out,
            "<line x1=\"{x:.2}\" x2=\"{x:.2}\" y1=\"{:.1}\" y2=\"{y:.1}\" class=\"event\"><title>{}</title></line>",
            y - 9.0,
            escape(&told(event, chart))
        );
        // A word where there is room for one; all are told on hovering.
        let word = event.text.split(' ').next().unwrap_or_default();
        let width = word.chars().count() as f64 * 5.6 + 8.0;
        let next = chart.events.get(index + 1).map_or(WIDTH, |next| layout.x(next.at));
        if x + width < next {
            let _ = write!(
                out,
                "<text x=\"{:.1}\" y=\"{:.1}\" font-size=\"9\" class=\"dim\">{}</text>",
                x + 3.0,
                y - 1.0,
                escape(word)
            );
        }
    }
    out.push('\n');
}

fn recoveries(out: &mut String, chart: &Chart, layout: &Layout) {
    for mark in &chart.recoveries {
        let x = layout.x(mark.at);
        let text = escape(&told(mark, chart));
        let bottom = layout.height - BOTTOM;
        let _ = write!(
            out,
            "<line x1=\"{x:.2}\" x2=\"{x:.2}\" y1=\"{:.1}\" y2=\"{bottom:.1}\" class=\"back\"><title>{text}</title></line>\
             <path d=\"M{:.2} {:.1}h8l-4 6z\" class=\"fail\"><title>{text}</title></path>",
            TOP - 24.0,
            x - 4.0,
            TOP - 30.0
        );
    }
    out.push('\n');
}

fn title(bar: &Bar) -> String {
    if bar.instance.is_empty() { bar.job.clone() } else { format!("{} ({})", bar.job, bar.instance) }
}

fn told(mark: &Mark, chart: &Chart) -> String {
    format!("{}, {} after the beginning", mark.text, length(mark.at.saturating_sub(chart.from)))
}

fn shorten(text: &str, letters: usize) -> String {
    if text.chars().count() <= letters {
        return text.to_owned();
    }
    text.chars().take(letters - 1).chain(['…']).collect()
}

/// Text as XML takes it; control characters, which it does not take at all, become blanks.
fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            control if control.is_control() => out.push(' '),
            other => out.push(other),
        }
    }
    out
}
