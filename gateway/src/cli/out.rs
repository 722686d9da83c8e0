//! Lines for the person at the terminal.
//! Never a log: results go to standard output, complaints to standard error.
//! Used by every command.

use std::{
    fs,
    io::{self, Write as _},
    path::Path,
};

use super::CliError;

/// Prints a line of a result. A reader that has gone away, as `head` does, is no failure.
pub(super) fn say(line: &str) {
    writeln!(io::stdout().lock(), "{line}").ok();
}

/// Prints a result as it is, without a line end of its own.
pub(super) fn give(text: &(impl AsRef<[u8]> + ?Sized)) {
    let mut stdout = io::stdout().lock();
    stdout.write_all(text.as_ref()).and_then(|()| stdout.flush()).ok();
}

/// Writes a result to a file and says so, or prints it when there is none.
///
/// Errors: a file that cannot be written.
pub(super) fn give_to(path: Option<&Path>, result: &[u8]) -> Result<(), CliError> {
    let Some(path) = path else {
        give(result);
        return Ok(());
    };
    let what = path.display().to_string();
    fs::write(path, result).map_err(|source| CliError::Io { what, source })?;
    say(&format!("wrote {}", path.display()));
    Ok(())
}

/// Prints a complaint.
pub(super) fn complain(line: &str) {
    writeln!(io::stderr().lock(), "{line}").ok();
}

/// Prints rows under headings, each column as wide as its widest cell.
pub(super) fn table<const N: usize>(headings: [&str; N], rows: &[[String; N]]) {
    let width = |column: usize| {
        let cells = rows.iter().map(|row| row[column].chars().count());
        cells.chain([headings[column].chars().count()]).max().unwrap_or(0)
    };
    let widths: [usize; N] = std::array::from_fn(width);
    let line = |cells: [&str; N]| {
        let padded: Vec<_> =
            cells.iter().zip(widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        say(padded.join("  ").trim_end());
    };
    line(headings);
    for row in rows {
        line(std::array::from_fn(|column| row[column].as_str()));
    }
}
