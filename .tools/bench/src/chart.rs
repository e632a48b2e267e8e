//! The comparison as a picture: one row for each program, one column for each figure. A bar's length is the figure; beside
//! the bar is the figure divided by this program's figure. The picture has its own background, so that it can be read on a
//! light page and on a dark page.

use svg::Document;
use svg::node::element::{Description, Group, Line, Rectangle, Style, Text, Title};

use crate::bound::Column;
use crate::measure::Row;
use crate::programs::{THIS, THIS_SC};
use crate::report::{Report, figure, thousands};

/// Each column's figure and the two lines of its heading.
const COLUMNS: [(Column, &str, &str); 5] = [
    (Column::Pinned, "One processor", "µs a notification"),
    (Column::Unpinned, "Any processor", "µs a notification"),
    (Column::ExitPinned, "Start to exit", "µs, one path"),
    (Column::Pss, "Memory", "kB, three processes"),
    (Column::Bytes, "File", "bytes"),
];

const MARGIN: f64 = 28.0;
const NAMES: f64 = 168.0;
const COLUMN: f64 = 148.0;
const GAP: f64 = 18.0;
const ROW: f64 = 42.0;
const BAR: f64 = 9.0;
/// Where the first row begins: below the title, the subtitle and two lines of headings.
const TOP: f64 = 126.0;
const FOOT: f64 = 76.0;

/// Colours and fonts. The picture is dark where the viewer supports `prefers-color-scheme` and prefers dark pages.
const STYLE: &str = "
text { font-family: system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', 'DejaVu Sans', Arial, sans-serif; }
.card { fill: #ffffff; stroke: #d0d7de; }
.title { font-size: 19px; font-weight: 600; fill: #1f2328; }
.head { font-size: 13px; font-weight: 600; fill: #1f2328; }
.name { font-size: 13px; fill: #1f2328; }
.small { font-size: 11px; fill: #59636e; }
.value { font-size: 12px; fill: #1f2328; }
.times { font-size: 12px; font-weight: 600; fill: #59636e; text-anchor: end; }
.ours { font-weight: 700; }
.track { fill: #eff2f5; }
.bar { fill: #9aa4b0; }
.this { fill: #0969da; }
.floor { stroke: #bc4c00; stroke-width: 2; }
.rule { stroke: #d8dee4; }
@media (prefers-color-scheme: dark) {
.card { fill: #0d1117; stroke: #3d444d; }
.title, .head, .name, .value { fill: #f0f6fc; }
.small, .times { fill: #9198a1; }
.track { fill: #1c2128; }
.bar { fill: #656c76; }
.this { fill: #4493f8; }
.floor { stroke: #db6d28; }
.rule { stroke: #2f353d; }
}
";

/// Draws the picture.
pub fn draw(report: &Report) -> Document {
    let rows = &report.results.rows;
    let count = COLUMNS.len() as f64;
    let width = 2.0 * MARGIN + NAMES + count * COLUMN + (count - 1.0) * GAP;
    let height = TOP + rows.len() as f64 * ROW + FOOT;
    let subtitle = format!(
        "Supervising {} refused paths, starting for one of them, waiting with one. Shorter is better.",
        thousands(report.plan.directories as f64)
    );

    let mut picture = Document::new()
        .set("viewBox", (0, 0, width, height))
        .set("width", width)
        .set("height", height)
        .set("role", "img")
        .add(Title::new("seccomp-notify-min beside other builds"))
        .add(Description::new().add(svg::node::Text::new(describe(rows))))
        .add(Style::new(STYLE))
        .add(
            Rectangle::new()
                .set("class", "card")
                .set("x", 0.5)
                .set("y", 0.5)
                .set("width", width - 1.0)
                .set("height", height - 1.0)
                .set("rx", 8),
        )
        .add(text(MARGIN, 38.0, "title", "The same demonstration, built in different ways"))
        .add(text(MARGIN, 58.0, "small", &subtitle));

    for (index, row) in rows.iter().enumerate() {
        let y = TOP + index as f64 * ROW;
        picture = picture
            .add(
                Line::new()
                    .set("class", "rule")
                    .set("x1", MARGIN)
                    .set("x2", width - MARGIN)
                    .set("y1", y - 8.0)
                    .set("y2", y - 8.0),
            )
            .add(text(MARGIN, y + 15.0, &class("name", row), &row.title));
    }
    let floor = report.results.loops.iter();
    for (index, (column, head, unit)) in COLUMNS.into_iter().enumerate() {
        let x = MARGIN + NAMES + index as f64 * (COLUMN + GAP);
        let floor = match column {
            Column::Pinned => floor.clone().find(|l| l.pinned),
            Column::Unpinned => floor.clone().find(|l| !l.pinned),
            _ => None,
        };
        picture = picture
            .add(text(x, TOP - 36.0, "head", head))
            .add(text(x, TOP - 20.0, "small", unit))
            .add(bars(rows, column, x, floor.map(|l| l.bare.median)));
    }

    let foot = height - FOOT + 24.0;
    let remark = "Medians; × is how many times this program's figure.";
    picture
        .add(
            Line::new()
                .set("class", "floor")
                .set("x1", MARGIN)
                .set("x2", MARGIN)
                .set("y1", foot - 10.0)
                .set("y2", foot + 1.0),
        )
        .add(text(
            MARGIN + 8.0,
            foot,
            "small",
            &format!("The kernel's bare round trip: receive, answer, and nothing else. {remark}"),
        ))
        .add(text(
            MARGIN,
            foot + 18.0,
            "small",
            "The wake-up flag of Linux 6.6 decides what any processor costs: this program and the tuned C set it, the others do not.",
        ))
        .add(text(MARGIN, foot + 36.0, "small", &report.place()))
}

/// The bars of one column.
fn bars(rows: &[Row], column: Column, x: f64, floor: Option<f64>) -> Group {
    let values = || rows.iter().filter_map(|row| row.figures.get(&column));
    let longest = values().map(|value| value.median).fold(0.0, f64::max);
    let ours = rows.iter().find(|row| row.row == THIS).and_then(|row| row.figures.get(&column));
    let mut group = Group::new();
    for (index, row) in rows.iter().enumerate() {
        let y = TOP + index as f64 * ROW;
        let value = row.figures.get(&column);
        group = group.add(text(x, y + 7.0, &class("value", row), &figure(column, value)));
        let Some(value) = value else {
            continue;
        };
        // The median of the ratios within each round. The quotient of the two medians may differ in the last digit.
        let ratio = row.ratios.get(&column).map(|ratio| 1.0 / ratio.median);
        if let (Some(ratio), Some(_), false) = (ratio, ours, row.row == THIS) {
            group = group.add(text(x + COLUMN, y + 7.0, "times", &times(ratio)));
        }
        let length = (COLUMN * value.median / longest).max(1.5);
        group = group.add(bar("track", x, y + 13.0, COLUMN)).add(bar(
            &class("bar", row),
            x,
            y + 13.0,
            length,
        ));
    }
    if let Some(floor) = floor.filter(|floor| *floor < longest) {
        let x = x + COLUMN * floor / longest;
        for index in 0..rows.len() {
            let y = TOP + index as f64 * ROW + 13.0;
            group = group.add(
                Line::new()
                    .set("class", "floor")
                    .set("x1", x)
                    .set("x2", x)
                    .set("y1", y - 2.0)
                    .set("y2", y + BAR + 2.0),
            );
        }
    }
    group
}

/// The picture's content as text, for screen readers.
fn describe(rows: &[Row]) -> String {
    let line = |row: &Row| {
        let figures = COLUMNS.iter().map(|(column, head, unit)| {
            format!("{head} {} {unit}", figure(*column, row.figures.get(column)))
        });
        format!("{}: {}.", row.title, figures.collect::<Vec<_>>().join(", "))
    };
    rows.iter().map(line).collect::<Vec<_>>().join(" ")
}

/// The CSS class: this program's rows have a colour of their own.
fn class(base: &str, row: &Row) -> String {
    match row.row.as_str() {
        THIS | THIS_SC if base == "bar" => "bar this".into(),
        THIS => format!("{base} ours"),
        _ => base.into(),
    }
}

fn text(x: f64, y: f64, class: &str, content: &str) -> Text {
    Text::new(content).set("class", class).set("x", x).set("y", y)
}

fn bar(class: &str, x: f64, y: f64, length: f64) -> Rectangle {
    Rectangle::new()
        .set("class", class)
        .set("x", x)
        .set("y", y)
        .set("width", (length * 10.0).round() / 10.0)
        .set("height", BAR)
        .set("rx", 1.5)
}

/// A ratio, with as many digits as are significant.
fn times(ratio: f64) -> String {
    if ratio >= 9.95 {
        format!("{ratio:.0}×")
    } else if ratio >= 1.95 {
        format!("{ratio:.1}×")
    } else {
        format!("{ratio:.2}×")
    }
}
