//! The OpenAI dialect: chat completions and models.
//! Never holds business rules; wire forms in, wire forms out.
//! Registered by `http::configure`.

pub(super) mod chat;
pub(super) mod models;
mod request;
mod response;
mod sse;

use super::ApiError;

/// Reads the body of a chat request, for `http::read_body`.
pub(super) fn read_chat(body: &[u8]) -> Result<(), ApiError> {
    request::ChatRequest::from_wire(body).map(drop)
}
