//! The lanes as a picture: time to the first byte over the number of connections, both on a logarithmic scale.
//! Never holds a figure that the table does not have.
//! Called by `main` when a folder to write to was given.

use std::{error::Error, path::Path};

use plotters::{
    chart::{ChartBuilder, SeriesLabelPosition},
    coord::Shift,
    drawing::{DrawingArea, IntoDrawingArea as _},
    element::{Circle, PathElement},
    prelude::{IntoLogRange as _, SVGBackend},
    series::LineSeries,
    style::{BLACK, Color as _, RGBColor, WHITE},
};

use crate::{
    lanes::{Cell, LANES, Shape},
    load::Load,
};

/// Two pictures side by side. Unit: pixels.
const SIZE: (u32, u32) = (1_000, 420);
/// One for each lane; told apart by people who do not see red and green as well.
const COLOURS: [RGBColor; 3] = [RGBColor(120, 120, 120), RGBColor(0, 114, 178), RGBColor(213, 94, 0)];
/// Both axes of time. Unit: microseconds.
const TIME_US: (f64, f64) = (10.0, 1_000_000.0);

/// Draws the streamed lanes into a file.
pub(crate) fn draw(cells: &[Cell], path: &Path) -> Result<(), Box<dyn Error>> {
    let area = SVGBackend::new(path, SIZE).into_drawing_area();
    area.fill(&WHITE)?;
    let (left, right) = area.split_horizontally(SIZE.0 / 2);
    draw_one(cells, &left, "TTFT p50, streams", |load| load.first_us().percentile(50))?;
    draw_one(cells, &right, "TTFT p99, streams", |load| load.first_us().percentile(99))?;
    area.present()?;
    Ok(())
}

fn draw_one(
    cells: &[Cell],
    area: &DrawingArea<SVGBackend<'_>, Shift>,
    caption: &str,
    figure: impl Fn(&Load) -> u64,
) -> Result<(), Box<dyn Error>> {
    let mut chart = ChartBuilder::on(area)
        .caption(caption, ("sans-serif", 18))
        .margin(12)
        .x_label_area_size(40)
        .y_label_area_size(70)
        .build_cartesian_2d((1.0..1_024.0).log_scale().base(2.0), (TIME_US.0..TIME_US.1).log_scale())?;
    chart
        .configure_mesh()
        .x_desc("connections")
        .y_desc("µs")
        .x_label_formatter(&|connections| format!("{connections:.0}"))
        .y_label_formatter(&|micros| format!("{micros:.0}"))
        .draw()?;
    for (lane, colour) in LANES.into_iter().zip(COLOURS) {
        let cells = cells.iter().filter(|cell| cell.lane == lane && cell.shape == Shape::Stream);
        let points: Vec<(f64, f64)> = cells
            .map(|cell| (cell.connections as f64, figure(&cell.load) as f64))
            .map(|(connections, micros)| (connections, micros.max(TIME_US.0)))
            .collect();
        chart
            .draw_series(LineSeries::new(points.iter().copied(), colour.stroke_width(2)))?
            .label(lane)
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 16, y)], colour.stroke_width(2)));
        chart.draw_series(points.iter().map(|&point| Circle::new(point, 3, colour.filled())))?;
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::UpperLeft)
        .background_style(WHITE)
        .border_style(BLACK)
        .draw()?;
    Ok(())
}
