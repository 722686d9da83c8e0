//! The harness: an installation in a temporary folder, a server process, a chat client, a database, a Python.
//! Never shares state between tests: each has its own folder, port and database.
//! Used by every test file of this package.

mod admin;
mod bucket;
mod cases;
mod chat;
mod error;
mod front;
mod gate;
mod installation;
mod issuer;
mod messages;
mod nodes;
mod postgres;
mod program;
mod raw;
mod schemathesis;
mod server;
mod settings;
pub mod stripe;
mod trace;
mod upstream;
mod wire;

pub use admin::Admin;
pub use bucket::Bucket;
pub use cases::{Case, check_cases, run_cases, run_node_cases};
pub use chat::{Answer, Chat, Streaming, TokenText};
pub use error::{HarnessError, Outcome};
pub use front::{Front, check_stated_record, stated_usage};
pub use gate::Gate;
pub use installation::Installation;
pub use issuer::{Issuer, Signer, key_set, unix_seconds};
pub use messages::{Event, Events, Messages};
pub use nodes::{EngineNode, NodeKeys};
pub use postgres::create_database;
pub use raw::{Raw, RawAnswer};
pub use schemathesis::{Described, data_plane_document, send_generated};
pub use server::{Banner, Server};
pub use settings::{FOCUS, NODE, POSTGRES_URL, PYTHON, REDIS_URL, needed};
pub use stripe::FakeStripe;
pub use trace::{TraceRow, read_trace};
pub use upstream::{At, Behaviour, Seen, Upstream};
pub use wire::{TextAnswer, Wire};
