//! The commands that the documents show: each is one that the program knows, and works on files that are there by then.
//! Never runs one.
//! Run by `cargo test`.

use std::collections::BTreeSet;

use clap::Parser as _;

use super::Cli;

const DOCUMENTS: [(&str, &str); 4] = [
    ("README.md", include_str!("../../../README.md")),
    ("docs/billing.md", include_str!("../../../docs/billing.md")),
    ("docs/exports.md", include_str!("../../../docs/exports.md")),
    ("docs/operating.md", include_str!("../../../docs/operating.md")),
];

/// The words of a command, as a shell takes them apart, and the file that its output goes to.
fn words(line: &str) -> (Vec<String>, Option<String>) {
    let (mut words, mut into): (Vec<String>, _) = (Vec::new(), None);
    let (mut is_quoted, mut is_word) = (false, false);
    for letter in line.chars() {
        match letter {
            ' ' if !is_quoted => is_word = false,
            '#' if !is_quoted && !is_word => break,
            letter => {
                if !is_word {
                    words.push(String::new());
                }
                is_word = true;
                match words.last_mut() {
                    Some(word) if letter != '"' => word.push(letter),
                    Some(_) | None => is_quoted = !is_quoted,
                }
            }
        }
    }
    if let Some(place) = words.iter().position(|word| word == ">") {
        into = words.get(place + 1).cloned();
        words.truncate(place);
    }
    (words, into)
}

/// What follows an option.
fn values<'a>(words: &'a [String], option: &str) -> Vec<&'a str> {
    let pairs = words.windows(2).filter(|pair| pair[0] == option);
    pairs.map(|pair| pair[1].as_str()).collect()
}

#[test]
fn commands_of_the_documents_are_there() {
    let mut count = 0;
    for (document, text) in DOCUMENTS {
        let mut files = BTreeSet::new();
        for line in text.lines().filter(|line| line.starts_with("    tallygate ")) {
            count += 1;
            let (words, into) = words(line.trim());
            // What stands for an id of one's own.
            let is_id = |word: &String| ["REQUEST", "ENDPOINT"].contains(&word.as_str());
            let some_id = "01930000-0000-7000-8000-000000000001";
            let filled = words.iter().map(|word| if is_id(word) { some_id } else { word.as_str() });
            if let Err(error) = Cli::try_parse_from(filled) {
                panic!("{document}: {line}\n{error}");
            }
            if words[1] == "verify" {
                for option in ["--invoice", "--usage", "--plan"] {
                    for file in values(&words, option) {
                        assert!(files.contains(file), "{document}: nothing above makes {file}: {line}");
                    }
                }
            }
            // A draft is for the terminal; what is kept or sent is issued.
            let is_kept = words[1] == "invoice" && !values(&words, "--output").is_empty();
            assert!(!is_kept || words.iter().any(|word| word == "--issue"), "{document}: a draft: {line}");
            files.extend(into);
            files.extend(
                ["--output", "--to"].iter().flat_map(|option| values(&words, option)).map(str::to_owned),
            );
        }
    }
    assert!(count > 60, "{count}");
}

#[test]
fn lines_are_taken_apart_as_a_shell_does() {
    let (words, into) = words("tallygate plan show \"a b#c\" --x > file # words > other");
    assert_eq!(words, ["tallygate", "plan", "show", "a b#c", "--x"]);
    assert_eq!(into.as_deref(), Some("file"));
}
