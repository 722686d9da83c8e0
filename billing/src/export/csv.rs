//! Rows as CSV (RFC 4180, lines end with a line feed), safe to open in a spreadsheet.
//! Never more than the rows that were not taken yet.
//! Called by `Encoder`.

use super::table::{Cell, Column};

/// How a cell begins that a spreadsheet takes for a formula.
const FORMULA: [char; 6] = ['=', '+', '-', '@', '\t', '\r'];

/// The heading line.
pub(super) fn begin(buffer: &mut Vec<u8>, columns: &[Column]) {
    let names: Vec<_> = columns.iter().map(|column| column.name).collect();
    buffer.extend_from_slice(names.join(",").as_bytes());
    buffer.push(b'\n');
}

/// One line.
pub(super) fn row(buffer: &mut Vec<u8>, cells: &[Cell]) {
    for (index, cell) in cells.iter().enumerate() {
        if index > 0 {
            buffer.push(b',');
        }
        let text = match cell {
            Cell::Text(text) => harmless(text),
            Cell::Empty | Cell::Count(_) | Cell::Decimal(_) | Cell::Flag(_) | Cell::Instant(_) => {
                cell.to_plain().unwrap_or_default()
            }
        };
        buffer.extend_from_slice(quoted(&text).as_bytes());
    }
    buffer.push(b'\n');
}

/// A text that would be a formula gets an apostrophe in front, which spreadsheets do not show.
fn harmless(text: &str) -> String {
    match text.starts_with(FORMULA) {
        true => format!("'{text}"),
        false => text.to_owned(),
    }
}

/// Quoted where it must be.
fn quoted(text: &str) -> String {
    match text.contains([',', '"', '\n', '\r']) {
        true => format!("\"{}\"", text.replace('"', "\"\"")),
        false => text.to_owned(),
    }
}
