//! The two names of the output bound of a chat, and which of them a server knows.
//! Never the bound itself: admission decides it.
//! Part of `[[backend.model]]`; read by `dispatch`.

use serde::Deserialize;

use super::{Backend, BackendModel};

/// Hosts whose models refuse the older name, or will: OpenAI's own.
const NEWER_HOST: &str = "api.openai.com";
/// The end of such hosts' names: OpenAI's models at Azure.
const NEWER_HOSTS: &str = ".openai.azure.com";

/// What a server calls the most tokens that a chat may produce.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OutputBound {
    /// The older name, which every server but OpenAI's newer models knows.
    MaxTokens,
    /// The newer one, the only one that OpenAI's reasoning models take.
    MaxCompletionTokens,
}

impl OutputBound {
    /// The field of a request.
    pub fn field(self) -> &'static str {
        match self {
            Self::MaxTokens => "max_tokens",
            Self::MaxCompletionTokens => "max_completion_tokens",
        }
    }

    /// The name that is not sent.
    pub fn other(self) -> Self {
        match self {
            Self::MaxTokens => Self::MaxCompletionTokens,
            Self::MaxCompletionTokens => Self::MaxTokens,
        }
    }
}

impl Backend {
    /// What it calls the output bound of this model: as configured, else by whose server it is.
    pub fn output_bound(&self, model: &BackendModel) -> OutputBound {
        let host = self.url.host.to_ascii_lowercase();
        let usual = match host == NEWER_HOST || host.ends_with(NEWER_HOSTS) {
            true => OutputBound::MaxCompletionTokens,
            false => OutputBound::MaxTokens,
        };
        model.output_bound.unwrap_or(usual)
    }
}
