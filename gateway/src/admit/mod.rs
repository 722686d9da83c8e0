//! The one decision whether a request may run: key, model, price, limits, a journal that can take its record.
//! Never touches a database; it waits for nothing but the limits' store, and a refusal consumes nothing.
//! Called by the HTTP routes after parsing; `stream` takes the `Admission` it makes.

mod bucket;
mod limits;
mod slo;
mod spending;
mod take;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use billing::{
    journal::{Journal, JournalError, OpenEntry},
    plan::Plan,
};
use domain::{Fault, ModelName, Nanos, RequestId, TenantId, Timestamp, Tokens};

use crate::{
    authenticate::{Credential, Principal},
    dispatch::Route,
    meter::Subject,
};

pub use bucket::LimitView;
pub use limits::{
    AmountKey, AmountKind, AmountLimit, Ask, AwayPolicy, BadAddress, Exceeded, Holds, LimitSet, LimitViews,
    Limiter, Limits, Node, NodeId, OpenHold, PER_DAY_MAX, PER_MINUTE_MAX, Permit, RedisAddress, Reservation,
    Scope, Settlement, TakeError, Taken, Used,
};
pub use slo::{Promise, Served, SloWish, TooStrict, Unattainable, UnknownTier, WhenLate};
pub use spending::{Place, Spending};
pub use take::used;

/// What a hold outlives the longest request by: its record is written and settled in this time.
const HOLD_MARGIN: Duration = Duration::from_secs(60);

/// What a request asks for, parsed.
#[derive(Clone, Copy, Debug)]
pub struct Demand {
    /// The request's id.
    pub request_id: RequestId,
    /// Who asks.
    pub tenant_id: TenantId,
    /// Tokens of the prompt.
    pub prompt_tokens: Tokens,
    /// An upper bound of them, where they can only be estimated; else the same.
    pub prompt_tokens_max: Tokens,
    /// Tokens of the longest prompt, when there are several.
    pub longest_prompt_tokens: Tokens,
    /// It asks for embeddings, not for text.
    pub is_for_embeddings: bool,
    /// Answers asked for, over all prompts.
    pub choices: u32,
    /// The output bound of each that it names. Unit: tokens.
    pub output_tokens_max: Option<u32>,
    /// The latency it asks for.
    pub wish: SloWish,
    /// When its last byte had been read.
    pub started: Instant,
    /// The same moment by the time of day.
    pub started_at: Timestamp,
    /// Longest life that it is given.
    pub time_max: Duration,
    /// What becomes of it when its class cannot be met.
    pub when_late: WhenLate,
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
    /// The key's or token's allow list does not have the model.
    #[error("{0} may not use the model {1}")]
    ModelNotAllowed(Credential, ModelName),
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
    /// It wishes for more than its plan promises.
    #[error("{0}")]
    TooStrict(#[from] TooStrict),
    /// Its latency class cannot be met now.
    #[error("the latency class {} cannot be met now: too many requests wait; try again in {:.3} s", .0.class, .0.retry_after.as_secs_f64())]
    Unattainable(Unattainable),
    /// What it may cost is beyond all bounds.
    #[error("a request this large has no price; ask for fewer tokens or choices")]
    Unpriceable,
    /// A limit is used up; with all limits as they stand.
    #[error("{0}")]
    Limit(Box<Exceeded>, LimitViews),
    /// The limits cannot be checked, and nothing runs unchecked.
    #[error("no new requests are taken at the moment: limits cannot be checked")]
    LimitsAway {
        /// When they are looked at again.
        retry_after: Duration,
    },
    /// The request has been admitted before.
    #[error("a request of this id has been admitted before")]
    Repeated,
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
            Self::ModelNotAllowed(..) | Self::ModelNotPriced(_) => Fault::Forbidden,
            Self::PromptTooLong { .. } | Self::TooStrict(_) | Self::Unpriceable => Fault::Invalid,
            Self::Limit(..) => Fault::Limited,
            Self::Repeated => Fault::Conflict,
            Self::Unattainable(_) | Self::LimitsAway { .. } | Self::Journal(_) | Self::Draining => {
                Fault::Overloaded
            }
        }
    }

    /// The limits as they stand, where they were looked at.
    pub fn limit_views(&self) -> LimitViews {
        match self {
            Self::Limit(_, views) => *views,
            Self::ModelNotAllowed(..)
            | Self::ModelNotPriced(_)
            | Self::PromptTooLong { .. }
            | Self::TooStrict(_)
            | Self::Unattainable(_)
            | Self::Unpriceable
            | Self::LimitsAway { .. }
            | Self::Repeated
            | Self::Journal(_)
            | Self::Draining => LimitViews::default(),
        }
    }

    /// The stable code clients see.
    pub fn code(&self) -> &'static str {
        match self {
            Self::ModelNotAllowed(..) => "model_not_allowed",
            Self::ModelNotPriced(_) => "model_not_priced",
            Self::PromptTooLong { .. } => "context_length_exceeded",
            Self::TooStrict(_) => "slo_too_strict",
            Self::Unattainable(_) => "slo_unattainable",
            Self::Unpriceable => "request_unpriceable",
            Self::Limit(exceeded, _) => match exceeded.limiter {
                Limiter::Budget if exceeded.is_held => "budget_held",
                Limiter::Balance if exceeded.is_held => "balance_held",
                Limiter::Budget => "budget_exceeded",
                Limiter::Balance => "insufficient_balance",
                Limiter::RequestsPerMinute
                | Limiter::TokensPerMinute
                | Limiter::RequestsPerDay
                | Limiter::Concurrency => "rate_limit_exceeded",
            },
            Self::LimitsAway { .. } => "limits_unavailable",
            Self::Repeated => "request_repeated",
            Self::Journal(_) => "usage_unrecordable",
            Self::Draining => "shutting_down",
        }
    }
}

impl From<TakeError> for Refusal {
    fn from(error: TakeError) -> Self {
        match error {
            TakeError::Exceeded(exceeded, views) => Self::Limit(exceeded, views),
            TakeError::Repeated => Self::Repeated,
            TakeError::Away { retry_after } => Self::LimitsAway { retry_after },
            // Whoever asks with amounts seeds them; what is still unknown then is unknown for a moment.
            TakeError::Unseeded(_) => Self::LimitsAway { retry_after: Duration::from_secs(1) },
        }
    }
}

/// Proof that a request may run: what it took from the limits, and what is known of it.
#[must_use = "stream it, or what it took is given back as if it had never been"]
#[derive(Debug)]
pub struct Admission {
    /// Who asked.
    principal: Principal,
    /// What the meter needs.
    pub(crate) subject: Subject,
    /// What it took from limits over time and from amounts.
    pub(crate) reservation: Reservation,
    /// Its place among the running requests.
    pub(crate) permit: Permit,
    /// Most tokens each of its choices may have.
    output_tokens_max: u32,
    /// The most it can be charged, which is held for it.
    pub(crate) hold: Nanos,
    served: Served,
    views: LimitViews,
    /// Longest life that it is given.
    time_max: Duration,
}

impl Admission {
    /// Most tokens each choice may have: what was asked for, within the context that is left and the money.
    pub fn output_tokens_max(&self) -> u32 {
        self.output_tokens_max
    }

    /// The latency class it is served in.
    pub fn served(&self) -> Served {
        self.served
    }

    /// The limits as they stand now, for response headers.
    pub fn limit_views(&self) -> LimitViews {
        self.views
    }

    /// Longest life that it is given.
    pub fn time_max(&self) -> Duration {
        self.time_max
    }

    /// Whose request.
    pub fn tenant_id(&self) -> TenantId {
        self.principal.tenant().id
    }

    /// Which request.
    pub fn request_id(&self) -> RequestId {
        self.subject.open.request_id
    }

    /// What prices it.
    pub(crate) fn plan(&self) -> &Arc<Plan> {
        self.principal.shared_plan()
    }
}

/// Decides about requests.
#[derive(Debug)]
pub struct Admitter {
    limits: Limits,
    spending: Spending,
    journal: Journal,
    draining: Arc<std::sync::atomic::AtomicBool>,
}

/// What an [`Admitter`] is made of.
#[derive(Debug)]
pub struct AdmitterParts {
    /// Counts what is taken.
    pub limits: Limits,
    /// Knows what was spent before.
    pub spending: Spending,
    /// Must be able to take every admitted request's record.
    pub journal: Journal,
}

impl Admitter {
    /// A gate over limits.
    pub fn new(parts: AdmitterParts) -> Self {
        let AdmitterParts { limits, spending, journal } = parts;
        Self { limits, spending, journal, draining: Arc::default() }
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

    /// Where limits are counted.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Admits a request, or refuses it and takes nothing.
    ///
    /// Errors: the first reason against it.
    pub async fn admit(
        &self,
        principal: Principal,
        route: &Route,
        demand: &Demand,
    ) -> Result<Admission, Refusal> {
        self.check(&principal, route, demand.is_for_embeddings)?;
        let output_tokens_max = output_tokens_max(route, demand)?;
        let promise = principal.promise();
        let slo = promise.grant(&demand.wish)?;
        let forecast = route.forecast(demand.prompt_tokens);
        let served = promise.serve(slo, demand.prompt_tokens, forecast, demand.when_late);
        let served = served.map_err(Refusal::Unattainable)?;
        let places = principal.places(&route.model, demand.started_at);
        let plan = Arc::clone(principal.shared_plan());
        let granted = self.take(&plan, &route.model, demand, places, output_tokens_max).await?;
        let Taken { reservation, permit, views } = granted.taken;
        let open = OpenEntry {
            request_id: demand.request_id,
            tenant_id: principal.tenant().id,
            key_id: principal.key().id.clone(),
            model: route.model.clone(),
            backend: route.backend_name().to_owned(),
            slo: served.slo,
            prompt_tokens: demand.prompt_tokens,
            started_at: demand.started_at,
            price_version: principal.plan().id().clone(),
            project_id: principal.key().project_id,
        };
        let is_for_embeddings = demand.is_for_embeddings;
        let subject = Subject { open, started: demand.started, is_for_embeddings };
        let (output_tokens_max, hold) = (granted.output_tokens_max, granted.hold);
        let time_max = demand.time_max;
        Ok(Admission {
            principal,
            subject,
            reservation,
            permit,
            output_tokens_max,
            hold,
            served,
            views,
            time_max,
        })
    }

    fn check(&self, principal: &Principal, route: &Route, is_for_embeddings: bool) -> Result<(), Refusal> {
        if self.is_draining() {
            return Err(Refusal::Draining);
        }
        check_model(principal, route, is_for_embeddings)?;
        self.journal.is_writable().map_err(Refusal::Journal)
    }
}

/// Whether the key may use the model and its plan prices it; takes nothing.
///
/// Errors: the first reason against it.
pub fn check_model(principal: &Principal, route: &Route, is_for_embeddings: bool) -> Result<(), Refusal> {
    if !principal.is_listed(&route.model) {
        return Err(Refusal::ModelNotAllowed(principal.credential(), route.model.clone()));
    }
    let is_priced = match is_for_embeddings {
        true => principal.has_embeddings_priced(&route.model),
        false => principal.is_priced(&route.model),
    };
    if !is_priced {
        return Err(Refusal::ModelNotPriced(route.model.clone()));
    }
    Ok(())
}

/// The output bound: what was asked for or the model's default, within the context that is left.
fn output_tokens_max(route: &Route, demand: &Demand) -> Result<u32, Refusal> {
    let context = u64::from(route.context_tokens_max());
    let prompt = demand.longest_prompt_tokens.get();
    let asked = demand.output_tokens_max.unwrap_or(route.output_tokens_default);
    // An embedding has no output, and its prompt may fill the context.
    let prompt_max = context.saturating_sub(u64::from(asked.min(1)));
    if prompt > prompt_max {
        return Err(Refusal::PromptTooLong { prompt, prompt_max });
    }
    let left = context.saturating_sub(prompt);
    Ok(u32::try_from(left).unwrap_or(u32::MAX).min(asked))
}
