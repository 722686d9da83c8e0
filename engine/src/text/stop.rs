//! Finds stop strings in a stream of text, across the borders of its pieces.
//! Never lets out text that may yet turn out to be part of a stop string.
//! One `StopMatcher` lives in each running sequence.

/// What is certain after a piece of text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Matched {
    /// Text that can be let out now.
    pub(crate) text: String,
    /// A stop string is complete; what followed `text` is not part of the answer.
    pub(crate) is_stopped: bool,
}

/// Stop strings and the text held back because of them.
#[derive(Clone, Debug)]
pub(crate) struct StopMatcher {
    stops: Vec<String>,
    held: String,
    /// The stop string that came.
    found: Option<String>,
}

impl StopMatcher {
    /// A matcher for these strings; empty ones match nothing.
    pub(crate) fn new(mut stops: Vec<String>) -> Self {
        stops.retain(|stop| !stop.is_empty());
        Self { stops, held: String::new(), found: None }
    }

    /// Takes the next piece of text. After a stop, everything is swallowed.
    pub(crate) fn push(&mut self, piece: &str) -> Matched {
        if self.stops.is_empty() {
            return Matched { text: piece.to_owned(), is_stopped: false };
        }
        self.held.push_str(piece);
        if let Some((start, stop)) = self.find_stop() {
            self.found = Some(stop.to_owned());
            self.held.truncate(start);
            return Matched { text: std::mem::take(&mut self.held), is_stopped: true };
        }
        let certain = self.held.len() - self.undecided_len();
        let rest = self.held.split_off(certain);
        Matched { text: std::mem::replace(&mut self.held, rest), is_stopped: false }
    }

    /// The text still held back, when no more comes, and the stop string that came.
    pub(crate) fn into_ends(self) -> (String, Option<String>) {
        (self.held, self.found)
    }

    /// The stop string that is complete first and where it begins; of those that end together, the longest.
    /// So the answer does not depend on how the text was cut into tokens.
    fn find_stop(&self) -> Option<(usize, &str)> {
        let found = self
            .stops
            .iter()
            .filter_map(|stop| self.held.find(stop).map(|start| (start + stop.len(), start, stop.as_str())));
        found.min().map(|(_, start, stop)| (start, stop))
    }

    /// Length of the longest end of `held` that begins some stop string.
    fn undecided_len(&self) -> usize {
        let longest_start = |stop: &String| {
            let begins =
                |length: &usize| stop.is_char_boundary(*length) && self.held.ends_with(&stop[..*length]);
            (1..stop.len()).rev().find(begins).unwrap_or(0)
        };
        self.stops.iter().map(longest_start).max().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The pieces let out, joined by `|`, then `.` if stopped, else what was still held.
    fn check(stops: &[&str], pieces: &[&str], expected: &str) {
        let mut matcher = StopMatcher::new(stops.iter().map(|stop| (*stop).to_owned()).collect());
        let mut seen = Vec::new();
        let mut end = None;
        for piece in pieces {
            let matched = matcher.push(piece);
            seen.push(matched.text);
            if matched.is_stopped {
                end = Some(".".to_owned());
                break;
            }
        }
        let end = end.unwrap_or_else(|| format!("~{}", matcher.into_ends().0));
        assert_eq!(seen.join("|") + &end, expected, "stops {stops:?}, pieces {pieces:?}");
    }

    #[test]
    fn stop_strings_are_found_across_pieces() {
        check(&[], &["a", "b"], "a|b~");
        check(&[""], &["a"], "a~");
        check(&["b"], &["abc"], "a.");
        check(&["\n\n"], &["one\n", "\ntwo"], "one|.");
        check(&["\n\n"], &["one\n", "two\n"], "one|\ntwo~\n");
        check(&["END"], &["E", "N", "E", "N", "D", "x"], "||EN||.");
        check(&["aab"], &["aa", "ab"], "|a.");
        check(&["abcdef", "cd"], &["abcdef"], "ab.");
        check(&["bcd", "d"], &["abcd"], "a.");
        check(&["cd", "abcdef"], &["ab", "cd"], "|ab.");
        check(&["é!"], &["caf", "é", "?"], "caf||é?~");
        check(&["stop"], &["no sto"], "no ~sto");
    }

    /// The rule in its simplest form: read one character at a time, look back for any stop string.
    fn expected(stops: &[String], text: &str) -> (String, bool) {
        let mut read = String::new();
        for character in text.chars() {
            read.push(character);
            let ended = stops.iter().filter(|stop| read.ends_with(stop.as_str())).map(String::len).max();
            if let Some(length) = ended {
                read.truncate(read.len() - length);
                return (read, true);
            }
        }
        (read, false)
    }

    proptest! {
        #[test]
        fn cutting_the_text_differently_changes_nothing(
            stops in prop::collection::vec("[abé]{1,4}", 0..4),
            pieces in prop::collection::vec("[abé]{0,5}", 0..8),
        ) {
            let mut matcher = StopMatcher::new(stops.clone());
            let (mut text, mut is_stopped) = (String::new(), false);
            for piece in &pieces {
                let matched = matcher.push(piece);
                text += &matched.text;
                if matched.is_stopped {
                    is_stopped = true;
                    break;
                }
            }
            if !is_stopped {
                text += &matcher.into_ends().0;
            }
            prop_assert_eq!((text, is_stopped), expected(&stops, &pieces.concat()));
        }
    }
}
