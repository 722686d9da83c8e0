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

use super::ApiError;

/// Reads the body of a request for a message, for `http::read_body`.
pub(super) fn read_message(body: &[u8]) -> Result<(), ApiError> {
    request::MessagesRequest::from_wire(body).map(drop)
}

/// Reads the body of a request for a count, for `http::read_body`.
pub(super) fn read_count(body: &[u8]) -> Result<(), ApiError> {
    request::CountRequest::from_wire(body).map(drop)
}
