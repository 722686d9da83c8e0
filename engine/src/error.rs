//! What can go wrong at the engine's door.
//! Never carries prompts or generated text.
//! Returned by [`Engine`](crate::Engine); `fault()` tells callers what kind of failure it is.

use domain::{Fault, Tokens};

use crate::{EnergyError, ModelError, TextError};

/// Why the engine could not be started or did not take a job.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// As many jobs wait as may wait.
    #[error("the engine's queue is full")]
    QueueFull,
    /// The prompt leaves no room for a single output token.
    #[error(
        "the prompt has {tokens} tokens and the model's context is {context}, of which one must stay free"
    )]
    PromptTooLong {
        /// Tokens of the prompt.
        tokens: Tokens,
        /// Tokens of prompt and output together that the model can hold.
        context: Tokens,
    },
    /// The prompt has no tokens.
    #[error("the prompt is empty")]
    EmptyPrompt,
    /// The engine was shut down.
    #[error("the engine is stopped")]
    Stopped,
    /// The engine broke and takes no more jobs.
    #[error("the engine has failed")]
    Failed,
    /// A sampling parameter, the output limit or a stop string is out of range.
    #[error("{what}")]
    BadSampling {
        /// What must hold.
        what: &'static str,
    },
    /// A field of the configuration is out of range.
    #[error("engine configuration: {what}")]
    BadConfig {
        /// What must hold.
        what: &'static str,
    },
    /// The model could not be loaded.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// A text could not be rendered or turned into tokens.
    #[error(transparent)]
    Text(#[from] TextError),
    /// The energy meter could not be opened.
    #[error(transparent)]
    Energy(#[from] EnergyError),
    /// The operating system gave no thread.
    #[error("the engine's thread could not be started")]
    Thread(#[source] std::io::Error),
    /// The first step, made at start to warm up, failed.
    #[error("the model loaded but its first step failed")]
    WarmUp,
}

impl EngineError {
    /// What kind of failure this is.
    pub fn fault(&self) -> Fault {
        match self {
            Self::QueueFull | Self::Stopped => Fault::Overloaded,
            Self::PromptTooLong { .. }
            | Self::EmptyPrompt
            | Self::BadSampling { .. }
            | Self::BadConfig { .. } => Fault::Invalid,
            Self::Failed | Self::Thread(_) | Self::WarmUp => Fault::Broken,
            Self::Model(error) => error.fault(),
            Self::Text(error) => error.fault(),
            Self::Energy(error) => error.fault(),
        }
    }
}
