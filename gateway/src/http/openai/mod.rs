//! The OpenAI dialect: chat completions and models.
//! Never holds business rules; wire forms in, wire forms out.
//! Registered by `http::configure`.

pub(super) mod chat;
pub(super) mod models;
mod request;
mod response;
mod sse;
