//! `POST /v1/chat/completions`: the order of a request, top to bottom.
//! Never holds a measurement or a limit itself; each step is a call and hands its proof to the next.
//! Called through `http::configure`.

use std::time::{Duration, Instant};

use actix_web::{
    HttpRequest, HttpResponse,
    http::header::{AUTHORIZATION, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE},
    web,
};
use domain::Micros;
use engine::{Job, Prompt};

use super::{request::ChatRequest, response::Envelope, sse::EventStream};
use crate::{
    admit::{Admission, Demand, LimitViews},
    app::App,
    authenticate::Principal,
    dispatch::Backend,
    http::{ApiError, headers, request_id},
    settle::Settled,
    stream::{Ending, Failure, Piece, Pieces, Stop},
};

/// A body that has not arrived by then is given up. Slow uplinks send a megabyte in it.
const BODY_WAIT_MAX: Duration = Duration::from_secs(30);

/// Longest text tokenized on the connection's own thread: about a millisecond of work. Unit: bytes.
const INLINE_PROMPT_BYTES_MAX: usize = 32 * 1_024;

/// Everything needed to answer once the request runs.
struct Running {
    pieces: Pieces,
    first: Piece,
    envelope: Envelope,
    limits: LimitViews,
}

/// Answers a chat request, whole or as a stream.
pub(in crate::http) async fn create(
    request: HttpRequest,
    body: web::Payload,
    app: web::Data<App>,
) -> HttpResponse {
    let principal = match authenticate(&request, &app) {
        Ok(principal) => principal,
        Err(error) => return error.to_response(),
    };
    let body = match read_body(&request, body, app.body_bytes_max).await {
        Ok(body) => body,
        Err(error) => return error.to_response(),
    };
    let started = Instant::now();
    let chat = match ChatRequest::from_wire(&body) {
        Ok(chat) => chat,
        Err(error) => return error.to_response(),
    };
    let (is_stream, include_usage) = (chat.is_stream, chat.include_usage);
    match start(&request, &app, principal, chat, started).await {
        Ok(running) if is_stream => stream(running, include_usage),
        Ok(running) => whole(running).await,
        Err((error, limits)) => error.to_response_with_limits(&limits),
    }
}

/// The principal of a request's `Authorization` header.
pub(super) fn authenticate(request: &HttpRequest, app: &App) -> Result<Principal, ApiError> {
    let mut headers = request.headers().get_all(AUTHORIZATION);
    let header = headers.next();
    if headers.next().is_some() {
        return Err(ApiError::two_keys());
    }
    let text = header.map(|value| value.to_str().unwrap_or("\u{fffd}"));
    Ok(app.authenticator.authenticate(text, app.clock.now())?)
}

async fn read_body(
    request: &HttpRequest,
    body: web::Payload,
    bytes_max: u32,
) -> Result<web::Bytes, ApiError> {
    let limit = usize::try_from(bytes_max).unwrap_or(usize::MAX);
    let stated = request.headers().get(CONTENT_LENGTH).and_then(|value| value.to_str().ok());
    if stated.and_then(|text| text.parse::<u64>().ok()).is_some_and(|bytes| bytes > u64::from(bytes_max)) {
        return Err(ApiError::too_large(bytes_max));
    }
    match tokio::time::timeout(BODY_WAIT_MAX, body.to_bytes_limited(limit)).await {
        Ok(Ok(Ok(bytes))) => Ok(bytes),
        Ok(Err(_)) => Err(ApiError::too_large(bytes_max)),
        Ok(Ok(Err(_))) | Err(_) => Err(ApiError::unread()),
    }
}

/// Dispatch, admit, submit, open, and wait for the first piece.
async fn start(
    request: &HttpRequest,
    app: &App,
    principal: Principal,
    mut chat: ChatRequest,
    started: Instant,
) -> Result<Running, (ApiError, LimitViews)> {
    let bare = |error: ApiError| (error, LimitViews::default());
    let name = chat.model.as_str().to_owned();
    let backend = app.backends.find(&chat.model).ok_or_else(|| bare(ApiError::no_model(&name)))?;
    let prompt = prompt(backend, &mut chat).await.map_err(bare)?;
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
    let envelope = Envelope::new(demand.request_id, started_at, &name);
    match pieces.next().await {
        Some(Piece::End(Ending::Failed(failure))) => Err((ApiError::from_failure(failure), limits)),
        Some(first) => Ok(Running { pieces, first, envelope, limits }),
        None => Err((ApiError::from_failure(Failure::Engine), limits)),
    }
}

/// Renders and counts the prompt; a long one beside the connections of this thread, which would wait for it.
async fn prompt(backend: &Backend, chat: &mut ChatRequest) -> Result<Prompt, ApiError> {
    let messages = std::mem::take(&mut chat.messages);
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

fn job(app: &App, admission: &Admission, chat: ChatRequest, prompt: Prompt) -> Job {
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

fn stream(running: Running, include_usage: bool) -> HttpResponse {
    let Running { pieces, first, envelope, limits } = running;
    let mut response = HttpResponse::Ok()
        .insert_header((CONTENT_TYPE, "text/event-stream; charset=utf-8"))
        .insert_header((CACHE_CONTROL, "no-cache"))
        .insert_header(("x-accel-buffering", "no"))
        .streaming(EventStream::new(pieces, first, envelope, include_usage));
    headers::set_limits(response.headers_mut(), &limits);
    response
}

async fn whole(running: Running) -> HttpResponse {
    let Running { mut pieces, first, envelope, limits } = running;
    match collect(&mut pieces, first).await {
        Ok((text, stop, settled)) => {
            let record = settled.record();
            let mut response = HttpResponse::Ok().json(envelope.whole(&text, stop, record));
            let headers = response.headers_mut();
            headers::set_limits(headers, &limits);
            headers::set(headers, "x-tallygate-energy-mj", &record.energy.to_string());
            headers::set(headers, "x-tallygate-energy-source", record.energy_source.as_str());
            if let Some(ttft) = record.ttft.map(Micros::get) {
                headers::set(headers, "x-tallygate-ttft-us", &ttft.to_string());
            }
            response
        }
        Err(failure) => ApiError::from_failure(failure).to_response_with_limits(&limits),
    }
}

async fn collect(pieces: &mut Pieces, first: Piece) -> Result<(String, Stop, Box<Settled>), Failure> {
    let mut text = String::new();
    let mut next = Some(first);
    loop {
        match next {
            Some(Piece::Text(part)) => text.push_str(&part),
            Some(Piece::End(Ending::Complete { stop, settled })) => return Ok((text, stop, settled)),
            Some(Piece::End(Ending::Failed(failure))) => return Err(failure),
            None => return Err(Failure::Engine),
        }
        next = pieces.next().await;
    }
}
