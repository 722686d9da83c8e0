//! Reads a request's body as its route would, and does nothing with it.
//! Never admits or answers anything: it says whether strangers' bytes are taken or refused.
//! Called by the fuzz targets and the tests over their corpora.

use bytes::Bytes;

use super::{ApiError, anthropic, json::check_shape, openai};

/// What a body can be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyKind {
    /// Of `/v1/chat/completions`.
    Chat,
    /// Of `/v1/completions`.
    Completion,
    /// Of `/v1/embeddings`.
    Embedding,
    /// Of `/v1/responses`.
    Response,
    /// Of `/v1/messages`.
    Message,
    /// Of `/v1/messages/count_tokens`.
    TokenCount,
}

/// Every kind.
pub const ALL_BODIES: [BodyKind; 6] = [
    BodyKind::Chat,
    BodyKind::Completion,
    BodyKind::Embedding,
    BodyKind::Response,
    BodyKind::Message,
    BodyKind::TokenCount,
];

/// Reads a body of this kind.
///
/// Errors: what its route would refuse it with before looking at the key or the model.
pub fn read_body(kind: BodyKind, body: &[u8]) -> Result<(), ApiError> {
    check_shape(body)?;
    match kind {
        BodyKind::Chat => openai::read_chat(Bytes::copy_from_slice(body)),
        BodyKind::Completion => openai::completions::read(Bytes::copy_from_slice(body)),
        BodyKind::Embedding => openai::embeddings::read(Bytes::copy_from_slice(body)),
        BodyKind::Response => openai::responses::read(body),
        BodyKind::Message => anthropic::read_message(body),
        BodyKind::TokenCount => anthropic::read_count(body),
    }
}
