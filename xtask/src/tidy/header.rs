//! The three sentences every Rust file opens with: what lives here, what never does, who calls it.
//! Never judges what they say.
//! Run by `tidy`.

use super::{Tree, Violation};

const RULE: &str = "header";

/// Checks every Rust file. Paragraphs after the first are free.
pub(super) fn check(tree: &Tree) -> Vec<Violation> {
    let problem = |text: &str| -> Option<String> {
        let header = first_paragraph(text);
        if header.is_empty() {
            return Some(
                "open the file with `//!`: what lives here, what never does, who calls it".to_owned(),
            );
        }
        let (count, is_finished) = sentences(&header);
        match (count, is_finished) {
            (3, true) => None,
            (_, false) => Some("the last sentence of the header does not end".to_owned()),
            (count, true) => Some(format!("the header has {count} sentences, not three")),
        }
    };
    let files = tree.rust_files();
    files.filter_map(|file| Some(Violation::new(&file.path, 1, RULE, problem(&file.text)?))).collect()
}

/// All lines of the header, of all its paragraphs.
pub(super) fn lines(text: &str) -> impl Iterator<Item = &str> {
    text.lines().map_while(|line| line.strip_prefix("//!")).map(str::trim)
}

fn first_paragraph(text: &str) -> String {
    lines(text).take_while(|line| !line.is_empty()).collect::<Vec<_>>().join(" ")
}

/// How many sentences end in a text, and whether the last one does.
///
/// A sentence ends with `.`, `!` or `?` (a closing bracket or quote may follow) at the end of the text or before
/// a space that no small letter follows. What stands in back-ticks ends nothing.
fn sentences(text: &str) -> (usize, bool) {
    let mut count = 0;
    let mut is_finished = false;
    let mut is_code = false;
    let characters: Vec<char> = text.chars().collect();
    for (index, &character) in characters.iter().enumerate() {
        is_code ^= character == '`';
        if is_code || !matches!(character, '.' | '!' | '?') {
            is_finished &= character.is_whitespace() || ")]\"'*_`".contains(character);
            continue;
        }
        let rest = &characters[index + 1..];
        let closers = rest.iter().take_while(|c| ")]\"'*_".contains(**c)).count();
        let rest = &rest[closers..];
        let next = rest.iter().find(|c| !c.is_whitespace());
        let ends = match (rest.first(), next) {
            (Some(first), Some(next)) => first.is_whitespace() && !next.is_lowercase(),
            _ => true,
        };
        count += usize::from(ends);
        is_finished = ends;
    }
    (count, is_finished)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::tests::broken_lines;

    #[test]
    fn sentences_are_counted() {
        let rows = [
            ("", (0, false)),
            ("One. Two. Three.", (3, true)),
            ("One. Two. Three", (2, false)),
            ("Used by a (can it be met?), b (was it?) and c. `x` does. \"Quoted.\" (Bracketed.)", (4, true)),
            ("Lives in sql.rs and 1.5 is a number.", (1, true)),
            ("Code `a. B. c` ends nothing.", (1, true)),
            ("What?! Yes!", (2, true)),
        ];
        for (text, expected) in rows {
            assert_eq!(sentences(text), expected, "{text}");
        }
    }

    #[test]
    fn three_sentences_open_a_file() {
        let rows = [
            ("//! One.\n//! Two.\n//! Three.\n", true),
            ("//! One. Two,\n//! still two. Three.\n//!\n//! More. And more.\n", true),
            ("//! One.\n//! Two.\n", false),
            ("//! One.\n//! Two.\n//! Three.\n//! Four.\n", false),
            ("\n//! One.\n//! Two.\n//! Three.\n", false),
            ("// One.\n// Two.\n// Three.\n", false),
            ("", false),
        ];
        for (text, is_good) in rows {
            assert_eq!(broken_lines(check, "a.rs", text).is_empty(), is_good, "{text:?}");
        }
    }
}
