//! Which targets serve a model, and what runs a request on one of them.
//! Never authenticates and never decides about limits or money; it finds the route by the model's name.
//! Built at the start, and renewed by a reload; asked by the HTTP routes.

mod answer;
mod breaker;
mod budget;
mod choose;
mod client;
mod credential;
mod engines;
mod pace;
mod probe;
mod remote;
mod renew;
mod route;

pub mod splice;
pub mod sse;
pub(crate) mod tls;
mod upstream;
mod work;

use std::{collections::HashMap, sync::Arc, time::Instant};

use domain::ModelName;
use engine::{Engine, EngineError, Job, Prompt};

pub use answer::{Answer, Content, Delta, Event, Finish, Part, Stop, Tally, ToolCallDelta};
use budget::RETRIES_MAX;
use choose::Affinity;
pub use engines::EngineAnswer;
pub use probe::probe;
pub use remote::{BackendError, Health, Remote, RemoteTarget};
pub use renew::Renewed;
pub use route::{LOCAL_BACKEND, RemoteRoute, Route};
pub use upstream::{PromptTokens, Refusal, RefusalKind, RemoteAnswer, RemoteRequest};
pub use work::{EngineInput, EngineWork, PromptList, Relay, UpstreamCall, UpstreamWork};

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
    /// The tier it is served in, which an answer that is forwarded tells in place of its server's.
    pub tier: Option<&'static str>,
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
    for prompt in prompts {
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
    Ok(Answer::Engine(EngineAnswer::new(generations, work.choices_per_prompt, source)))
}

/// Every model this process serves.
#[derive(Debug, Default)]
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

    /// Adds servers elsewhere, for models of this process as well as for others.
    pub fn add_remotes(&mut self, targets: &[Arc<RemoteTarget>]) {
        let mut names: Vec<ModelName> = Vec::new();
        for target in targets {
            if !names.contains(&target.model) {
                names.push(target.model.clone());
            }
        }
        for name in names {
            let serving = targets.iter().filter(|target| target.model == name).cloned().collect();
            let Some(remote) = Route::remote(serving) else { continue };
            match self.by_model.get_mut(&name) {
                Some(local) => local.remotes = remote.remotes,
                None => self.add(remote),
            }
        }
    }

    /// Every server elsewhere, once.
    pub fn remotes(&self) -> Vec<Arc<Remote>> {
        let mut remotes: Vec<Arc<Remote>> = Vec::new();
        for target in self.all().flat_map(Route::targets) {
            if !remotes.iter().any(|remote| Arc::ptr_eq(remote, &target.remote)) {
                remotes.push(Arc::clone(&target.remote));
            }
        }
        remotes
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
