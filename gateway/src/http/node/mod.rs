//! An engine node over HTTP: chats and texts for gateways, the models that it runs, and whether it serves.
//! Never a tenant's key, a price or a limit: a gateway has admitted what comes here.
//! Started by `cli::node`; its routes are in the table of `routes`.

mod answer;
mod create;
mod gateway;
mod models;
pub mod routes;
mod server;
mod tls;
mod wire;

pub use server::{Serving, serve};
pub use tls::{NodeTlsError, config as tls_config};
