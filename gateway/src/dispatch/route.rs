//! What serves one model: an engine of this process, servers elsewhere, or both; and which of them gets a request.
//! Never authenticates and never decides about limits or money.
//! Built once at start; asked by `http::run`.

use std::{sync::Arc, time::Instant};

use domain::{EnergySource, ModelName, RequestId, Tokens};
use engine::{Engine, Forecast};

use super::{
    Affinity, Allowance, Answer, UpstreamCall, UpstreamWork,
    budget::RetryBudget,
    choose::{Candidate, choose},
    remote::RemoteTarget,
    upstream::{PromptTokens, RemoteAnswer, RemoteRequest},
};
use crate::config::Capability;

/// The name records carry for engines inside this process.
pub const LOCAL_BACKEND: &str = "local";

/// One model and what serves it.
#[derive(Clone, Debug)]
pub struct Route {
    /// The name clients ask for.
    pub model: ModelName,
    /// The engine inside this process.
    pub engine: Option<Engine>,
    /// Servers elsewhere.
    pub remotes: Option<Arc<RemoteRoute>>,
    /// Output bound of requests that name none. Unit: tokens.
    pub output_tokens_default: u32,
}

/// The servers elsewhere that serve one model.
#[derive(Debug)]
pub struct RemoteRoute {
    targets: Vec<Arc<RemoteTarget>>,
    pub(super) budget: Arc<RetryBudget>,
}

impl UpstreamCall {
    /// What a target must be able to do for it.
    pub fn capability(self) -> Capability {
        match self {
            Self::ChatCompletions => Capability::Chat,
            Self::Completions => Capability::Completions,
            Self::Embeddings => Capability::Embeddings,
        }
    }
}

impl Route {
    /// A model that the engine of this process serves.
    pub fn local(model: ModelName, engine: Engine, output_tokens_default: u32) -> Self {
        Self { model, engine: Some(engine), remotes: None, output_tokens_default }
    }

    /// A model that others serve. `None`: there are no others.
    pub fn remote(targets: Vec<Arc<RemoteTarget>>) -> Option<Self> {
        let first = targets.first()?;
        let (model, output_tokens_default) = (first.model.clone(), first.output_tokens_default);
        let remotes = Some(Arc::new(RemoteRoute { targets, budget: Arc::default() }));
        Some(Self { model, engine: None, remotes, output_tokens_default })
    }

    /// Prompt and output together that every target takes. Unit: tokens.
    pub fn context_tokens_max(&self) -> u32 {
        let engine = self.engine.iter().map(|engine| engine.info().context_tokens_max);
        let remotes = self.targets().map(|target| target.context_tokens_max);
        engine.chain(remotes).min().unwrap_or(0)
    }

    /// The name records carry for what serves the request, until a target has it.
    pub fn backend_name(&self) -> &str {
        match &self.engine {
            Some(_) => LOCAL_BACKEND,
            None => self.targets().next().map_or(LOCAL_BACKEND, |target| &target.remote.name),
        }
    }

    /// Where energy figures of its requests come from, until a target says so.
    pub fn energy_source(&self) -> EnergySource {
        self.engine.as_ref().map_or(EnergySource::Modelled, |engine| engine.info().energy_source)
    }

    /// The servers elsewhere, in the order of the configuration.
    pub fn targets(&self) -> impl Iterator<Item = &Arc<RemoteTarget>> {
        self.remotes.iter().flat_map(|remotes| &remotes.targets)
    }

    /// Whether any server elsewhere can be asked this.
    pub fn has_remote(&self, capability: Capability) -> bool {
        self.targets().any(|target| target.can(capability))
    }

    /// Whether any of the servers elsewhere is an engine node of ours, which takes only what our engines can do.
    pub fn has_node(&self) -> bool {
        self.targets().any(|target| target.is_node())
    }

    /// Whether all of the servers elsewhere that can be asked this are engine nodes.
    pub fn has_only_nodes(&self, capability: Capability) -> bool {
        self.targets().filter(|target| target.can(capability)).all(|target| target.is_node())
    }

    /// Where the next request of this many tokens is best run, when both sides can run it. What a job of the engine
    /// still has to do is taken to be as much as this request.
    pub fn prefers_engine(&self, tokens: u64, now: Instant) -> bool {
        let Some(engine) = &self.engine else { return false };
        let status = engine.status();
        let jobs = u64::try_from(status.running + status.queued).unwrap_or(u64::MAX);
        let least =
            self.targets().filter(|target| target.is_usable(now)).map(|target| target.outstanding_tokens());
        let is_able = status.is_ready && !status.is_failed;
        match least.min() {
            None => true,
            Some(least) => is_able && jobs.saturating_mul(tokens) <= least,
        }
    }

    /// What it is doing, in words, and whether it would take a request.
    pub fn state(&self) -> (bool, String) {
        let now = Instant::now();
        let engine = self.engine.as_ref().map(|engine| {
            let status = engine.status();
            let state = match (status.is_ready, status.is_failed) {
                (true, false) => format!("ok, {} running, {} queued", status.running, status.queued),
                (_, true) => "failed".to_owned(),
                (false, false) => "starting".to_owned(),
            };
            (status.is_ready && !status.is_failed, state)
        });
        let remotes = self.targets().map(|target| {
            let state = format!("{}: {}", target.remote.name, target.state(now));
            (target.is_usable(now), state)
        });
        let states: Vec<_> = engine.into_iter().chain(remotes).collect();
        let is_ready = states.iter().any(|(is_ready, _)| *is_ready);
        let words: Vec<_> = states.into_iter().map(|(_, words)| words).collect();
        (is_ready, words.join("; "))
    }

    /// What a request with this prompt would meet now. `None`: nothing was measured yet.
    ///
    /// Of several sides that can take it the one that would begin first counts; while nothing was measured of one of
    /// them, it may be that one.
    pub fn forecast(&self, prompt: Tokens) -> Option<Forecast> {
        let now = Instant::now();
        let engine = self.engine.iter().map(|engine| engine.forecast(prompt));
        let usable = self.targets().filter(|target| target.is_usable(now));
        let forecasts = engine.chain(usable.map(|target| target.forecast(prompt)));
        let forecasts: Option<Vec<_>> = forecasts.collect();
        forecasts?.into_iter().min_by_key(|forecast| forecast.ttft)
    }

    /// Lets go of what runs in this process.
    pub fn shutdown(&self) {
        if let Some(engine) = &self.engine {
            engine.shutdown();
        }
    }
}

impl RemoteRoute {
    /// The same targets with the retries that another route for them has left.
    pub(super) fn going_on_from(&self, before: &Self) -> Self {
        Self { targets: self.targets.clone(), budget: Arc::clone(&before.budget) }
    }

    /// Runs a request on one of the servers; nothing is sent before the answer is first asked for an event.
    /// What does not fit engines of ours is sent to no node; `prompt` is what [`Self::prompt_tokens`] found.
    pub fn run(
        self: &Arc<Self>,
        (work, fits_nodes): (UpstreamWork, bool),
        request_id: RequestId,
        prompt: PromptTokens,
        allowance: Allowance,
    ) -> Answer {
        self.budget.earn();
        // One target needs no choice.
        let conversation = if self.targets.len() > 1 { work.conversation() } else { &[] };
        let request = RemoteRequest {
            affinity: Affinity::of(allowance.cache_scope, conversation),
            work,
            fits_nodes,
            request_id: request_id.to_string(),
            prompt_tokens: prompt.about,
            prompt_tokens_max: prompt.most,
            output_tokens_max: allowance.output_tokens_max,
            deadline: allowance.deadline,
            fairness_key: allowance.fairness_key,
            cache_scope: allowance.cache_scope,
            tier: allowance.tier,
        };
        Answer::Remote(Box::new(RemoteAnswer::new(Arc::clone(self), request)))
    }

    /// How many tokens the prompt of a request has, on any target that could get it.
    pub fn prompt_tokens(&self, work: &UpstreamWork) -> PromptTokens {
        let able = self.able(work.call.capability()).map(|(_, target)| target);
        let (counts, contexts): (Vec<_>, Vec<_>) =
            able.map(|target| (target.counter.prompt_of(work), u64::from(target.context_tokens_max))).unzip();
        let context = contexts.into_iter().max().unwrap_or(0);
        PromptTokens::of(work, counts.into_iter().max().unwrap_or(0), context)
    }

    /// The target for the next attempt; `tried` ones are left out.
    pub(super) fn choose(
        &self,
        request: &RemoteRequest,
        tried: &[usize],
        now: Instant,
    ) -> Option<(usize, &Arc<RemoteTarget>)> {
        let usable: Vec<_> = self.open(request, tried, now).collect();
        let candidates: Vec<_> = usable
            .iter()
            .map(|(_, target)| Candidate {
                name: &target.remote.name,
                weight: target.weight,
                outstanding_tokens: target.outstanding_tokens(),
            })
            .collect();
        let chosen = choose(&candidates, request.prompt_tokens, request.affinity)?;
        usable.get(chosen).copied()
    }

    /// Whether another target could be tried.
    pub(super) fn has_another(&self, request: &RemoteRequest, tried: &[usize], now: Instant) -> bool {
        self.open(request, tried, now).next().is_some()
    }

    fn able(&self, capability: Capability) -> impl Iterator<Item = (usize, &Arc<RemoteTarget>)> {
        self.targets.iter().enumerate().filter(move |(_, target)| target.can(capability))
    }

    fn open(
        &self,
        request: &RemoteRequest,
        tried: &[usize],
        now: Instant,
    ) -> impl Iterator<Item = (usize, &Arc<RemoteTarget>)> {
        let able = self.able(request.work.call.capability());
        able.filter(move |(place, target)| {
            !tried.contains(place) && (request.fits_nodes || !target.is_node()) && target.is_usable(now)
        })
    }
}
