//! The gateway: the folders below are the way of a request.
//! `http` reads it, `authenticate` and `admit` decide, `dispatch` finds the engine, `stream` runs it,
//! `meter` measures it, `settle` closes it. The binary `tallygate` is built from here; nothing else depends on it.

pub mod admit;
pub mod app;
pub mod authenticate;
pub mod cli;
pub mod config;
pub mod dispatch;
pub mod http;
pub mod idempotency;
pub mod log;
pub mod meter;
pub mod node;
pub mod notify;
mod pem;
pub mod reload;
pub mod serving;
pub mod settle;
pub mod stream;
pub mod stripe;
