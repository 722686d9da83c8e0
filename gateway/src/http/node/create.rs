//! A chat or a text on a node: parsed as strictly as by a gateway for an engine of its own, and submitted.
//! Never admits and never bills: its gateway has done the one and will do the other.
//! Called through the node's table of routes, behind `gateway::only`.

use std::time::{Duration, Instant};

use actix_web::{HttpRequest, HttpResponse, web};
use domain::{Fault, ModelName};

use super::{
    answer,
    gateway::{Gateway, one_header},
    wire::Envelope,
};
use crate::{
    dispatch::{Allowance, EngineWork, run_on_engine},
    http::{
        ApiError, body, openai,
        run::{self, Work},
    },
    node::{BeginError, Node, Terms, TermsError},
    stream::Failure,
};

/// What is asked of a model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Call {
    /// A chat to go on with.
    Chat,
    /// A text to continue.
    Completion,
}

/// A checked request.
struct Asked {
    model: ModelName,
    work: EngineWork,
    output_tokens_max: Option<u32>,
    is_stream: bool,
}

/// Answers a chat.
pub(super) async fn chat(
    request: HttpRequest,
    body: web::Payload,
    node: web::Data<Node>,
    gateway: web::ReqData<Gateway>,
) -> HttpResponse {
    let answer = create(Call::Chat, &request, body, (&node, &gateway)).await;
    answer.unwrap_or_else(|error| error.to_response())
}

/// Continues a text.
pub(super) async fn completion(
    request: HttpRequest,
    body: web::Payload,
    node: web::Data<Node>,
    gateway: web::ReqData<Gateway>,
) -> HttpResponse {
    let answer = create(Call::Completion, &request, body, (&node, &gateway)).await;
    answer.unwrap_or_else(|error| error.to_response())
}

/// Ends a request of the same gateway. Its stream goes on to its end, which says what was spent.
pub(super) async fn end(
    id: web::Path<String>,
    node: web::Data<Node>,
    gateway: web::ReqData<Gateway>,
) -> HttpResponse {
    match node.requests.cancel(&gateway.key_id, &id) {
        true => HttpResponse::NoContent().finish(),
        false => {
            let error = ApiError::new(Fault::Missing, "not_running", "no request of yours with this id runs");
            error.to_response()
        }
    }
}

async fn create(
    call: Call,
    request: &HttpRequest,
    body: web::Payload,
    (node, gateway): (&Node, &Gateway),
) -> Result<HttpResponse, ApiError> {
    let began = Instant::now();
    let terms = Terms::read(|name| one_header(request, name))?;
    let running = node.requests.begin(&gateway.key_id, &terms.request_id)?;
    let body = body::read(request, body, node.body_bytes_max).await?;
    let asked = match call {
        Call::Chat => asked(&openai::chat_work(body)?)?,
        Call::Completion => asked(&openai::completion_work(body)?)?,
    };
    let model = node.find(&asked.model).ok_or_else(|| ApiError::no_model(asked.model.as_str()))?;
    let prompts = run::prompts(&model.engine, &asked.work.inputs).await?;
    let prompt_tokens = prompts.iter().fold(0_u64, |sum, prompt| sum.saturating_add(prompt.tokens().get()));
    let allowed = Duration::from_millis(u64::from(terms.deadline_ms)).min(node.request_time_max);
    let allowance = Allowance {
        output_tokens_max: asked.output_tokens_max.unwrap_or(model.output_tokens_default),
        deadline: began + allowed,
        fairness_key: terms.fairness_key.0,
        cache_scope: terms.cache_scope.0,
        tier: None,
    };
    let choices = prompts.len() * asked.work.choices_per_prompt;
    let answer = run_on_engine(&model.engine, prompts, &asked.work, allowance)?;
    let created = node.clock.now().unix_micros().div_euclid(1_000_000);
    let envelope = Envelope::new(call, (terms.request_id, created), &asked.model, (prompt_tokens, choices));
    let running = answer::Running { answer, running, envelope };
    match asked.is_stream {
        true => Ok(running.stream()),
        false => running.whole().await,
    }
}

fn asked(work: &impl Work) -> Result<Asked, ApiError> {
    Ok(Asked {
        model: work.model().clone(),
        work: work.engine_work()?,
        output_tokens_max: work.output_tokens_max(),
        is_stream: work.is_stream(),
    })
}

impl From<TermsError> for ApiError {
    fn from(error: TermsError) -> Self {
        Self::invalid("invalid_value", error.header, error.to_string())
    }
}

impl From<BeginError> for ApiError {
    fn from(error: BeginError) -> Self {
        match error {
            BeginError::Draining => Self::from_failure(Failure::Draining),
            BeginError::Running => Self::new(Fault::Conflict, "request_running", error.to_string()),
        }
    }
}
