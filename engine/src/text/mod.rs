//! Text in and out of the model: vocabulary, chat template, streaming detokenisation, stop strings.
//! Never draws tokens or runs the model.
//! Prompts are made through [`Text`] at the door; running sequences own a `Detokenizer` and a `StopMatcher`.

mod counter;
mod detokenizer;
mod hub;
mod stop;
mod template;

use std::sync::Arc;

use domain::Fault;

pub use counter::TokenCounter;
pub(crate) use detokenizer::Detokenizer;
pub(crate) use hub::HubVocabulary;
pub(crate) use stop::StopMatcher;
pub(crate) use template::{ChatTemplate, TemplateNames};

use crate::job::{ChatMessage, Prompt};

/// Why a text could not be turned into tokens, or back.
#[derive(Debug, thiserror::Error)]
pub enum TextError {
    /// The model has no chat template: it only continues texts.
    #[error("this model has no chat template and only continues plain text")]
    NoTemplate,
    /// The chat template refused the messages, in its own words.
    #[error("the model's chat template refuses these messages: {what}")]
    Refused {
        /// The template's message, as given to `raise_exception`.
        what: String,
    },
    /// The chat template broke on these messages.
    #[error("the model's chat template could not be rendered")]
    Template(#[source] minijinja::Error),
    /// The tokenizer broke.
    #[error("the tokenizer failed: {what}")]
    Tokenizer {
        /// What the tokenizer said.
        what: String,
    },
}

impl TextError {
    /// What kind of failure this is.
    pub fn fault(&self) -> Fault {
        match self {
            Self::NoTemplate | Self::Refused { .. } => Fault::Invalid,
            Self::Template(_) | Self::Tokenizer { .. } => Fault::Broken,
        }
    }
}

/// Turns text into token ids and back.
pub(crate) trait Vocabulary: Send + Sync {
    /// The ids of a text. `marked` adds what the model expects around a plain text, such as a begin token.
    fn encode(&self, text: &str, marked: bool) -> Result<Vec<u32>, TextError>;

    /// The text of ids, special tokens left out; bytes that are not UTF-8 become U+FFFD.
    fn decode(&self, ids: &[u32]) -> Result<String, TextError>;

    /// The byte that an id stands for, in vocabularies that spell unknown characters byte by byte.
    fn byte(&self, _: u32) -> Option<u8> {
        None
    }
}

/// A model's text side.
#[derive(Clone)]
pub(crate) struct Text {
    pub(crate) vocabulary: Arc<dyn Vocabulary>,
    pub(crate) template: Option<Arc<ChatTemplate>>,
    /// Tokens that end an answer.
    pub(crate) eos: Arc<[u32]>,
}

impl Text {
    /// A chat as the model reads it, ready for the assistant's answer.
    pub(crate) fn prompt(&self, messages: &[ChatMessage]) -> Result<Prompt, TextError> {
        let template = self.template.as_ref().ok_or(TextError::NoTemplate)?;
        let text = template.render(messages)?;
        Ok(Prompt::new(self.vocabulary.encode(&text, false)?))
    }

    /// A plain text to continue.
    pub(crate) fn prompt_text(&self, text: &str) -> Result<Prompt, TextError> {
        Ok(Prompt::new(self.vocabulary.encode(text, true)?))
    }
}
