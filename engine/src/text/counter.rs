//! Counts the tokens of texts for models that run elsewhere.
//! Never runs a model and never keeps a text.
//! Opened by the gateway for backends that have a tokenizer.json configured.

use std::{fmt, path::Path};

use super::{HubVocabulary, TextError, Vocabulary as _};

/// Counts tokens as a model's tokenizer.json makes them.
pub struct TokenCounter {
    vocabulary: HubVocabulary,
}

impl TokenCounter {
    /// Reads a tokenizer.json.
    ///
    /// Errors: the file cannot be read or is no tokenizer.
    pub fn open(path: &Path) -> Result<Self, TextError> {
        let fault = |what: String| TextError::Tokenizer { what: format!("{}: {what}", path.display()) };
        let json = std::fs::read(path).map_err(|error| fault(error.to_string()))?;
        let vocabulary = HubVocabulary::from_json(&json).map_err(fault)?;
        Ok(Self { vocabulary })
    }

    /// How many tokens a text has. `None`: the tokenizer fails on it.
    pub fn count(&self, text: &str) -> Option<u64> {
        self.vocabulary.encode(text, false).ok().map(|ids| ids.len() as u64)
    }
}

impl fmt::Debug for TokenCounter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenCounter").finish_non_exhaustive()
    }
}
