//! The one decision whether a request may run: key, model, price, limits, a journal that can take its record.
//! Never waits and never touches a database; a refusal consumes nothing.
//! Called by the HTTP routes after parsing; `stream` takes the `Admission` it makes.

mod bucket;
mod limits;

use std::{sync::Arc, time::Instant};

use billing::journal::{Journal, JournalError, OpenEntry};
use domain::{Fault, ModelName, RequestId, TenantId, Timestamp, Tokens};

use crate::{authenticate::Principal, dispatch::Route, meter::Subject};

pub use bucket::LimitView;
pub use limits::{Ask, Exceeded, LimitSet, LimitViews, Limiter, Limits, Permit, Reservation, Scope};

/// What a request asks for, parsed.
#[derive(Clone, Copy, Debug)]
pub struct Demand {
    /// The request's id.
    pub request_id: RequestId,
    /// Tokens of the prompt.
    pub prompt_tokens: Tokens,
    /// Tokens of the longest prompt, when there are several.
    pub longest_prompt_tokens: Tokens,
    /// Answers asked for, over all prompts.
    pub choices: u32,
    /// The output bound of each that it names. Unit: tokens.
    pub output_tokens_max: Option<u32>,
    /// When its last byte had been read.
    pub started: Instant,
    /// The same moment by the time of day.
    pub started_at: Timestamp,
}

impl Demand {
    /// Prompt and output together, when each choice may have this many tokens.
    fn tokens(&self, output_tokens_max: u32) -> u64 {
        let output = u64::from(output_tokens_max).saturating_mul(u64::from(self.choices));
        self.prompt_tokens.get().saturating_add(output)
    }
}

/// Why a request was refused.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// The key's allow list does not have the model.
    #[error("this API key may not use the model {0}")]
    ModelNotAllowed(ModelName),
    /// The plan has no price for the model.
    #[error("the model {0} has no price in your plan")]
    ModelNotPriced(ModelName),
    /// The prompt leaves no room for an answer.
    #[error("the prompt has {prompt} tokens; this model takes at most {prompt_max}")]
    PromptTooLong {
        /// Tokens of the prompt.
        prompt: u64,
        /// Most tokens a prompt may have.
        prompt_max: u64,
    },
    /// A limit is used up; with all limits as they stand.
    #[error("{}", limit_text(.0))]
    Limit(Exceeded, LimitViews),
    /// The journal can take no new record.
    #[error("no new requests are taken at the moment: usage cannot be recorded")]
    Journal(#[source] JournalError),
    /// The process is stopping.
    #[error("the server is shutting down")]
    Draining,
}

impl Refusal {
    /// What kind of failure it is.
    pub fn fault(&self) -> Fault {
        match self {
            Self::ModelNotAllowed(_) | Self::ModelNotPriced(_) => Fault::Forbidden,
            Self::PromptTooLong { .. } => Fault::Invalid,
            Self::Limit(..) => Fault::Limited,
            Self::Journal(_) | Self::Draining => Fault::Overloaded,
        }
    }

    /// The limits as they stand, where they were looked at.
    pub fn limit_views(&self) -> LimitViews {
        match self {
            Self::Limit(_, views) => *views,
            Self::ModelNotAllowed(_)
            | Self::ModelNotPriced(_)
            | Self::PromptTooLong { .. }
            | Self::Journal(_)
            | Self::Draining => LimitViews::default(),
        }
    }

    /// The stable code clients see.
    pub fn code(&self) -> &'static str {
        match self {
            Self::ModelNotAllowed(_) => "model_not_allowed",
            Self::ModelNotPriced(_) => "model_not_priced",
            Self::PromptTooLong { .. } => "context_length_exceeded",
            Self::Limit(..) => "rate_limit_exceeded",
            Self::Journal(_) => "usage_unrecordable",
            Self::Draining => "shutting_down",
        }
    }
}

fn limit_text(exceeded: &Exceeded) -> String {
    let Exceeded { limiter, scope, limit, remaining, cost, retry_after } = exceeded;
    let scope = match scope {
        Scope::Tenant => "your account",
        Scope::Key => "this API key",
    };
    let unit = match limiter {
        Limiter::RequestsPerMinute => "requests per minute",
        Limiter::TokensPerMinute => "tokens per minute",
        Limiter::Concurrency => "requests at the same time",
    };
    let advice = match retry_after {
        Some(wait) => format!("try again in {:.3} s", wait.as_secs_f64()),
        None => "this request can never fit".to_owned(),
    };
    format!("limit of {limit} {unit} for {scope}: {remaining} remaining, {cost} asked for; {advice}")
}

/// Proof that a request may run: what it took from the limits, and what is known of it.
#[must_use = "stream it, or what it took is given back as if it had never been"]
#[derive(Debug)]
pub struct Admission {
    /// Who asked.
    principal: Principal,
    /// What the meter needs.
    pub(crate) subject: Subject,
    /// What it took from the per-minute limits.
    pub(crate) reservation: Reservation,
    /// Its place among the running requests.
    pub(crate) permit: Permit,
    /// Most tokens it may produce.
    output_tokens_max: u32,
    views: LimitViews,
}

impl Admission {
    /// Most tokens the request may produce: what it asked for, within the context that is left.
    pub fn output_tokens_max(&self) -> u32 {
        self.output_tokens_max
    }

    /// The limits as they stand now, for response headers.
    pub fn limit_views(&self) -> LimitViews {
        self.views
    }

    /// Whose request.
    pub fn tenant_id(&self) -> TenantId {
        self.principal.tenant().id
    }

    /// Which request.
    pub fn request_id(&self) -> RequestId {
        self.subject.open.request_id
    }
}

/// Decides about requests.
#[derive(Debug)]
pub struct Admitter {
    limits: Limits,
    journal: Journal,
    draining: Arc<std::sync::atomic::AtomicBool>,
}

impl Admitter {
    /// A gate over fresh limits.
    pub fn new(journal: Journal, origin: Instant) -> Self {
        Self { limits: Limits::new(origin), journal, draining: Arc::default() }
    }

    /// From now on everything new is refused.
    pub fn drain(&self) {
        self.draining.store(true, std::sync::atomic::Ordering::SeqCst);
    }

    /// Whether new requests are refused because the process is stopping.
    pub fn is_draining(&self) -> bool {
        self.draining.load(std::sync::atomic::Ordering::SeqCst)
    }

    /// Requests running now.
    pub fn running(&self) -> u64 {
        self.limits.running()
    }

    /// Admits a request, or refuses it and takes nothing.
    ///
    /// Errors: the first reason against it.
    pub fn admit(&self, principal: Principal, route: &Route, demand: &Demand) -> Result<Admission, Refusal> {
        self.check(&principal, route)?;
        let output_tokens_max = output_tokens_max(route, demand)?;
        let (tenant, key) = (principal.tenant(), principal.key());
        let ask = Ask {
            request_id: demand.request_id,
            tenant_id: tenant.id,
            key_id: key.id.clone(),
            tenant: tenant.limits,
            key: key.limits,
            tokens: demand.tokens(output_tokens_max),
        };
        let admitted = self.limits.admit(&ask, demand.started);
        let (reservation, permit, views) =
            admitted.map_err(|(exceeded, views)| Refusal::Limit(exceeded, views))?;
        let open = OpenEntry {
            request_id: demand.request_id,
            tenant_id: tenant.id,
            key_id: key.id.clone(),
            model: route.model.clone(),
            backend: route.backend_name().to_owned(),
            slo: principal.plan().slo(),
            prompt_tokens: demand.prompt_tokens,
            started_at: demand.started_at,
            price_version: principal.plan().id().clone(),
            project_id: None,
        };
        let subject = Subject { open, started: demand.started };
        Ok(Admission { principal, subject, reservation, permit, output_tokens_max, views })
    }

    fn check(&self, principal: &Principal, route: &Route) -> Result<(), Refusal> {
        if self.is_draining() {
            return Err(Refusal::Draining);
        }
        check_model(principal, route)?;
        self.journal.is_writable().map_err(Refusal::Journal)
    }
}

/// Whether the key may use the model and its plan prices it; takes nothing.
///
/// Errors: the first reason against it.
pub fn check_model(principal: &Principal, route: &Route) -> Result<(), Refusal> {
    if !principal.is_listed(&route.model) {
        return Err(Refusal::ModelNotAllowed(route.model.clone()));
    }
    if !principal.is_priced(&route.model) {
        return Err(Refusal::ModelNotPriced(route.model.clone()));
    }
    Ok(())
}

/// The output bound: what was asked for or the model's default, within the context that is left.
fn output_tokens_max(route: &Route, demand: &Demand) -> Result<u32, Refusal> {
    let context = u64::from(route.context_tokens_max());
    let prompt = demand.longest_prompt_tokens.get();
    let left = context.saturating_sub(prompt);
    if left == 0 {
        return Err(Refusal::PromptTooLong { prompt, prompt_max: context.saturating_sub(1) });
    }
    let asked = demand.output_tokens_max.unwrap_or(route.output_tokens_default);
    Ok(u32::try_from(left).unwrap_or(u32::MAX).min(asked))
}
