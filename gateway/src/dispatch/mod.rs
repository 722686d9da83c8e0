//! Which targets serve a model, and what runs a request on one of them.
//! Never authenticates and never decides about limits or money; it finds the route by the model's name.
//! Built once at start; asked by the HTTP routes.

mod answer;
mod engines;
mod work;

use std::{collections::HashMap, time::Instant};

use domain::{EnergySource, ModelName, Tokens};
use engine::{Engine, EngineError, Forecast, Job, Prompt};

pub use answer::{Answer, Content, Delta, Event, Finish, Part, Stop, Tally, ToolCallDelta};
pub use engines::EngineAnswer;
pub use work::{EngineInput, EngineWork, Relay, UpstreamCall, UpstreamWork};

/// The name records carry for engines inside this process.
pub const LOCAL_BACKEND: &str = "local";

/// One model and what serves it.
#[derive(Clone)]
pub struct Route {
    /// The name clients ask for.
    pub model: ModelName,
    /// What can serve it; never empty.
    pub target: Target,
    /// Output bound of requests that name none. Unit: tokens.
    pub output_tokens_default: u32,
}

/// One place where a model runs.
#[derive(Clone)]
pub enum Target {
    /// The engine inside this process.
    Engine(Engine),
}

impl Route {
    /// Prompt and output together. Unit: tokens.
    pub fn context_tokens_max(&self) -> u32 {
        match &self.target {
            Target::Engine(engine) => engine.info().context_tokens_max,
        }
    }

    /// The name records carry for what serves the request.
    pub fn backend_name(&self) -> &str {
        match &self.target {
            Target::Engine(_) => LOCAL_BACKEND,
        }
    }

    /// Where energy figures of its requests come from.
    pub fn energy_source(&self) -> EnergySource {
        match &self.target {
            Target::Engine(engine) => engine.info().energy_source,
        }
    }

    /// What it is doing, in words, and whether it would take a request.
    pub fn state(&self) -> (bool, String) {
        match &self.target {
            Target::Engine(engine) => {
                let status = engine.status();
                let state = match (status.is_ready, status.is_failed) {
                    (true, false) => format!("ok, {} running, {} queued", status.running, status.queued),
                    (_, true) => "failed".to_owned(),
                    (false, false) => "starting".to_owned(),
                };
                (status.is_ready && !status.is_failed, state)
            }
        }
    }

    /// What a request with this prompt would meet now. `None`: nothing was measured yet.
    pub fn forecast(&self, prompt: Tokens) -> Option<Forecast> {
        match &self.target {
            Target::Engine(engine) => engine.forecast(prompt),
        }
    }

    /// Lets go of what runs in this process.
    pub fn shutdown(&self) {
        match &self.target {
            Target::Engine(engine) => engine.shutdown(),
        }
    }
}

/// What admission allows one request, whatever serves it.
#[derive(Clone, Copy, Debug)]
pub struct Allowance {
    /// Most tokens of each choice.
    pub output_tokens_max: u32,
    /// When to give up.
    pub deadline: Instant,
    /// Requests of one key share fairly; an opaque number.
    pub fairness_key: u64,
    /// Requests of different scopes never share cached prompts; an opaque number.
    pub cache_scope: u64,
}

/// Submits one job for each choice to an engine of this process.
///
/// Errors: the engine's; jobs submitted before it are cancelled.
pub fn run_on_engine(
    engine: &Engine,
    prompts: Vec<Prompt>,
    work: &EngineWork,
    allowance: Allowance,
) -> Result<Answer, EngineError> {
    let mut generations = Vec::with_capacity(prompts.len() * work.choices_per_prompt);
    let mut prompt_tokens = Tokens::ZERO;
    for prompt in prompts {
        prompt_tokens = Tokens::new(prompt_tokens.get().saturating_add(prompt.tokens().get()));
        for _ in 0..work.choices_per_prompt {
            let job = Job {
                prompt: prompt.clone(),
                sampling: work.sampling,
                output_tokens_max: allowance.output_tokens_max,
                stop: work.stop.clone(),
                ignore_eos: work.ignore_eos,
                deadline: Some(allowance.deadline),
                weight: 1,
                fairness_key: allowance.fairness_key,
                cache_scope: allowance.cache_scope,
            };
            generations.push(engine.submit(job)?);
        }
    }
    let source = engine.info().energy_source;
    Ok(Answer::Engine(EngineAnswer::new(generations, work.choices_per_prompt, prompt_tokens, source)))
}

/// Every model this process serves.
#[derive(Default)]
pub struct Backends {
    by_model: HashMap<ModelName, Route>,
    /// As configured, for listings.
    order: Vec<ModelName>,
}

impl Backends {
    /// Adds a model; names are unique by the configuration's check.
    pub fn add(&mut self, route: Route) {
        self.order.push(route.model.clone());
        self.by_model.insert(route.model.clone(), route);
    }

    /// What serves a model.
    pub fn find(&self, model: &ModelName) -> Option<&Route> {
        self.by_model.get(model)
    }

    /// All of them, in the order of the configuration.
    pub fn all(&self) -> impl Iterator<Item = &Route> {
        self.order.iter().filter_map(|model| self.by_model.get(model))
    }
}
