//! OpenAI-compatible servers: what they are sent, how their answers are read, and what is made of their failures.
//! Never decides which server gets a request: `route` does.
//! The exchange is the whole of one request; the other files are pure parts of it.

mod attempt;
mod calls;
mod chunk;
mod count;
mod exchange;
mod farewell;
mod lenient;
mod parts;
mod reading;
mod refusal;
mod relay;
mod remote_request;
mod request;
mod streaming;
mod usage;
mod whole;

pub(super) use count::Counter;
pub use count::PromptTokens;
pub use exchange::RemoteAnswer;
pub use refusal::{Refusal, RefusalKind};
pub use remote_request::RemoteRequest;
