//! The figures as Markdown, and their place in the documentation.
//! Never judges a figure: that is for a person who reads them beside each other.
//! Called by `main`.

use std::{fmt::Write as _, fs, io, path::Path};

use crate::{
    lanes::{Cell, LANES, Shape},
    load::{Load, micros},
    scenarios::{Ages, Flood, HeadOfLine, Paced, SlowStreams},
};

/// What stands around the section in the documentation, so that it can be replaced.
const BEGIN: &str = "<!-- gateway bench: begin -->\n";
const END: &str = "<!-- gateway bench: end -->\n";

/// Everything that was measured.
pub(crate) struct Report {
    pub(crate) machine: String,
    pub(crate) memory_kib: (u64, u64),
    pub(crate) cells: Vec<Cell>,
    pub(crate) paced: Paced,
    pub(crate) floods: Vec<Flood>,
    pub(crate) head_of_line: HeadOfLine,
    pub(crate) slow: SlowStreams,
}

impl Report {
    /// The whole section.
    pub(crate) fn markdown(&self) -> String {
        let mut text = format!("{}\n\n", self.machine);
        text += &lanes(&self.cells);
        let (start, end) = self.memory_kib;
        add(
            &mut text,
            format_args!(
                "Memory of the gateway: {} MB at the start, {} MB after the lanes.\n\n",
                start / 1_024,
                end / 1_024
            ),
        );
        self.scenarios(&mut text);
        text
    }

    fn scenarios(&self, text: &mut String) {
        let Paced { direct, gateway } = &self.paced;
        text.push_str("### Paced chunks\n\nTwenty pieces, 5 ms apart: µs from the backend's write to the client's read.\n\n");
        text.push_str("| way | first p50 | first p99 | others p50 | others p99 | others max |\n|---|---|---|---|---|---|\n");
        for (way, Ages { first_us, rest_us }) in [("direct", direct), ("governed", gateway)] {
            add(
                text,
                format_args!(
                    "| {way} | {} | {} | {} | {} | {} |\n",
                    first_us.percentile(50),
                    first_us.percentile(99),
                    rest_us.percentile(50),
                    rest_us.percentile(99),
                    rest_us.max(),
                ),
            );
        }
        text.push_str("\n### Floods of bad keys\n\n64 connections; the last columns are four connections with a good key beside the flood.\n\n");
        text.push_str("| key | refusals/s | p99 µs | CPU µs/refusal | not 401 | beside: requests/s | beside: total p99 µs |\n|---|---|---|---|---|---|---|\n");
        for flood in &self.floods {
            add(
                text,
                format_args!(
                    "| {} | {:.0} | {} | {:.1} | {} | {:.0} | {} |\n",
                    flood.name,
                    flood.load.per_second(),
                    flood.load.total_us().percentile(99),
                    flood.cpu_us_per_request,
                    flood.load.unexpected(401),
                    flood.beside.per_second(),
                    flood.beside.total_us().percentile(99),
                ),
            );
        }
        let HeadOfLine { alone, beside, huge } = &self.head_of_line;
        text.push_str("\n### A prompt of 100,000 words beside small ones\n\n");
        text.push_str("| requests | requests/s | total p50 µs | total p99 µs | total max µs | failed |\n|---|---|---|---|---|---|\n");
        for (name, load) in [("small, alone", alone), ("small, beside", beside), ("huge", huge)] {
            let total = load.total_us();
            add(
                text,
                format_args!(
                    "| {name} | {:.0} | {} | {} | {} | {} |\n",
                    load.per_second(),
                    total.percentile(50),
                    total.percentile(99),
                    total.max(),
                    load.unexpected(200),
                ),
            );
        }
        self.slow(text);
    }

    fn slow(&self, text: &mut String) {
        let slow = &self.slow;
        let added_kib = slow.memory_kib.saturating_sub(slow.memory_before_kib);
        let streams = u64::try_from(slow.asked).unwrap_or(1).max(1);
        add(
            text,
            format_args!(
                "\n### A thousand slow streams\n\n{} of {} streams of twenty pieces, 100 ms apart, came whole in {:.1} s. First byte p50 {} µs, p99 {} µs; \
             pieces arrived {} µs (p50) and {} µs (p99) after they were sent. Memory {} → {} MB, {} KiB for each stream; CPU {} µs for each stream.\n",
                slow.whole,
                slow.asked,
                slow.took.as_secs_f64(),
                slow.first_us.percentile(50),
                slow.first_us.percentile(99),
                slow.piece_us.percentile(50),
                slow.piece_us.percentile(99),
                slow.memory_before_kib / 1_024,
                slow.memory_kib / 1_024,
                added_kib / streams,
                micros(slow.cpu) / streams,
            ),
        );
    }
}

/// The lanes' tables.
pub(crate) fn lanes(cells: &[Cell]) -> String {
    let mut text = String::new();
    for shape in Shape::ALL {
        lanes_of(cells, &mut text, shape);
    }
    text
}

fn lanes_of(cells: &[Cell], text: &mut String, shape: Shape) {
    add(text, format_args!("### {}\n\n", capital(shape.name())));
    add(
        text,
        format_args!(
            "| connections | lane | requests/s | TTFT p50 µs | TTFT p99 µs | total p50 µs | total p99 µs | \
         added TTFT p50/p99 µs | added total p50/p99 µs | CPU µs/request | failed |\n|---|---|---|---|---|---|---|---|---|---|---|\n"
        ),
    );
    let mut direct: Option<&Load> = None;
    for cell in cells.iter().filter(|cell| cell.shape == shape) {
        if cell.lane == LANES[0] {
            direct = Some(&cell.load);
        }
        let (first, total) = (cell.load.first_us(), cell.load.total_us());
        let added = |pick: fn(&Load) -> crate::load::Sorted| match direct.filter(|_| cell.lane != LANES[0]) {
            Some(direct) => {
                let (here, there) = (pick(&cell.load), pick(direct));
                let over = |percent| here.percentile(percent).saturating_sub(there.percentile(percent));
                format!("{} / {}", over(50), over(99))
            }
            None => String::new(),
        };
        add(
            text,
            format_args!(
                "| {} | {} | {:.0} | {} | {} | {} | {} | {} | {} | {} | {} |\n",
                cell.connections,
                cell.lane,
                cell.load.per_second(),
                first.percentile(50),
                first.percentile(99),
                total.percentile(50),
                total.percentile(99),
                added(Load::first_us),
                added(Load::total_us),
                cell.cpu_us_per_request.map_or_else(String::new, |cpu| format!("{cpu:.0}")),
                cell.load.unexpected(200),
            ),
        );
    }
    text.push('\n');
}

/// Writing to a text cannot fail.
fn add(text: &mut String, part: std::fmt::Arguments<'_>) {
    text.write_fmt(part).ok();
}

fn capital(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

/// Replaces the section in `benchmarks.md`.
///
/// Errors: the file is not there or lacks the marks.
pub(crate) fn write(section: &str, file: &Path) -> io::Result<()> {
    let text = fs::read_to_string(file)?;
    let missing = || io::Error::new(io::ErrorKind::InvalidData, "the marks around the section are missing");
    let (before, rest) = text.split_once(BEGIN).ok_or_else(missing)?;
    let (_, after) = rest.split_once(END).ok_or_else(missing)?;
    fs::write(file, format!("{before}{BEGIN}{section}{END}{after}"))
}
