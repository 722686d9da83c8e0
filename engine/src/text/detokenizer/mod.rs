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

/// Three marks stand for at most nine ids, and three more may be cut from a character at the border.
const CUT_IDS: usize = 12;

/// A window this long without a clean border is garbage; looking back further would help nobody.
const WINDOW_IDS_MAX: usize = 64;

/// The ids around the border of certain text.
pub(crate) struct Detokenizer {
    vocabulary: Arc<dyn Vocabulary>,
    window: Vec<u32>,
    /// Bytes of the window's text that were let out.
    let_out: usize,
    /// Bytes of an unfinished character that came as byte tokens.
    unfinished: Vec<u8>,
}

impl Detokenizer {
    pub(crate) fn new(vocabulary: Arc<dyn Vocabulary>) -> Self {
        Self { vocabulary, window: Vec::new(), let_out: 0, unfinished: Vec::new() }
    }

    /// Takes the next id; gives the text that became certain.
    ///
    /// Errors: the tokenizer's.
    pub(crate) fn push(&mut self, id: u32) -> Result<String, TextError> {
        if let Some(byte) = self.vocabulary.byte(id) {
            return self.push_byte(id, byte);
        }
        // What was unfinished can no longer become a character.
        let broken = String::from_utf8_lossy(&std::mem::take(&mut self.unfinished)).into_owned();
        Ok(broken + &self.push_text(id)?)
    }

    /// Byte tokens are put together here: decoders take a whole run of them at once and give up on all of
    /// it for one wrong byte, which a stream cannot take back.
    fn push_byte(&mut self, id: u32, byte: u8) -> Result<String, TextError> {
        self.unfinished.push(byte);
        let (piece, used) = whole_characters(&self.unfinished);
        self.unfinished.drain(..used);
        // Only as a neighbour of the text to come.
        self.window = vec![id];
        self.let_out = self.vocabulary.decode(&self.window)?.len();
        Ok(piece)
    }

    fn push_text(&mut self, id: u32) -> Result<String, TextError> {
        self.window.push(id);
        let text = self.vocabulary.decode(&self.window)?;
        let certain = certain_len(&text);
        let piece = text.get(self.let_out..certain).unwrap_or("").to_owned();
        self.let_out = self.let_out.max(certain);
        if certain == text.len() && self.window.len() >= WINDOW_IDS {
            self.shorten()?;
        } else if self.window.len() >= WINDOW_IDS_MAX {
            self.cut(text.len() - certain)?;
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
        if self.window.len() >= WINDOW_IDS_MAX { self.cut(0) } else { Ok(()) }
    }

    /// Keeps the last few ids, of whose text the last `uncertain` bytes were not let out.
    fn cut(&mut self, uncertain: usize) -> Result<(), TextError> {
        self.window.drain(..self.window.len() - CUT_IDS);
        let text = self.vocabulary.decode(&self.window)?;
        self.let_out = text.len().saturating_sub(uncertain);
        Ok(())
    }
}

/// The text of the bytes up to an unfinished character, and the number of bytes it is of.
fn whole_characters(bytes: &[u8]) -> (String, usize) {
    let mut text = String::new();
    let mut used = 0;
    for chunk in bytes.utf8_chunks() {
        text.push_str(chunk.valid());
        used += chunk.valid().len();
        let is_last = used + chunk.invalid().len() == bytes.len();
        let is_unfinished =
            std::str::from_utf8(chunk.invalid()).is_err_and(|error| error.error_len().is_none());
        if is_last && is_unfinished {
            break;
        }
        if !chunk.invalid().is_empty() {
            text.push(REPLACEMENT);
            used += chunk.invalid().len();
        }
    }
    (text, used)
}

/// Length of the text without marks at its end that may be an unfinished character.
fn certain_len(text: &str) -> usize {
    let marks = text.chars().rev().take(UNFINISHED_MARKS_MAX).take_while(|mark| *mark == REPLACEMENT).count();
    text.len() - marks * REPLACEMENT.len_utf8()
}

#[cfg(test)]
mod tests;
