//! The vocabulary of a hub model, from its `tokenizer.json`.
//! Never reads files; it is given their bytes.
//! Made when a model is loaded, used behind the `Vocabulary` trait.

use std::collections::HashMap;

use tokenizers::Tokenizer;

use super::{TextError, Vocabulary};

/// A tokenizer as the hub's models carry it.
pub(crate) struct HubVocabulary {
    tokenizer: Tokenizer,
    /// Tokens such as `<0x0A>`, where the decoder reads them as bytes.
    bytes: HashMap<u32, u8>,
}

impl HubVocabulary {
    /// Reads a `tokenizer.json`.
    ///
    /// Errors: the parser's words.
    pub(crate) fn from_json(json: &[u8]) -> Result<Self, String> {
        let mut tokenizer = Tokenizer::from_bytes(json).map_err(|error| error.to_string())?;
        // A tokenizer saved from training may cut or pad texts; a prompt is taken whole or refused.
        tokenizer.with_padding(None);
        tokenizer.with_truncation(None).map_err(|error| error.to_string())?;
        let bytes = byte_tokens(&tokenizer);
        Ok(Self { tokenizer, bytes })
    }

    /// The id of a token, special ones included.
    pub(crate) fn find_id(&self, token: &str) -> Option<u32> {
        self.tokenizer.token_to_id(token)
    }

    /// The largest id a text can have.
    pub(crate) fn id_max(&self) -> Option<u32> {
        self.tokenizer.get_vocab(true).into_values().max()
    }
}

impl Vocabulary for HubVocabulary {
    fn encode(&self, text: &str, marked: bool) -> Result<Vec<u32>, TextError> {
        let encoding = self.tokenizer.encode_fast(text, marked);
        let encoding = encoding.map_err(|error| TextError::Tokenizer { what: error.to_string() })?;
        Ok(encoding.get_ids().to_vec())
    }

    fn decode(&self, ids: &[u32]) -> Result<String, TextError> {
        let text = self.tokenizer.decode(ids, true);
        text.map_err(|error| TextError::Tokenizer { what: error.to_string() })
    }

    fn byte(&self, id: u32) -> Option<u8> {
        self.bytes.get(&id).copied()
    }
}

/// The byte tokens, if decoding one gives its byte and not its name.
fn byte_tokens(tokenizer: &Tokenizer) -> HashMap<u32, u8> {
    let find = |byte: u8| Some((tokenizer.token_to_id(&format!("<0x{byte:02X}>"))?, byte));
    let is_read_as_byte =
        find(b'A').is_some_and(|(id, _)| tokenizer.decode(&[id], false).is_ok_and(|text| text == "A"));
    if is_read_as_byte { (0..=u8::MAX).filter_map(find).collect() } else { HashMap::new() }
}
