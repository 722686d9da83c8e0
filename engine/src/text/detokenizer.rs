//! Turns a stream of token ids into text as soon as it is certain.
//! Never lets out half a character: bytes of an unfinished one are held until it is whole.
//! One `Detokenizer` lives in each running sequence.

use std::sync::Arc;

use super::{TextError, Vocabulary};

/// Stands for bytes that are not (yet) UTF-8.
const REPLACEMENT: char = char::REPLACEMENT_CHARACTER;

/// An unfinished character has at most three of its four bytes, and some decoders show each as one mark.
const UNFINISHED_MARKS_MAX: usize = 3;

/// Ids decoded together. Some decoders look at neighbours (a space before the first word), so a few are
/// kept; more would only cost time.
const WINDOW_IDS: usize = 8;

/// A character has at most four bytes, so at most four ids make one.
const CHARACTER_IDS_MAX: usize = 4;

/// A window without any whole character this long is garbage; looking back further would help nobody.
const WINDOW_IDS_MAX: usize = 64;

/// The ids around the border of certain text.
pub(crate) struct Detokenizer {
    vocabulary: Arc<dyn Vocabulary>,
    window: Vec<u32>,
    /// Bytes of the window's text that were let out.
    let_out: usize,
}

impl Detokenizer {
    pub(crate) fn new(vocabulary: Arc<dyn Vocabulary>) -> Self {
        Self { vocabulary, window: Vec::new(), let_out: 0 }
    }

    /// Takes the next id; gives the text that became certain.
    ///
    /// Errors: the tokenizer's.
    pub(crate) fn push(&mut self, id: u32) -> Result<String, TextError> {
        self.window.push(id);
        let text = self.vocabulary.decode(&self.window)?;
        let certain = certain_len(&text);
        let piece = text.get(self.let_out..certain).unwrap_or("").to_owned();
        self.let_out = self.let_out.max(certain);
        if certain == text.len() && self.window.len() >= WINDOW_IDS {
            self.shorten()?;
        }
        Ok(piece)
    }

    /// Starts the window anew at the fewest last ids that stand on whole characters of their own.
    fn shorten(&mut self) -> Result<(), TextError> {
        for kept in 1..=CHARACTER_IDS_MAX {
            let last = &self.window[self.window.len() - kept..];
            let text = self.vocabulary.decode(last)?;
            if !text.is_empty() && !text.contains(REPLACEMENT) {
                self.let_out = text.len();
                self.window = last.to_vec();
                return Ok(());
            }
        }
        if self.window.len() >= WINDOW_IDS_MAX {
            self.window.clear();
            self.let_out = 0;
        }
        Ok(())
    }
}

/// Length of the text without marks at its end that may be an unfinished character.
fn certain_len(text: &str) -> usize {
    let marks = text.chars().rev().take(UNFINISHED_MARKS_MAX).take_while(|mark| *mark == REPLACEMENT).count();
    text.len() - marks * REPLACEMENT.len_utf8()
}
