//! The Anthropic dialect: messages, and counting their tokens.
//! Never holds business rules; wire forms in, wire forms out.
//! Registered by `http::routes`.

pub(super) mod count;
pub(super) mod error;
mod headers;
pub(super) mod messages;
mod request;
mod response;
mod sse;
