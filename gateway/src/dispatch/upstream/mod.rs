//! OpenAI-compatible servers: what they are sent, how their answers are read, and what is made of their failures.
//! Never decides which server gets a request: `route` does.
//! The exchange is the whole of one request; the other files are pure parts of it.

mod attempt;
mod chunk;
mod count;
mod exchange;
mod lenient;
mod reading;
mod refusal;
mod relay;
mod request;
mod usage;

pub(super) use count::{Counter, prompt_tokens_max};
pub use exchange::{RemoteAnswer, RemoteRequest};
pub use refusal::{Refusal, RefusalKind};
