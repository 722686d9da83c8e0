//! What is to run for a request and where: on the engine of this process, on servers elsewhere, or on whichever has
//! less to do. Never admits and never waits for an answer; it counts the prompt for whoever will run it.
//! Called by `run`, before admission and after it.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use domain::{RequestId, TenantId, Timestamp, Tokens};
use engine::{Engine, EngineError, Prompt};

use super::{
    ApiError,
    run::{self, Work},
};
use crate::{
    admit::{Demand, SloWish, WhenLate},
    dispatch::{
        Allowance, Answer, EngineWork, PromptTokens, RemoteRoute, Route, UpstreamCall, UpstreamWork,
        run_on_engine,
    },
};

/// What is to run, and where.
pub(in crate::http) enum Planned<'a> {
    /// On the engine of this process; on servers elsewhere when it has no room.
    Engine { engine: &'a Engine, work: EngineWork, prompts: Vec<Prompt>, other: Option<Elsewhere<'a>> },
    /// On servers elsewhere.
    Remote(Elsewhere<'a>),
}

/// What a request asks for, whatever runs it.
pub(in crate::http) struct Asked {
    pub(in crate::http) request_id: RequestId,
    pub(in crate::http) tenant_id: TenantId,
    pub(in crate::http) output_tokens_max: Option<u32>,
    pub(in crate::http) wish: SloWish,
    pub(in crate::http) started: Instant,
    /// Longest life that it is given.
    pub(in crate::http) time_max: Duration,
    /// What becomes of it when its class cannot be met.
    pub(in crate::http) when_late: WhenLate,
}

/// A request for servers elsewhere.
pub(in crate::http) struct Elsewhere<'a> {
    remotes: &'a Arc<RemoteRoute>,
    work: UpstreamWork,
    /// Engines of ours can do it, so it may go to a node.
    fits_nodes: bool,
    /// How many tokens the prompt has.
    prompt: PromptTokens,
}

/// Where the request runs: on the one side that can run it, or on the one with less to do.
pub(in crate::http) async fn plan<'a>(route: &'a Route, work: &impl Work) -> Result<Planned<'a>, ApiError> {
    let engine_work = engine_work(route, work);
    let elsewhere =
        route.remotes.as_ref().map(|remotes| elsewhere(route, remotes, (work, engine_work.as_ref())));
    let Some(engine) = &route.engine else {
        return elsewhere
            .unwrap_or_else(|| Err(ApiError::no_model(route.model.as_str())))
            .map(Planned::Remote);
    };
    let other = elsewhere.and_then(Result::ok);
    let (work, other) = match (engine_work.unwrap_or_else(|| work.engine_work()), other) {
        (Ok(_), Some(other)) if !route.prefers_engine(other.prompt.about, Instant::now()) => {
            return Ok(Planned::Remote(other));
        }
        (Ok(engine_work), other) => (engine_work, other),
        (Err(_), Some(other)) => return Ok(Planned::Remote(other)),
        (Err(error), None) => return Err(error),
    };
    let prompts = run::prompts(engine, &work.inputs).await?;
    let other = other.map(|other| other.bounded_by(&prompts));
    Ok(Planned::Engine { engine, work, prompts, other })
}

/// About how many tokens a request would have as a prompt there.
///
/// Errors: nothing elsewhere serves it.
pub(in crate::http) fn count_elsewhere(route: &Route, work: &impl Work) -> Result<Tokens, ApiError> {
    let remotes = route.remotes.as_ref().ok_or_else(|| ApiError::no_model(route.model.as_str()))?;
    let engine_work = engine_work(route, work);
    Ok(Tokens::new(elsewhere(route, remotes, (work, engine_work.as_ref()))?.prompt.longest))
}

/// What an engine of ours would run, made once; `None`: none serves the model, here or on a node.
fn engine_work(route: &Route, work: &impl Work) -> Option<Result<EngineWork, ApiError>> {
    let has_engine = route.engine.is_some() || route.has_node();
    has_engine.then(|| work.engine_work())
}

fn elsewhere<'a>(
    route: &Route,
    remotes: &'a Arc<RemoteRoute>,
    (work, engine_work): (&impl Work, Option<&Result<EngineWork, ApiError>>),
) -> Result<Elsewhere<'a>, ApiError> {
    let work = work.upstream_work()?;
    let capability = work.call.capability();
    if !route.has_remote(capability) {
        return Err(ApiError::wrong_kind(route.model.as_str()));
    }
    // A node would refuse what engines cannot do, but only once the request was admitted.
    let fits_nodes = match engine_work {
        Some(Err(error)) if route.has_only_nodes(capability) => return Err(error.clone()),
        engine_work => engine_work.is_some_and(Result::is_ok),
    };
    let prompt = remotes.prompt_tokens(&work);
    Ok(Elsewhere { remotes, work, fits_nodes, prompt })
}

impl Planned<'_> {
    /// What admission is asked.
    pub(in crate::http) fn demand(&self, asked: &Asked, started_at: Timestamp) -> Demand {
        let (prompt_tokens, longest_prompt_tokens, prompt_tokens_max, choices) = match self {
            Self::Engine { work, prompts, .. } => {
                let counts = || prompts.iter().map(|prompt| prompt.tokens().get());
                let sum = counts().fold(0, u64::saturating_add);
                (sum, counts().max().unwrap_or(0), sum, prompts.len() * work.choices_per_prompt)
            }
            Self::Remote(other) => (
                other.prompt.about,
                other.prompt.longest,
                other.prompt.most,
                usize::try_from(other.work.choices).unwrap_or(usize::MAX),
            ),
        };
        let is_for_embeddings = match self {
            Self::Engine { .. } => false,
            Self::Remote(other) => other.work.call == UpstreamCall::Embeddings,
        };
        let Asked { request_id, tenant_id, output_tokens_max, wish, started, time_max, when_late } = *asked;
        Demand {
            request_id,
            tenant_id,
            prompt_tokens: Tokens::new(prompt_tokens),
            longest_prompt_tokens: Tokens::new(longest_prompt_tokens),
            is_for_embeddings,
            prompt_tokens_max: Tokens::new(prompt_tokens_max),
            choices: u32::try_from(choices).unwrap_or(u32::MAX),
            output_tokens_max,
            wish,
            started,
            started_at,
            time_max,
            when_late,
        }
    }

    /// Runs it.
    pub(in crate::http) fn run(
        self,
        request_id: RequestId,
        allowance: Allowance,
    ) -> Result<Answer, ApiError> {
        match self {
            Self::Engine { engine, work, prompts, other } => {
                match (run_on_engine(engine, prompts, &work, allowance), other) {
                    (Ok(answer), _) => Ok(answer),
                    (Err(EngineError::QueueFull), Some(other)) => Ok(other.run(request_id, allowance)),
                    (Err(error), _) => Err(error.into()),
                }
            }
            Self::Remote(other) => Ok(other.run(request_id, allowance)),
        }
    }
}

impl Elsewhere<'_> {
    /// With no more prompt tokens than were held for the engine that should have run it.
    fn bounded_by(self, prompts: &[Prompt]) -> Self {
        let held = prompts.iter().fold(0_u64, |sum, prompt| sum.saturating_add(prompt.tokens().get()));
        let PromptTokens { about, longest, most } = self.prompt;
        let prompt =
            PromptTokens { about: about.min(held), longest: longest.min(held), most: most.min(held) };
        Self { prompt, ..self }
    }

    fn run(self, request_id: RequestId, allowance: Allowance) -> Answer {
        self.remotes.run((self.work, self.fits_nodes), request_id, self.prompt, allowance)
    }
}
