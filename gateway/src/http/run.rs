//! What every dialect does the same way: authenticate, find the model, count, admit, submit, wait for the first piece.
//! Never reads or writes a wire form; a dialect hands over a checked chat and gets the running request.
//! Called by the routes of every dialect.

use std::time::Instant;

use actix_web::{HttpRequest, http::header::AUTHORIZATION, web};
use domain::{ModelName, RequestId, Timestamp, Tokens};
use engine::{ChatMessage, Job, Prompt, Sampling};

use crate::{
    admit::{Admission, Demand, LimitViews},
    app::App,
    authenticate::Principal,
    dispatch::Backend,
    http::{ApiError, request_id},
    settle::Settled,
    stream::{Ending, Failure, Piece, Pieces, Stop},
};

/// Longest text tokenized on the connection's own thread: about a millisecond of work. Unit: bytes.
const INLINE_PROMPT_BYTES_MAX: usize = 32 * 1_024;

/// Anthropic's clients send the key alone in this header.
const X_API_KEY: &str = "x-api-key";

/// A checked chat, whatever dialect it came in.
#[derive(Debug)]
pub(in crate::http) struct Chat {
    pub(in crate::http) model: ModelName,
    pub(in crate::http) messages: Vec<ChatMessage>,
    pub(in crate::http) sampling: Sampling,
    pub(in crate::http) output_tokens_max: Option<u32>,
    pub(in crate::http) stop: Vec<String>,
    pub(in crate::http) ignore_eos: bool,
}

/// Everything needed to answer once the request runs.
pub(in crate::http) struct Running {
    pub(in crate::http) pieces: Pieces,
    /// Waited for, so that an early failure can still have a status of its own. `None` once it was taken.
    pub(in crate::http) first: Option<Piece>,
    pub(in crate::http) request_id: RequestId,
    pub(in crate::http) started_at: Timestamp,
    pub(in crate::http) model: String,
    pub(in crate::http) prompt_tokens: Tokens,
    pub(in crate::http) limits: LimitViews,
}

/// The principal of a request's `Authorization` header.
pub(in crate::http) fn authenticate(request: &HttpRequest, app: &App) -> Result<Principal, ApiError> {
    let mut headers = request.headers().get_all(AUTHORIZATION);
    let header = headers.next();
    if headers.next().is_some() {
        return Err(ApiError::two_keys());
    }
    let text = header.map(|value| value.to_str().unwrap_or("\u{fffd}"));
    Ok(app.authenticator.authenticate(text, app.clock.now())?)
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
                false => Ok(app.authenticator.authenticate_key(text, app.clock.now())?),
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
    mut chat: Chat,
    started: Instant,
) -> Result<Running, (ApiError, LimitViews)> {
    let bare = |error: ApiError| (error, LimitViews::default());
    let name = chat.model.as_str().to_owned();
    let backend = app.backends.find(&chat.model).ok_or_else(|| bare(ApiError::no_model(&name)))?;
    let prompt = prompt(backend, std::mem::take(&mut chat.messages)).await.map_err(bare)?;
    let started_at = app.clock.now();
    let demand = Demand {
        request_id: request_id(request, app),
        prompt_tokens: prompt.tokens(),
        output_tokens_max: chat.output_tokens_max,
        started,
        started_at,
    };
    let admission = app.admitter.admit(principal, backend, &demand).map_err(|refusal| {
        let views = refusal.limit_views();
        (refusal.into(), views)
    })?;
    let limits = admission.limit_views();
    let job = job(app, &admission, chat, prompt);
    // What was taken is given back when this fails, so the limits are not told as if it were.
    let mut pieces = run(app, backend, admission, job).map_err(bare)?;
    match pieces.next().await {
        Some(Piece::End(Ending::Failed(failure))) => Err((ApiError::from_failure(failure), limits)),
        Some(first) => Ok(Running {
            pieces,
            first: Some(first),
            request_id: demand.request_id,
            started_at,
            model: name,
            prompt_tokens: demand.prompt_tokens,
            limits,
        }),
        None => Err((ApiError::from_failure(Failure::Engine), limits)),
    }
}

/// Renders and counts the prompt; a long one beside the connections of this thread, which would wait for it.
pub(in crate::http) async fn prompt(
    backend: &Backend,
    messages: Vec<ChatMessage>,
) -> Result<Prompt, ApiError> {
    let bytes: usize = messages.iter().map(|message| message.content.len()).sum();
    if bytes <= INLINE_PROMPT_BYTES_MAX {
        return Ok(backend.engine.prompt(&messages)?);
    }
    let engine = backend.engine.clone();
    match web::block(move || engine.prompt(&messages)).await {
        Ok(prompt) => Ok(prompt?),
        Err(_) => Err(ApiError::from_failure(Failure::Engine)),
    }
}

fn job(app: &App, admission: &Admission, chat: Chat, prompt: Prompt) -> Job {
    let (_, scope) = admission.tenant_id().as_uuid().as_u64_pair();
    Job {
        prompt,
        sampling: chat.sampling,
        output_tokens_max: admission.output_tokens_max(),
        stop: chat.stop,
        ignore_eos: chat.ignore_eos,
        deadline: Some(Instant::now() + app.request_time_max),
        weight: 1,
        fairness_key: scope,
        cache_scope: scope,
    }
}

/// Submits the job and hands it to its own task.
fn run(app: &App, backend: &Backend, admission: Admission, job: Job) -> Result<Pieces, ApiError> {
    let generation = backend.engine.submit(job)?;
    let source = backend.engine.info().energy_source;
    app.streams.start(admission, generation, source).map_err(|error| ApiError::from_journal(&error))
}

impl Running {
    /// The whole answer, why the model stopped, and the proof that its record is durable.
    ///
    /// Errors: why the answer broke off.
    pub(in crate::http) async fn collect(&mut self) -> Result<(String, Stop, Box<Settled>), Failure> {
        let mut text = String::new();
        let mut next = self.first.take();
        loop {
            match next {
                Some(Piece::Text(part)) => text.push_str(&part),
                Some(Piece::End(Ending::Complete { stop, settled })) => return Ok((text, stop, settled)),
                Some(Piece::End(Ending::Failed(failure))) => return Err(failure),
                None => return Err(Failure::Engine),
            }
            next = self.pieces.next().await;
        }
    }
}
