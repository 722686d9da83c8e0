//! Marks that need a reason or a number: allowed lints, open tasks, ignored tests.
//! Never looks into text literals, where such words may be data.
//! Run by `tidy`.

use super::{Tree, Violation, code::Code, tree::File};

/// Words that announce unfinished work.
const TASK_WORDS: [&str; 2] = ["TODO", "FIXME"];

/// Files whose comments are searched as they are; Rust is searched without its texts, prose not at all.
const OTHER_SOURCES: [&str; 7] = [".py", ".sh", ".sql", ".toml", ".yml", ".yaml", ".html"];

/// Checks attributes and comments.
pub(super) fn check(tree: &Tree) -> Vec<Violation> {
    let mut violations = Vec::new();
    for (file, code) in tree.code() {
        violations.extend(check_attributes(file, code));
        violations.extend(check_tasks(&file.path, &code.without_texts));
    }
    for file in tree.files().filter(|file| OTHER_SOURCES.iter().any(|ending| file.path.ends_with(ending))) {
        violations.extend(check_tasks(&file.path, &file.text));
    }
    violations
}

fn check_attributes(file: &File, code: &Code) -> Vec<Violation> {
    let mut violations = Vec::new();
    for (index, token) in code.tokens.iter().enumerate().filter(|(_, token)| token.is_sign("#")) {
        let open = index + 1 + usize::from(code.after(index, 1).is_some_and(|sign| sign.is_sign("!")));
        if !code.after(open, 0).is_some_and(|sign| sign.is_sign("[")) {
            continue;
        }
        let attribute = code.tokens.get(open + 1..code.closing(open)).unwrap_or_default();
        let first = attribute.first().map_or("", |word| word.text.as_str());
        let allows = first == "allow"
            || first == "cfg_attr"
                && attribute.windows(2).any(|pair| pair[0].is_word("allow") && pair[1].is_sign("("));
        let reason = attribute.iter().find_map(|token| token.text_content()).unwrap_or("");
        if allows {
            let message = "a lint yields only to #[expect(…, reason = \"…\")]";
            violations.push(Violation::new(&file.path, token.line, "allow", message));
        }
        if first == "ignore" && !has_issue_number(reason) {
            let message = "an ignored test names its issue: #[ignore = \"… (#12)\"]";
            violations.push(Violation::new(&file.path, token.line, "ignore", message));
        }
    }
    violations
}

fn check_tasks(path: &str, text: &str) -> Vec<Violation> {
    let is_open_task = |line: &str| {
        TASK_WORDS.iter().any(|word| {
            line.match_indices(word).any(|(start, word)| {
                let is_word = !line[..start].ends_with(is_word_character);
                let rest = &line[start + word.len()..];
                is_word && !rest.starts_with(is_word_character) && !is_numbered(rest)
            })
        })
    };
    let lines = text.lines().enumerate().filter(|(_, line)| is_open_task(line));
    let message = "an open task carries its issue's number in brackets: (#12)";
    lines.map(|(index, _)| Violation::new(path, index + 1, "task", message)).collect()
}

fn is_word_character(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

/// `(#12)…`
fn is_numbered(rest: &str) -> bool {
    let number = rest.strip_prefix("(#").and_then(|rest| rest.split_once(')'));
    number.is_some_and(|(digits, _)| !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()))
}

fn has_issue_number(text: &str) -> bool {
    text.match_indices('#').any(|(at, _)| text[at + 1..].starts_with(|c: char| c.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::tests::broken_lines;

    #[test]
    fn lints_are_expected_not_allowed() {
        let bad = [
            "#[allow(dead_code)] fn a() {}",
            "#![allow(dead_code)]",
            "#[cfg_attr(test, allow(dead_code))] fn a() {}",
        ];
        for text in bad {
            assert_eq!(broken_lines(check, "a.rs", text), [1], "{text}");
        }
        let good = [
            "#[expect(dead_code, reason = \"r\")] fn a() {}",
            "const A: &str = \"#[allow(x)]\";",
            "fn allow() {}",
        ];
        for text in good {
            assert!(broken_lines(check, "a.rs", text).is_empty(), "{text}");
        }
    }

    #[test]
    fn open_tasks_carry_a_number() {
        let task = TASK_WORDS[0];
        let rows = [
            (format!("// {task}: later\n"), false),
            (format!("/// {task}(me) later\nfn a() {{}}"), false),
            (format!("/* {task} */"), false),
            (format!("// {task}(#12): later\n"), true),
            (format!("const A: &str = \"{task}\";"), true),
            (format!("const {task}S: u8 = 1;"), true),
        ];
        for (text, is_good) in rows {
            assert_eq!(broken_lines(check, "a.rs", &text).is_empty(), is_good, "{text}");
        }
        assert_eq!(broken_lines(check, "a.py", &format!("x = 1\n# {task} later")), [2]);
    }

    #[test]
    fn ignored_tests_name_an_issue() {
        assert_eq!(broken_lines(check, "a.rs", "#[test]\n#[ignore]\nfn a() {}"), [2]);
        assert_eq!(broken_lines(check, "a.rs", "#[test]\n#[ignore = \"slow\"]\nfn a() {}"), [2]);
        assert!(broken_lines(check, "a.rs", "#[test]\n#[ignore = \"needs #7\"]\nfn a() {}").is_empty());
    }
}
