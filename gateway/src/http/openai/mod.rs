//! The OpenAI dialect: chat completions, completions, embeddings, responses and models.
//! Never holds business rules; wire forms in, wire forms out.
//! Registered by `http::routes`.

mod answer;
pub(super) mod chat;
pub(super) mod completions;
pub(super) mod embeddings;
mod input;
pub(super) mod models;
mod request;
mod response;
pub(super) mod responses;
mod sampling;
pub(super) mod size;
mod sse;

use bytes::Bytes;

pub(super) use self::response::finish_reason;
use super::{ApiError, run::Work};

/// Reads the body of a chat request, for engine nodes.
pub(super) fn chat_work(body: Bytes) -> Result<impl Work, ApiError> {
    request::ChatRequest::from_wire(body)
}

/// Reads the body of a completion request, for engine nodes.
pub(super) fn completion_work(body: Bytes) -> Result<impl Work, ApiError> {
    completions::work(body)
}

/// Reads the body of a chat request, for `http::read_body`.
pub(super) fn read_chat(body: Bytes) -> Result<(), ApiError> {
    request::ChatRequest::from_wire(body).map(drop)
}
