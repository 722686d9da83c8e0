//! A Rust file as a flat list of tokens, with its lines, its tests marked and its comments at hand.
//! Never resolves names: rules decide by what is written, inside macros as well.
//! Read by `tree`, looked at by most rules.

use std::ops::Range;

use proc_macro2::{Delimiter, Spacing, TokenStream, TokenTree};

/// What a token is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A word: name or keyword.
    Word,
    /// A number, a text or a character.
    Literal,
    /// `::`, a bracket, or any single sign.
    Sign,
}

/// One token. Documentation comments are no tokens; other attributes are.
#[derive(Clone, Debug)]
pub(super) struct Token {
    pub(super) kind: Kind,
    pub(super) text: String,
    pub(super) line: usize,
    /// Whether it stands under `#[cfg(test)]` or in a test function.
    pub(super) is_test: bool,
}

impl Token {
    pub(super) fn is_word(&self, word: &str) -> bool {
        self.kind == Kind::Word && self.text == word
    }

    pub(super) fn is_sign(&self, sign: &str) -> bool {
        self.kind == Kind::Sign && self.text == sign
    }

    /// The content of a text literal, escapes left as they are.
    pub(super) fn text_content(&self) -> Option<&str> {
        let is_text = self.kind == Kind::Literal && self.text.ends_with(['"', '#']);
        let start = self.text.find('"')?;
        let end = self.text.rfind('"')?;
        (is_text && start < end).then(|| &self.text[start + 1..end])
    }
}

/// A Rust file's tokens and comments.
pub(super) struct Code {
    pub(super) tokens: Vec<Token>,
    /// The file with every text and character literal blanked out, line breaks kept.
    pub(super) without_texts: String,
    /// The syntax tree.
    pub(super) syntax: syn::File,
}

impl Code {
    /// Reads a file.
    ///
    /// Errors: it is not Rust.
    pub(super) fn read(text: &str) -> Result<Self, syn::Error> {
        let syntax = syn::parse_file(text)?;
        let stream: TokenStream = text.parse()?;
        let mut reader = Reader { tokens: Vec::new(), literals: Vec::new() };
        reader.read(stream, false);
        let mut blanked = text.as_bytes().to_vec();
        for range in reader.literals {
            for byte in blanked.get_mut(range).into_iter().flatten().filter(|byte| **byte != b'\n') {
                *byte = b' ';
            }
        }
        let without_texts = String::from_utf8_lossy(&blanked).into_owned();
        Ok(Self { tokens: reader.tokens, without_texts, syntax })
    }

    /// Tokens outside tests, with their index.
    pub(super) fn product_tokens(&self) -> impl Iterator<Item = (usize, &Token)> {
        self.tokens.iter().enumerate().filter(|(_, token)| !token.is_test)
    }

    /// The token `steps` after the one at `index`.
    pub(super) fn after(&self, index: usize, steps: usize) -> Option<&Token> {
        self.tokens.get(index + steps)
    }

    /// The token before the one at `index`.
    pub(super) fn before(&self, index: usize) -> Option<&Token> {
        self.tokens.get(index.checked_sub(1)?)
    }

    /// The index of the bracket that closes the one at `open`.
    pub(super) fn closing(&self, open: usize) -> usize {
        let mut depth = 0_usize;
        for (index, token) in self.tokens.iter().enumerate().skip(open) {
            if token.kind == Kind::Sign {
                match token.text.as_str() {
                    "(" | "[" | "{" => depth += 1,
                    ")" | "]" | "}" => depth = depth.saturating_sub(1),
                    _ => {}
                }
            }
            if depth == 0 {
                return index;
            }
        }
        self.tokens.len()
    }
}

struct Reader {
    tokens: Vec<Token>,
    literals: Vec<Range<usize>>,
}

impl Reader {
    fn read(&mut self, stream: TokenStream, is_test: bool) {
        let trees: Vec<TokenTree> = stream.into_iter().collect();
        // From a test's attribute to the end of its item: a block or a semicolon.
        let mut in_test_item = false;
        let mut index = 0;
        while let Some(tree) = trees.get(index) {
            let is_inner =
                matches!(trees.get(index + 1), Some(TokenTree::Punct(sign)) if sign.as_char() == '!');
            let attribute = match (tree, trees.get(index + 1 + usize::from(is_inner))) {
                (TokenTree::Punct(sign), Some(TokenTree::Group(group)))
                    if sign.as_char() == '#' && group.delimiter() == Delimiter::Bracket =>
                {
                    Some(group.stream())
                }
                _ => None,
            };
            if let Some(attribute) = &attribute {
                if first_word(attribute).as_deref() == Some("doc") {
                    index += 2 + usize::from(is_inner);
                    continue;
                }
                in_test_item |= !is_inner && marks_a_test(attribute);
            }
            self.push(tree, is_test || in_test_item);
            let ends_item = match tree {
                TokenTree::Punct(sign) => sign.as_char() == ';',
                TokenTree::Group(group) => group.delimiter() == Delimiter::Brace,
                TokenTree::Ident(_) | TokenTree::Literal(_) => false,
            };
            if ends_item {
                in_test_item = false;
            }
            index += 1;
        }
    }

    fn push(&mut self, tree: &TokenTree, is_test: bool) {
        let line = tree.span().start().line;
        match tree {
            TokenTree::Group(group) => {
                let (open, close) = match group.delimiter() {
                    Delimiter::Parenthesis => ("(", ")"),
                    Delimiter::Bracket => ("[", "]"),
                    Delimiter::Brace => ("{", "}"),
                    Delimiter::None => ("", ""),
                };
                self.add(Kind::Sign, open.to_owned(), group.span_open().start().line, is_test);
                self.read(group.stream(), is_test);
                self.add(Kind::Sign, close.to_owned(), group.span_close().start().line, is_test);
            }
            TokenTree::Ident(word) => self.add(Kind::Word, word.to_string(), line, is_test),
            TokenTree::Literal(literal) => {
                let text = literal.to_string();
                if text.ends_with(['"', '\'', '#']) {
                    self.literals.push(literal.span().byte_range());
                }
                self.add(Kind::Literal, text, line, is_test);
            }
            TokenTree::Punct(sign) => {
                let is_second_colon =
                    sign.as_char() == ':' && self.tokens.last().is_some_and(|last| last.is_sign(":joint"));
                match (is_second_colon, sign.as_char(), sign.spacing()) {
                    (true, _, _) => {
                        if let Some(last) = self.tokens.last_mut() {
                            last.text = "::".to_owned();
                        }
                    }
                    (false, ':', Spacing::Joint) => self.add(Kind::Sign, ":joint".to_owned(), line, is_test),
                    (false, other, _) => self.add(Kind::Sign, other.to_string(), line, is_test),
                }
            }
        }
    }

    fn add(&mut self, kind: Kind, text: String, line: usize, is_test: bool) {
        self.tokens.push(Token { kind, text, line, is_test });
    }
}

fn first_word(attribute: &TokenStream) -> Option<String> {
    match attribute.clone().into_iter().next() {
        Some(TokenTree::Ident(word)) => Some(word.to_string()),
        _ => None,
    }
}

/// `#[test]`, `#[tokio::test(…)]`, `#[cfg(test)]`, `#[cfg(all(test, …))]`.
fn marks_a_test(attribute: &TokenStream) -> bool {
    let text: String = attribute.to_string().split_whitespace().collect();
    let path = text.split('(').next().unwrap_or("");
    path == "test" || path.ends_with("::test") || text == "cfg(test)" || text.starts_with("cfg(all(test,")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<(String, bool)> {
        let code = Code::read(text).expect("Rust");
        let words = code.tokens.into_iter().filter(|token| token.kind == Kind::Word);
        words.map(|token| (token.text, token.is_test)).collect()
    }

    #[test]
    fn tests_are_marked_and_nothing_else() {
        let text = "/// doc words\nstruct A;\n#[cfg(test)]\nmod tests { struct B; }\nstruct C;";
        let marked: Vec<String> =
            words(text).into_iter().filter(|(_, test)| *test).map(|(word, _)| word).collect();
        assert_eq!(marked, ["cfg", "test", "mod", "tests", "struct", "B"]);
        assert!(words("#[cfg(not(test))] mod a {}").iter().all(|(_, is_test)| !is_test));
        assert!(words("#[tokio::test] async fn a() { b() }").iter().all(|(_, is_test)| *is_test));
        assert!(words("#[cfg(test)] use a::b; use c;").iter().any(|(word, is_test)| word == "c" && !is_test));
    }

    #[test]
    fn paths_and_texts_are_whole() {
        let code = Code::read("const A: &str = r#\"x \"y\"\"#; use a::b;").expect("Rust");
        assert!(code.tokens.iter().any(|token| token.is_sign("::")));
        assert!(code.tokens.iter().any(|token| token.text_content() == Some("x \"y\"")));
        assert!(!code.without_texts.contains('y'));
    }
}
