//! The pictures of the page.

use anyhow::Context;
use plotters::prelude::*;

use crate::results::Capacity;

/// A bar of a picture.
#[derive(Debug, Clone)]
pub(crate) struct Bar<'a> {
    pub(crate) name: &'a str,
    pub(crate) value: f64,
    /// The server that it is about, which gives it its colour.
    pub(crate) server: &'a str,
}

/// Draws horizontal bars, from top to bottom, and a line at one value.
///
/// # Errors
///
/// If the library cannot draw them.
pub(crate) fn bars(title: &str, bars: &[Bar<'_>], line: Option<f64>) -> anyhow::Result<String> {
    let mut picture = String::new();
    draw(title, bars, line, &mut picture).context("cannot draw")?;
    Ok(picture)
}

fn draw(
    title: &str,
    bars: &[Bar<'_>],
    line: Option<f64>,
    picture: &mut String,
) -> anyhow::Result<()> {
    let values = bars.iter().map(|bar| bar.value);
    let highest = values.chain(line).fold(0.0, f64::max);
    // A picture has 32 lines at most.
    let height = TITLE_HEIGHT + BAR_HEIGHT * bars.len() as u32;
    let backend = SVGBackend::with_string(picture, (SIZE.0, height)).into_drawing_area();
    backend.fill(&WHITE)?;

    let mut chart = ChartBuilder::on(&backend)
        .caption(title, ("sans-serif", 20))
        .margin(12)
        .x_label_area_size(30)
        .y_label_area_size(NAME_WIDTH)
        // Segments include the end of the range.
        .build_cartesian_2d(
            0.0..highest * 1.1,
            (0..bars.len().saturating_sub(1)).into_segmented(),
        )?;
    // Axes begin at the bottom.
    let from_top = |index: usize| bars.len() - 1 - index;
    chart
        .configure_mesh()
        .disable_y_mesh()
        .x_max_light_lines(0)
        .label_style(("sans-serif", 14))
        .y_labels(bars.len() + 1)
        .y_label_formatter(&|place| match place {
            SegmentValue::CenterOf(index) if *index < bars.len() => {
                bars[from_top(*index)].name.to_owned()
            }
            _ => String::new(),
        })
        .draw()?;

    chart.draw_series(bars.iter().enumerate().map(|(index, bar)| {
        let index = from_top(index);
        let corners = [
            (0.0, SegmentValue::Exact(index)),
            (bar.value, SegmentValue::Exact(index + 1)),
        ];
        let mut rectangle = Rectangle::new(corners, color(bar.server).filled());
        rectangle.set_margin(5, 5, 0, 0);
        rectangle
    }))?;
    chart.draw_series(bars.iter().enumerate().map(|(index, bar)| {
        let place = (bar.value, SegmentValue::CenterOf(from_top(index)));
        let digits = if bar.value < 10.0 { 2 } else { 1 };
        let value = format!("{:.digits$}", bar.value);
        EmptyElement::at(place) + Text::new(value, (6, -6), ("sans-serif", 14))
    }))?;

    if let Some(line) = line {
        let ends = [
            (line, SegmentValue::Exact(0)),
            (line, SegmentValue::Exact(bars.len())),
        ];
        chart.draw_series([PathElement::new(ends, RED.stroke_width(2))])?;
    }
    backend.present()?;
    Ok(())
}

/// The colour of a server in all pictures.
fn color(server: &str) -> RGBColor {
    let known = COLORS.iter().find(|(name, _)| server.starts_with(name));
    known.map_or(BLACK, |(_, color)| *color)
}

/// Draws the total capacity of nodes, for each load.
///
/// # Errors
///
/// If the library cannot draw them.
pub(crate) fn capacities(capacities: &[Capacity]) -> anyhow::Result<String> {
    let mut picture = String::new();
    draw_capacities(capacities, &mut picture).context("cannot draw")?;
    Ok(picture)
}

fn draw_capacities(capacities: &[Capacity], picture: &mut String) -> anyhow::Result<()> {
    let backend = SVGBackend::with_string(picture, SIZE).into_drawing_area();
    backend.fill(&WHITE)?;
    let nodes = 1..=MAX_NODES;
    let most = f64::from(MAX_NODES);
    let mut chart = ChartBuilder::on(&backend)
        .caption("Requests that nodes serve in all", ("sans-serif", 20))
        .margin(12)
        .x_label_area_size(44)
        .y_label_area_size(56)
        .build_cartesian_2d(0.0..most, 0.0..most)?;
    chart
        .configure_mesh()
        .label_style(("sans-serif", 14))
        .max_light_lines(0)
        .x_label_formatter(&|value| format!("{value:.0}"))
        .y_label_formatter(&|value| format!("{value:.0}"))
        .x_desc("nodes")
        .y_desc("times as many as one alone")
        .draw()?;
    let free = [(0.0, 0.0), (most, most)];
    chart
        .draw_series([PathElement::new(free, LINES[0].stroke_width(1))])?
        .label("if sharing cost nothing")
        .legend(|place| key(place, LINES[0]));
    for (capacity, color) in capacities.iter().zip(LINES.into_iter().skip(1)) {
        let points = nodes
            .clone()
            .map(|it| (f64::from(it), capacity.served(it)))
            .collect::<Vec<_>>();
        chart
            .draw_series([PathElement::new(points, color.stroke_width(2))])?
            .label(&capacity.load)
            .legend(move |place| key(place, color));
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::UpperLeft)
        .label_font(("sans-serif", 14))
        .draw()?;
    drop(chart);
    backend.present()?;
    Ok(())
}

/// A piece of a line in the legend.
fn key((x, y): (i32, i32), color: RGBColor) -> PathElement<(i32, i32)> {
    PathElement::new([(x, y), (x + 20, y)], color.stroke_width(2))
}

const SIZE: (u32, u32) = (900, 380);

/// The maximum number of nodes in the picture.
const MAX_NODES: u32 = 32;

const LINES: [RGBColor; 3] = [
    RGBColor(150, 150, 150),
    RGBColor(70, 130, 180),
    RGBColor(190, 80, 50),
];

/// Servers, by the beginnings of their names.
const COLORS: [(&str, RGBColor); 4] = [
    ("aquatic", RGBColor(70, 130, 180)),
    ("bare", RGBColor(150, 150, 150)),
    ("bittorrent-tracker", RGBColor(190, 80, 50)),
    ("opentracker", RGBColor(210, 160, 60)),
];

/// Height of the title, the axis and the margins of bars, and of a bar.
const TITLE_HEIGHT: u32 = 84;
const BAR_HEIGHT: u32 = 32;

/// Width of the names of bars.
const NAME_WIDTH: u32 = 270;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_values_are_in_the_picture() {
        let [first, second] = [
            ("first", 2.5, "aquatic-udp"),
            ("second", 12.54, "bare echo"),
        ]
        .map(|(name, value, server)| Bar {
            name,
            value,
            server,
        });
        let picture = bars("Times", &[first, second], Some(1.5)).unwrap();
        for text in ["Times", "first", "second", "2.50", "12.5", "#4682B4"] {
            assert!(picture.contains(text), "{text} is missing");
        }
        // Axes are drawn from the bottom.
        assert!(picture.find("second") < picture.find("first"));
    }

    #[test]
    fn nodes_serve_less_the_more_they_are_told() {
        let capacity = Capacity {
            load: "half and half".to_owned(),
            shared: 1.0,
            another: 0.032,
        };
        assert_eq!(capacity.served(1), 1.0);
        assert!((capacity.served(16) - 10.8).abs() < 0.1);
        let picture = capacities(&[capacity]).unwrap();
        for text in ["half and half", "nodes"] {
            assert!(picture.contains(text), "{text} is missing");
        }
    }
}
