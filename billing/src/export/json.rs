//! Rows as JSON Lines: one object for each, whole numbers as numbers, decimals as text with all digits.
//! Never more than the rows that were not taken yet.
//! Called by `Encoder`.

use serde_json::Value;

use super::table::{Cell, Column};

/// One line; empty cells are null.
pub(super) fn row(buffer: &mut Vec<u8>, columns: &[Column], cells: &[Cell]) {
    let value = |cell: &Cell| match cell {
        Cell::Empty => Value::Null,
        Cell::Count(number) => Value::from(*number),
        Cell::Flag(flag) => Value::Bool(*flag),
        Cell::Text(_) | Cell::Decimal(_) | Cell::Instant(_) => cell.to_plain().into(),
    };
    // Written by hand, as a map may sort its names.
    for (index, (column, cell)) in columns.iter().zip(cells).enumerate() {
        buffer.extend_from_slice(if index == 0 { b"{\"" } else { b",\"" });
        buffer.extend_from_slice(column.name.as_bytes());
        buffer.extend_from_slice(b"\":");
        buffer.extend_from_slice(value(cell).to_string().as_bytes());
    }
    buffer.extend_from_slice(b"}\n");
}
