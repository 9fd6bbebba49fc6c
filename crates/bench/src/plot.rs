//! The pictures of the page.

use anyhow::Context;
use plotters::prelude::*;

use crate::results::Capacity;

/// Draws a bar for each of these names and values, and a line at one value.
///
/// # Errors
///
/// If the library cannot draw them.
pub(crate) fn bars(bars: &[(&str, f64)], line: Option<f64>) -> anyhow::Result<String> {
    let mut picture = String::new();
    draw(bars, line, &mut picture).context("cannot draw")?;
    Ok(picture)
}

fn draw(bars: &[(&str, f64)], line: Option<f64>, picture: &mut String) -> anyhow::Result<()> {
    let values = bars.iter().map(|(_, value)| *value);
    let highest = values.chain(line).fold(0.0, f64::max);
    let backend = SVGBackend::with_string(picture, SIZE).into_drawing_area();
    backend.fill(&WHITE)?;

    let mut chart = ChartBuilder::on(&backend)
        .caption("Microseconds of CPU per reply", ("sans-serif", 20))
        .margin(12)
        .x_label_area_size(36)
        .y_label_area_size(48)
        // Segments include the end of the range.
        .build_cartesian_2d(
            (0..bars.len().saturating_sub(1)).into_segmented(),
            0.0..highest * 1.15,
        )?;
    chart
        .configure_mesh()
        .disable_x_mesh()
        .label_style(("sans-serif", 14))
        .x_label_formatter(&|place| match place {
            SegmentValue::CenterOf(index) => bars
                .get(*index)
                .map_or_else(String::new, |bar| bar.0.to_owned()),
            _ => String::new(),
        })
        .draw()?;

    chart.draw_series(bars.iter().enumerate().map(|(index, (_, value))| {
        let corners = [
            (SegmentValue::Exact(index), 0.0),
            (SegmentValue::Exact(index + 1), *value),
        ];
        let mut bar = Rectangle::new(corners, BAR.filled());
        bar.set_margin(0, 0, 36, 36);
        bar
    }))?;
    chart.draw_series(bars.iter().enumerate().map(|(index, (_, value))| {
        let place = (SegmentValue::CenterOf(index), value + highest * 0.06);
        Text::new(format!("{value:.2}"), place, ("sans-serif", 14))
    }))?;

    if let Some(line) = line {
        let ends = [
            (SegmentValue::Exact(0), line),
            (SegmentValue::Exact(bars.len()), line),
        ];
        chart.draw_series([PathElement::new(ends, RED.stroke_width(2))])?;
    }
    backend.present()?;
    Ok(())
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

const BAR: RGBColor = RGBColor(70, 130, 180);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_values_are_in_the_picture() {
        let picture = bars(&[("first", 2.5), ("second", 1.25)], Some(1.5)).unwrap();
        for text in ["first", "second", "2.50", "1.25"] {
            assert!(picture.contains(text), "{text} is missing");
        }
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
