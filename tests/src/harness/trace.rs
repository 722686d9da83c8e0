//! Reads a trace of real traffic: when requests came, and how long prompts and answers were.
//! Never scales or replays: the load test does.
//! Called by the load test.

use std::{fs, time::Duration};

use super::{HarnessError, Outcome, program};

/// One request of a trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceRow {
    /// When it came, after the first one.
    pub at: Duration,
    /// Tokens of its prompt.
    pub prompt_tokens: u64,
    /// Tokens of its answer.
    pub output_tokens: u64,
}

/// Reads `tests/fixtures/<name>`: a heading, then `TIMESTAMP,ContextTokens,GeneratedTokens`.
///
/// Errors: no such file, a row that cannot be read, times that go backwards.
pub fn read_trace(name: &str) -> Outcome<Vec<TraceRow>> {
    let path = program::root().join("tests/fixtures").join(name);
    let text = fs::read_to_string(&path).map_err(HarnessError::io(path.display().to_string()))?;
    let mut rows: Vec<TraceRow> = Vec::new();
    let mut first = None;
    for (index, line) in text.lines().enumerate().skip(1) {
        let fault = || HarnessError::Fixture { path: name.to_owned(), line: index + 1 };
        let (at, prompt_tokens, output_tokens) = row(line).ok_or_else(fault)?;
        let start = *first.get_or_insert(at);
        let at = at.checked_sub(start).filter(|at| rows.last().is_none_or(|last| last.at <= *at));
        rows.push(TraceRow { at: at.ok_or_else(fault)?, prompt_tokens, output_tokens });
    }
    Ok(rows)
}

/// `2023-11-16 18:15:46.6805900,374,44`
fn row(line: &str) -> Option<(Duration, u64, u64)> {
    let [timestamp, prompt, output] = line.split(',').collect::<Vec<_>>().try_into().ok()?;
    let (date, time) = timestamp.split_once(' ')?;
    // A trace lies within a month: the day of the month is enough.
    let day: u64 = date.rsplit_once('-')?.1.parse().ok()?;
    let [hour, minute, second] = time.split(':').collect::<Vec<_>>().try_into().ok()?;
    let (second, fraction) = second.split_once('.').unwrap_or((second, "0"));
    let whole = ((day * 24 + hour.parse::<u64>().ok()?) * 60 + minute.parse::<u64>().ok()?) * 60;
    let nanos: u32 = format!("{fraction:0<9}").get(..9)?.parse().ok()?;
    let at = Duration::new(whole + second.parse::<u64>().ok()?, nanos);
    Some((at, prompt.parse().ok()?, output.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_read() {
        let (first, prompt, output) = row("2023-11-16 18:15:46.6805900,374,44").expect("a row");
        let (second, ..) = row("2023-11-16 18:15:50.9951690,396,109").expect("a row");
        assert_eq!((second - first, prompt, output), (Duration::from_micros(4_314_579), 374, 44));
        for bad in ["", "2023-11-16 18:15:46,374", "yesterday,1,2", "2023-11-16 18:15:46.1,a,2"] {
            assert_eq!(row(bad), None, "{bad}");
        }
    }
}
