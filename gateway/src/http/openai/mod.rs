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
