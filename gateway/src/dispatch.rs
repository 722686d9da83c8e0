//! Which backend serves a model.
//! Never authenticates, never counts; it only finds the engine by the model's name.
//! Built once at start; asked by the HTTP routes.

use std::collections::HashMap;

use domain::ModelName;
use engine::Engine;

/// The name records carry for engines inside this process.
pub const LOCAL_BACKEND: &str = "local";

/// One model and what serves it.
#[derive(Clone)]
pub struct Backend {
    /// The name clients ask for.
    pub model: ModelName,
    /// The engine inside this process.
    pub engine: Engine,
    /// Output bound of requests that name none. Unit: tokens.
    pub output_tokens_default: u32,
}

/// Every model this process serves.
#[derive(Default)]
pub struct Backends {
    by_model: HashMap<ModelName, Backend>,
    /// As configured, for listings.
    order: Vec<ModelName>,
}

impl Backends {
    /// Adds a model; names are unique by the configuration's check.
    pub fn add(&mut self, backend: Backend) {
        self.order.push(backend.model.clone());
        self.by_model.insert(backend.model.clone(), backend);
    }

    /// The backend that serves a model.
    pub fn find(&self, model: &ModelName) -> Option<&Backend> {
        self.by_model.get(model)
    }

    /// All of them, in the order of the configuration.
    pub fn all(&self) -> impl Iterator<Item = &Backend> {
        self.order.iter().filter_map(|model| self.by_model.get(model))
    }
}
