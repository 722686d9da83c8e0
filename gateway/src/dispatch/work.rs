//! What a dialect hands over to be run: for an engine of ours, or for an OpenAI-compatible server.
//! Never a tenant, a limit or a price.
//! Made by the dialects, taken by `http::run`.

use bytes::Bytes;
use engine::{ChatMessage, Sampling};

use super::splice::Fields;

/// A request as an engine of ours runs it.
#[derive(Clone, Debug)]
pub struct EngineWork {
    /// What to continue; each prompt is a choice, or several.
    pub inputs: Vec<EngineInput>,
    /// Answers to each prompt.
    pub choices_per_prompt: usize,
    /// How tokens are drawn.
    pub sampling: Sampling,
    /// Texts that end an answer.
    pub stop: Vec<String>,
    /// Go on until the output bound.
    pub ignore_eos: bool,
}

/// One prompt.
#[derive(Clone, Debug)]
pub enum EngineInput {
    /// A chat, to be written by the model's template.
    Messages(Vec<ChatMessage>),
    /// A plain text.
    Text(String),
}

impl EngineInput {
    /// How much text there is to tokenize. Unit: bytes.
    pub fn bytes(&self) -> usize {
        match self {
            Self::Messages(messages) => messages.iter().map(|message| message.content.len()).sum(),
            Self::Text(text) => text.len(),
        }
    }
}

/// A request as an OpenAI-compatible server runs it.
#[derive(Clone, Debug)]
pub struct UpstreamWork {
    /// Which of its routes.
    pub call: UpstreamCall,
    /// The body: the client's own bytes on a same-dialect route, else translated. The model's name, the output
    /// bound and `include_usage` are put in by dispatch.
    pub body: Bytes,
    /// Whether the client asked for a stream.
    pub is_stream: bool,
    /// What the client is given.
    pub relay: Relay,
    /// Text of the prompt: what a tokenizer would be given, or an upper bound of it. Unit: bytes.
    pub prompt_bytes: u64,
    /// How it is divided where it may be several prompts, each of which has a context of its own. `None`: it is one.
    pub prompts: Option<PromptList>,
    /// Images in the prompt.
    pub images: u32,
    /// Answers asked for.
    pub choices: u32,
}

/// Prompts of one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PromptList {
    /// How many there are.
    pub count: u32,
    /// Text of the longest, or an upper bound of it. Unit: bytes.
    pub longest_bytes: u64,
}

impl UpstreamWork {
    /// The text of the conversation as it stands in the body; requests that go on from it begin alike.
    pub(super) fn conversation(&self) -> &[u8] {
        let name = match self.call {
            UpstreamCall::ChatCompletions => "messages",
            UpstreamCall::Completions => "prompt",
            UpstreamCall::Embeddings => "input",
        };
        let fields = Fields::read(&self.body).ok();
        let text = fields.and_then(|fields| fields.find(name).ok().flatten());
        text.map_or(&[], str::as_bytes)
    }
}

/// A route of an OpenAI-compatible server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UpstreamCall {
    /// `/v1/chat/completions`
    ChatCompletions,
    /// `/v1/completions`
    Completions,
    /// `/v1/embeddings`
    Embeddings,
}

/// How an upstream's answer reaches the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Relay {
    /// As the bytes that came; usage that the client did not ask for is taken out of a stream.
    Forward {
        /// The client asked for usage in the stream.
        include_usage: bool,
    },
    /// Parsed into deltas, for a client of another dialect.
    Parse,
}
