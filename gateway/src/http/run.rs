//! What every dialect does the same way: authenticate, find the model, count, admit, submit, wait for the first piece.
//! Never reads or writes a wire form; a dialect hands over a checked request and gets the running one.
//! Called by the routes of every dialect.

use std::time::{Duration, Instant};

use actix_web::{HttpMessage as _, HttpRequest, http::header::AUTHORIZATION, web};
use billing::plan::TARGET_MS_MAX;
use bytes::Bytes;
use domain::{Micros, ModelName, RequestId, SloClass, Timestamp, Tokens};
use engine::{Engine, Prompt};

use crate::{
    admit::{Admission, LimitViews, SloWish},
    app::App,
    authenticate::Principal,
    dispatch::{Allowance, EngineInput, EngineWork, Route, ToolCallDelta, UpstreamWork},
    http::{
        ApiError, idempotency,
        planned::{self, Asked},
        request_id, routes, wish,
    },
    settle::Settled,
    stream::{Delta, Ending, Failure, Piece, Pieces, Stop},
};

/// Longest text tokenized on the connection's own thread: about a millisecond of work. Unit: bytes.
const INLINE_PROMPT_BYTES_MAX: usize = 32 * 1_024;

/// Targets that a request may name for itself. Unit: milliseconds.
const TTFT_HEADER: &str = "x-slo-ttft-ms";
const TPOT_HEADER: &str = "x-slo-tpot-ms";

/// Anthropic's clients send the key alone in this header.
const X_API_KEY: &str = "x-api-key";

/// A checked request, whatever dialect it came in. Only the form that its target needs is made.
pub(in crate::http) trait Work {
    /// The model asked for.
    fn model(&self) -> &ModelName;

    /// What its dialect calls the prompt.
    fn prompt_field(&self) -> &'static str {
        "messages"
    }

    /// The output bound of each choice that it names. Unit: tokens.
    fn output_tokens_max(&self) -> Option<u32>;

    /// Whether the answer is a stream, whose headers do not wait for ever for its first piece.
    fn is_stream(&self) -> bool {
        false
    }

    /// The latency class that the body names; headers may say more.
    fn class_wished(&self) -> Option<SloClass> {
        None
    }

    /// What an engine of ours runs.
    ///
    /// Errors: the first thing our engines cannot do, by its field.
    fn engine_work(&self) -> Result<EngineWork, ApiError>;

    /// What an OpenAI-compatible server runs.
    ///
    /// Errors: the first thing that has no form there, by its field.
    fn upstream_work(&self) -> Result<UpstreamWork, ApiError>;
}

/// Everything needed to answer once the request runs.
pub(in crate::http) struct Running {
    pub(in crate::http) pieces: Pieces,
    /// Waited for, so that an early failure can still have a status of its own. `None` once it was taken, and for
    /// a stream that has been silent for too long.
    pub(in crate::http) first: Option<Piece>,
    /// Longest silence of a stream before a keep-alive.
    pub(in crate::http) silence_max: Duration,
    pub(in crate::http) request_id: RequestId,
    pub(in crate::http) started_at: Timestamp,
    pub(in crate::http) model: String,
    pub(in crate::http) prompt_tokens: Tokens,
    pub(in crate::http) limits: LimitViews,
}

/// A whole answer, collected.
pub(in crate::http) struct Collected {
    /// By choice; empty when the answer is forwarded.
    pub(in crate::http) choices: Vec<CollectedChoice>,
    /// The body of a forwarded answer.
    pub(in crate::http) held_back: Vec<Bytes>,
    /// The proof that its record is durable.
    pub(in crate::http) settled: Box<Settled>,
}

/// One choice of a whole answer.
#[derive(Debug)]
pub(in crate::http) struct CollectedChoice {
    pub(in crate::http) text: String,
    pub(in crate::http) reasoning: String,
    pub(in crate::http) refusal: String,
    /// By their index; arguments joined.
    pub(in crate::http) tool_calls: Vec<ToolCallDelta>,
    pub(in crate::http) stop: Stop,
}

/// The principal of a request's `Authorization` header.
pub(in crate::http) fn authenticate(request: &HttpRequest, app: &App) -> Result<Principal, ApiError> {
    let mut headers = request.headers().get_all(AUTHORIZATION);
    let header = headers.next();
    if headers.next().is_some() {
        return Err(ApiError::two_keys());
    }
    let text = header.map(|value| value.to_str().unwrap_or("\u{fffd}"));
    scoped(request, app.authenticator.authenticate(text, app.clock.now())?)
}

/// Refuses a key that is not for the route that the request came in on.
fn scoped(request: &HttpRequest, principal: Principal) -> Result<Principal, ApiError> {
    if let Some(scope) = routes::scope_of(request) {
        principal.require(scope)?;
    }
    Ok(principal)
}

/// The principal of a request's `x-api-key` or `Authorization` header; never of both.
pub(in crate::http) fn authenticate_either(request: &HttpRequest, app: &App) -> Result<Principal, ApiError> {
    let mut keys = request.headers().get_all(X_API_KEY);
    let has_authorization = request.headers().contains_key(AUTHORIZATION);
    match (keys.next(), keys.next(), has_authorization) {
        (Some(_), Some(_), _) | (Some(_), None, true) => Err(ApiError::two_credentials()),
        (Some(key), None, false) => {
            let text = key.to_str().unwrap_or("\u{fffd}").trim();
            match text.is_empty() {
                true => Err(ApiError::no_credential()),
                false => scoped(request, app.authenticator.authenticate_key(text, app.clock.now())?),
            }
        }
        (None, _, true) => authenticate(request, app),
        (None, _, false) => Err(ApiError::no_credential()),
    }
}

/// Dispatch, admit, submit, open, and wait for the first piece.
pub(in crate::http) async fn start(
    request: &HttpRequest,
    app: &App,
    principal: Principal,
    work: &impl Work,
    started: Instant,
) -> Result<Running, (ApiError, LimitViews)> {
    let bare = |error: ApiError| (error.of_prompt(work.prompt_field()), LimitViews::default());
    let name = work.model().as_str().to_owned();
    let serving = app.serving();
    let route = serving.backends.find(work.model()).ok_or_else(|| bare(ApiError::no_model(&name)))?;
    let planned = planned::plan(route, work).await.map_err(bare)?;
    let asked = Asked {
        request_id: request_id(request, app),
        tenant_id: principal.tenant().id,
        output_tokens_max: work.output_tokens_max(),
        wish: wish(request, work).map_err(bare)?,
        started,
        time_max: serving.request_time_max,
        when_late: serving.when_late,
    };
    let demand = planned.demand(&asked, app.clock.now());
    let admission = app.admitter.admit(principal, route, &demand).await.map_err(|refusal| {
        let views = refusal.limit_views();
        (ApiError::from(refusal).of_prompt(work.prompt_field()), views)
    })?;
    let limits = admission.limit_views();
    // The class served is told in the headers of whatever answer follows.
    request.extensions_mut().insert(admission.served());
    // What was taken is given back when this fails, so the limits are not told as if it were.
    let answer = planned.run(demand.request_id, allowance(&admission)).map_err(bare)?;
    let pieces = app.streams.start(admission, answer, route.energy_source());
    let mut pieces = pieces.map_err(|error| bare(ApiError::from_journal(&error)))?;
    idempotency::note_started(request);
    let first = match work.is_stream() {
        true => tokio::time::timeout(serving.stream_silence_max, pieces.next())
            .await
            .map_or(Waited::Enough, Waited::of),
        false => Waited::of(pieces.next().await),
    };
    match first {
        Waited::Broken(failure) => Err((ApiError::from_failure(failure), limits)),
        first @ (Waited::Piece(_) | Waited::Enough) => Ok(Running {
            pieces,
            first: first.into_piece(),
            silence_max: serving.stream_silence_max,
            request_id: demand.request_id,
            started_at: demand.started_at,
            model: name,
            prompt_tokens: demand.prompt_tokens,
            limits,
        }),
    }
}

/// The latency that a request asks for, in its body and its headers.
fn wish(request: &HttpRequest, work: &impl Work) -> Result<SloWish, ApiError> {
    Ok(SloWish {
        class: work.class_wished(),
        ttft: target_header(request, TTFT_HEADER)?,
        tpot: target_header(request, TPOT_HEADER)?,
    })
}

fn target_header(request: &HttpRequest, name: &'static str) -> Result<Option<Micros>, ApiError> {
    let Some(value) = request.headers().get(name) else { return Ok(None) };
    let millis = value.to_str().ok().and_then(|text| text.trim().parse::<u32>().ok());
    match millis.filter(|millis| (1..=TARGET_MS_MAX).contains(&u64::from(*millis))) {
        Some(millis) => Ok(Some(Micros::from_millis(millis))),
        None => {
            let message = format!("{name}: must be a whole number of milliseconds from 1 to {TARGET_MS_MAX}");
            Err(ApiError::invalid("invalid_value", name, message))
        }
    }
}

/// What came of waiting for the first piece.
enum Waited {
    Piece(Piece),
    Broken(Failure),
    /// Nothing yet.
    Enough,
}

impl Waited {
    fn of(piece: Option<Piece>) -> Self {
        match piece {
            Some(Piece::End(Ending::Failed(failure))) => Self::Broken(failure),
            Some(piece) => Self::Piece(piece),
            None => Self::Broken(Failure::Engine),
        }
    }

    fn into_piece(self) -> Option<Piece> {
        match self {
            Self::Piece(piece) => Some(piece),
            Self::Broken(_) | Self::Enough => None,
        }
    }
}

/// How many tokens a request would have as a prompt; for servers elsewhere, about how many.
pub(in crate::http) async fn count(route: &Route, work: &impl Work) -> Result<Tokens, ApiError> {
    let Some(engine) = &route.engine else { return planned::count_elsewhere(route, work) };
    let prompts = prompts(engine, &work.engine_work()?.inputs).await?;
    Ok(prompts.first().map_or(Tokens::ZERO, Prompt::tokens))
}

/// Renders and counts prompts; long ones beside the connections of this thread, which would wait for them.
pub(in crate::http) async fn prompts(
    engine: &Engine,
    inputs: &[EngineInput],
) -> Result<Vec<Prompt>, ApiError> {
    let make = |engine: &Engine, inputs: &[EngineInput]| -> Result<Vec<Prompt>, ApiError> {
        let one = |input: &EngineInput| match input {
            EngineInput::Messages(messages) => Ok(engine.prompt(messages)?),
            EngineInput::Text(text) => Ok(engine.prompt_text(text)?),
        };
        inputs.iter().map(one).collect()
    };
    if inputs.iter().map(EngineInput::bytes).sum::<usize>() <= INLINE_PROMPT_BYTES_MAX {
        return make(engine, inputs);
    }
    let (engine, inputs) = (engine.clone(), inputs.to_vec());
    match web::block(move || make(&engine, &inputs)).await {
        Ok(prompts) => prompts,
        Err(_) => Err(ApiError::from_failure(Failure::Engine)),
    }
}

fn allowance(admission: &Admission) -> Allowance {
    let (_, scope) = admission.tenant_id().as_uuid().as_u64_pair();
    Allowance {
        output_tokens_max: admission.output_tokens_max(),
        deadline: Instant::now() + admission.time_max(),
        fairness_key: scope,
        cache_scope: scope,
        tier: Some(wish::tier(admission.served().slo.class)),
    }
}

impl Running {
    /// The whole answer and the proof that its record is durable.
    ///
    /// Errors: why the answer broke off.
    pub(in crate::http) async fn collect(&mut self) -> Result<Collected, Failure> {
        let mut choices: Vec<CollectedChoice> = Vec::new();
        let mut held_back = Vec::new();
        let mut next = self.first.take();
        loop {
            match next {
                Some(Piece::Delta { choice, delta }) => {
                    choice_at(&mut choices, usize::try_from(choice).unwrap_or(usize::MAX)).add(delta);
                }
                Some(Piece::Event(bytes)) => held_back.push(bytes),
                Some(Piece::End(Ending::Complete { stops, held_back: last, settled })) => {
                    held_back.extend(last);
                    for (index, stop) in stops.into_iter().enumerate() {
                        choice_at(&mut choices, index).stop = stop;
                    }
                    return Ok(Collected { choices, held_back, settled });
                }
                Some(Piece::End(Ending::Failed(failure))) => return Err(failure),
                None => return Err(Failure::Engine),
            }
            next = self.pieces.next().await;
        }
    }
}

/// The choice with this number; those before it are made as well. Targets number their choices from zero without
/// gaps and their count is bounded at admission.
fn choice_at(choices: &mut Vec<CollectedChoice>, index: usize) -> &mut CollectedChoice {
    while choices.len() <= index.min(CHOICES_MAX - 1) {
        choices.push(CollectedChoice::default());
    }
    let last = choices.len() - 1;
    &mut choices[index.min(last)]
}

/// Choices of one request, over all its prompts. OpenAI allows 128.
pub(in crate::http) const CHOICES_MAX: usize = 128;

impl Default for CollectedChoice {
    fn default() -> Self {
        let (text, reasoning, refusal) = (String::new(), String::new(), String::new());
        Self { text, reasoning, refusal, tool_calls: Vec::new(), stop: Stop::Done }
    }
}

impl CollectedChoice {
    fn add(&mut self, delta: Delta) {
        match delta {
            Delta::Text(text) => self.text.push_str(&text),
            Delta::Reasoning(text) => self.reasoning.push_str(&text),
            Delta::Refusal(text) => self.refusal.push_str(&text),
            Delta::ToolCall(part) => match self.tool_calls.iter_mut().find(|call| call.index == part.index) {
                Some(call) => {
                    call.arguments.push_str(&part.arguments);
                    call.id = call.id.take().or(part.id);
                    call.name = call.name.take().or(part.name);
                }
                None => self.tool_calls.push(part),
            },
        }
    }
}
