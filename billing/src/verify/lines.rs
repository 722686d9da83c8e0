//! The lines of an export, one after another, each up to a bound.
//! Never more than one line in memory, and never what a line says.
//! Called by the readers of usage records and of usage events.

use std::io::{BufRead, Read as _};

use super::VerifyError;

/// Gives each line that is not blank to `take`, with its number from 1. `None`: it is longer than `bytes_max`.
///
/// Errors: a source that cannot be read; what `take` refuses.
pub(super) fn each_line(
    mut source: impl BufRead,
    bytes_max: usize,
    mut take: impl FnMut(u64, Option<&[u8]>) -> Result<(), VerifyError>,
) -> Result<(), VerifyError> {
    let limit = u64::try_from(bytes_max).unwrap_or(u64::MAX);
    let mut text = Vec::new();
    for number in 1.. {
        text.clear();
        let length = source.by_ref().take(limit).read_until(b'\n', &mut text)?;
        if length == 0 {
            break;
        }
        if text.iter().all(u8::is_ascii_whitespace) {
            continue;
        }
        let is_whole = length < bytes_max || text.last() == Some(&b'\n');
        take(number, is_whole.then_some(&text))?;
    }
    Ok(())
}
