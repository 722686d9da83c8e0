//! The simulation's vocabulary: 256 bytes, four marks, and some common words.
//! Never needs a file, and turns every text into tokens and back without loss.
//! Used by `sim` only.

use crate::text::{TextError, Vocabulary};

/// Ends messages and answers.
pub(crate) const END: u32 = 256;
/// Begins a user's message.
pub(crate) const USER: u32 = 258;
/// Begins the assistant's message.
pub(crate) const ASSISTANT: u32 = 259;
/// The first of the words.
pub(crate) const FIRST_WORD: u32 = 260;

const MARKS: [&str; 4] = ["<|end|>", "<|system|>", "<|user|>", "<|assistant|>"];

/// Each is one token with the space before it.
const WORDS: [&str; 64] = [
    " the", " of", " and", " to", " in", " is", " it", " you", " that", " was", " for", " on", " are",
    " with", " as", " they", " be", " at", " one", " have", " this", " from", " or", " had", " by", " hot",
    " but", " some", " what", " there", " we", " can", " out", " other", " were", " all", " your", " when",
    " up", " use", " word", " how", " said", " each", " she", " which", " their", " time", " if", " will",
    " way", " about", " many", " then", " them", " would", " write", " like", " so", " these", " her",
    " long", " make", " thing",
];

/// Entries in all.
pub(crate) const VOCABULARY: usize = FIRST_WORD as usize + WORDS.len();

/// See the file's header.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SimVocabulary;

impl Vocabulary for SimVocabulary {
    fn encode(&self, text: &str, _: bool) -> Result<Vec<u32>, TextError> {
        let mut rest = text.as_bytes();
        let mut ids = Vec::with_capacity(rest.len());
        while let Some((first, behind)) = rest.split_first() {
            match find_piece(rest) {
                Some((id, length)) => {
                    ids.push(id);
                    rest = &rest[length..];
                }
                None => {
                    ids.push(u32::from(*first));
                    rest = behind;
                }
            }
        }
        Ok(ids)
    }

    fn decode(&self, ids: &[u32]) -> Result<String, TextError> {
        let mut bytes = Vec::with_capacity(ids.len());
        for id in ids {
            if let Ok(byte) = u8::try_from(*id) {
                bytes.push(byte);
            } else if let Some(word) = id.checked_sub(FIRST_WORD).and_then(|index| WORDS.get(index as usize))
            {
                bytes.extend_from_slice(word.as_bytes());
            }
        }
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }
}

/// The longest mark or word that the text begins with.
fn find_piece(text: &[u8]) -> Option<(u32, usize)> {
    if !matches!(text.first(), Some(b' ' | b'<')) {
        return None;
    }
    let pieces = (END..).zip(MARKS.iter().chain(&WORDS));
    let found = pieces.filter(|(_, piece)| text.starts_with(piece.as_bytes()));
    found.map(|(id, piece)| (id, piece.len())).max_by_key(|(_, length)| *length)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_come_back() {
        for text in ["", "a", "in the time of one", "<|use", "naïve 😀 the end", "  two  spaces"] {
            let ids = SimVocabulary.encode(text, true).expect("encode");
            assert_eq!(SimVocabulary.decode(&ids).expect("decode"), text);
        }
        let ids = SimVocabulary.encode("<|user|>x of<|end|>", false).expect("encode");
        assert_eq!(ids, [USER, u32::from(b'x'), FIRST_WORD + 1, END]);
    }
}
