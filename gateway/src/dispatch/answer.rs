//! A running answer, whichever target it comes from: parts, then one tally.
//! Never HTTP and never a limit; it is what a target says and when it said it.
//! Made by dispatch, owned by the streaming task.

use std::{sync::Arc, time::Instant};

use bytes::Bytes;
use domain::{EnergySource, Micros, Millijoules, Tokens, UsageSource};

use super::{EngineAnswer, Refusal, RemoteAnswer};

/// A running answer. Dropping it ends it.
#[derive(Debug)]
pub enum Answer {
    /// From an engine of this process.
    Engine(EngineAnswer),
    /// From a server elsewhere.
    Remote(Box<RemoteAnswer>),
}

impl Answer {
    /// The next event; `None` after `Finished`.
    pub async fn next(&mut self) -> Option<Event> {
        match self {
            Self::Engine(answer) => answer.next().await,
            Self::Remote(answer) => answer.next().await,
        }
    }

    /// Ends it soon. Its `Finished` still comes.
    pub fn cancel(&mut self) {
        match self {
            Self::Engine(answer) => answer.cancel(),
            Self::Remote(answer) => answer.cancel(),
        }
    }
}

/// Something that happened to an answer.
#[derive(Debug)]
pub enum Event {
    /// It began to run.
    Started,
    /// More of it.
    Part(Part),
    /// It ended; nothing follows.
    Finished(Box<Tally>),
}

/// More of an answer.
#[derive(Debug)]
pub struct Part {
    /// What the client is given.
    pub content: Content,
    /// Tokens that came with it.
    pub tokens: u64,
    /// When the target produced it, or when it arrived here.
    pub at: Instant,
}

/// What a part brings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// A token without text of its own yet.
    Nothing,
    /// An addition to one choice.
    Delta {
        /// Which choice.
        choice: u32,
        /// What is added.
        delta: Delta,
    },
    /// One event of a stream, as it came and as it is sent.
    Event(Bytes),
}

/// An addition to a choice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Delta {
    /// Text of the answer; never empty.
    Text(String),
    /// Text of the model's reasoning; never empty.
    Reasoning(String),
    /// Why the model refuses to answer; never empty.
    Refusal(String),
    /// A part of a call of a tool.
    ToolCall(ToolCallDelta),
}

/// A part of a call of a tool. The first part of each call has its id and name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ToolCallDelta {
    /// Which call of the answer.
    pub index: u32,
    /// The call's id.
    pub id: Option<String>,
    /// The tool's name.
    pub name: Option<String>,
    /// A piece of the arguments' JSON text.
    pub arguments: String,
}

/// Why the model stopped a choice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stop {
    /// It was done, or a stop string came that is not known.
    Done,
    /// This stop string came.
    StopText(String),
    /// The output bound was reached.
    Length,
    /// It wants tools to be called.
    ToolCalls,
    /// The target withheld the rest.
    ContentFilter,
}

/// Why an answer ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Finish {
    /// The model stopped; one entry for each choice.
    Stopped(Vec<Stop>),
    /// Cancelled before the model stopped.
    Cancelled,
    /// The request's deadline passed.
    Deadline,
    /// The target failed.
    Failed,
}

/// What an answer used and how it ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tally {
    /// Tokens of the prompt.
    pub prompt_tokens: Tokens,
    /// Those of them that were not computed.
    pub cached_prompt_tokens: Tokens,
    /// Tokens produced, all choices together, reasoning included.
    pub output_tokens: Tokens,
    /// Those of them that were reasoning.
    pub reasoning_tokens: Tokens,
    /// Why it ended.
    pub finish: Finish,
    /// Text that was held back and still belongs to the answer, by choice.
    pub tails: Vec<(u32, String)>,
    /// The last bytes of a forwarded answer: sent once the record is durable.
    pub held_back: Vec<Bytes>,
    /// The request's share of the device's energy.
    pub energy: Millijoules,
    /// Where the energy figure comes from.
    pub energy_source: EnergySource,
    /// Who counted the tokens.
    pub usage_source: UsageSource,
    /// Time between submission and the first step.
    pub queue: Micros,
    /// Which target answered, or failed last, where admission could not know it.
    pub backend: Option<Arc<str>>,
    /// Why no target answered.
    pub refusal: Option<Box<Refusal>>,
}

impl Tally {
    /// Nothing was produced.
    pub fn nothing(finish: Finish) -> Self {
        Self {
            prompt_tokens: Tokens::ZERO,
            cached_prompt_tokens: Tokens::ZERO,
            output_tokens: Tokens::ZERO,
            reasoning_tokens: Tokens::ZERO,
            finish,
            tails: Vec::new(),
            held_back: Vec::new(),
            energy: Millijoules::ZERO,
            energy_source: EnergySource::Modelled,
            usage_source: UsageSource::Estimated,
            queue: Micros::ZERO,
            backend: None,
            refusal: None,
        }
    }
}
