//! The pictures of the page.

use anyhow::Context;
use plotters::prelude::*;

/// Draws a bar for each of these names and values, and a line at one value.
///
/// # Errors
///
/// The library cannot draw them.
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

const SIZE: (u32, u32) = (900, 380);

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
}
