//! A request on its way through one or more upstreams: chosen, sent, tried elsewhere, read, counted.
//! Never tries again once a byte has reached the client, and never asks a client to wait for what it cannot get.
//! Made by `Route::run`, owned by the streaming task, which may stop waiting at any moment and come back.

use std::{
    collections::VecDeque,
    future::Future,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Instant,
};

use bytes::Bytes;
use domain::Tokens;
use tokio::time::timeout_at;

use super::{
    attempt::{Head, Opened, open},
    farewell::{self, FAREWELL_MAX},
    reading::{Expectation, Reading},
    refusal::{Refusal, RefusalKind},
    relay::{Step, StreamRelay},
    remote_request::RemoteRequest,
    streaming::Streaming,
    whole::{Whole, warn_of_cut, whole},
};
use crate::dispatch::{
    Event, Finish, RETRIES_MAX, Tally,
    client::ClientError,
    remote::{Attempt, RemoteTarget},
    route::RemoteRoute,
    sse::SseParser,
};

/// An answer that comes from elsewhere.
#[derive(Debug)]
pub struct RemoteAnswer {
    route: Arc<RemoteRoute>,
    request: RemoteRequest,
    /// Places of targets that failed it.
    tried: Vec<usize>,
    /// The last failure.
    refusal: Option<Refusal>,
    phase: Phase,
    /// The request has reached a target: its prompt counts.
    is_sent: Arc<AtomicBool>,
    is_started: bool,
    /// The client was given something: from now on it is this answer or none.
    is_told: bool,
    ready: VecDeque<Event>,
    backend: Option<Arc<str>>,
}

enum Phase {
    /// A target is to be chosen.
    Choosing,
    /// Connecting, sending, waiting for the answer's head; for a whole answer, reading it.
    Waiting(Pin<Box<dyn Future<Output = Opened> + Send>>),
    /// Events come.
    Streaming(Box<Streaming>),
    /// All is said.
    Ended,
}

impl std::fmt::Debug for Phase {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Choosing => "Choosing",
            Self::Waiting(_) => "Waiting",
            Self::Streaming(_) => "Streaming",
            Self::Ended => "Ended",
        })
    }
}

impl RemoteAnswer {
    /// Nothing is sent before it is first asked for an event.
    pub(in crate::dispatch) fn new(route: Arc<RemoteRoute>, request: RemoteRequest) -> Self {
        Self {
            route,
            request,
            tried: Vec::new(),
            refusal: None,
            phase: Phase::Choosing,
            is_sent: Arc::default(),
            is_started: false,
            is_told: false,
            ready: VecDeque::new(),
            backend: None,
        }
    }

    /// The next event; `None` after `Finished`. Nothing is lost when it is dropped while waiting.
    pub async fn next(&mut self) -> Option<Event> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                self.is_told |= matches!(event, Event::Part(_));
                return Some(event);
            }
            match &mut self.phase {
                Phase::Ended => return None,
                Phase::Choosing => self.choose(),
                Phase::Waiting(waiting) => match timeout_at(self.request.deadline.into(), waiting).await {
                    Ok(opened) => self.open(opened),
                    Err(_) => self.end_early(Finish::Deadline),
                },
                Phase::Streaming(streaming) => {
                    if let Some(came_at) = streaming.unread_since.take() {
                        self.read(Ok(Ok(Some(Bytes::new()))), came_at);
                        continue;
                    }
                    let due = match streaming.ending {
                        Some(_) => streaming.due,
                        None => streaming.due.min(self.request.deadline),
                    };
                    let bytes = timeout_at(due.into(), streaming.exchange.next()).await;
                    self.read(bytes, Instant::now());
                }
            }
        }
    }

    /// Closes the connection at once; a node is asked to say what it has spent first, and given a moment for it.
    /// `Finished` still comes, with what was counted.
    pub fn cancel(&mut self) {
        if !matches!(self.phase, Phase::Ended) {
            self.wind_down(Finish::Cancelled);
        }
    }

    /// The client left, or time is up. What is left of a node's answer is read for the sake of its last figures.
    fn wind_down(&mut self, finish: Finish) {
        match &mut self.phase {
            Phase::Streaming(streaming)
                if streaming.attempt.target.is_node() && streaming.ending.is_none() =>
            {
                streaming.ending = Some(finish);
                streaming.due = Instant::now() + FAREWELL_MAX;
                farewell::say(&streaming.attempt.target.remote, &self.request.request_id);
                self.ready.clear();
            }
            Phase::Choosing | Phase::Waiting(_) | Phase::Streaming(_) | Phase::Ended => {
                self.end_early(finish);
            }
        }
    }

    fn choose(&mut self) {
        let now = Instant::now();
        let found = self.route.choose(&self.request, &self.tried, now);
        let Some((place, target)) = found else {
            let refusal = self.refusal.take().unwrap_or_else(|| Refusal::new(RefusalKind::NoTarget));
            return self.end_refused(refusal);
        };
        self.tried.push(place);
        self.backend = Some(Arc::clone(&target.remote.name));
        let attempt = target.begin(self.request.tokens(), now);
        let (request, is_sent) = (self.request.clone(), Arc::clone(&self.is_sent));
        self.phase = Phase::Waiting(Box::pin(open(attempt, request, is_sent)));
    }

    fn open(&mut self, opened: Opened) {
        let Opened { mut attempt, outcome } = opened;
        match outcome {
            Ok(head) => {
                if !self.is_started {
                    self.is_started = true;
                    self.ready.push_back(Event::Started);
                }
                let reading = self.reading(&attempt.target);
                match head {
                    Head::Stream(exchange) => {
                        let due = Instant::now() + attempt.target.remote.waits.first_token;
                        let relay = self.request.relay_from(&attempt.target);
                        let relay = StreamRelay::new(relay, reading);
                        self.phase = Phase::Streaming(Box::new(Streaming {
                            attempt,
                            exchange,
                            parser: SseParser::default(),
                            relay,
                            due,
                            first_at: None,
                            unread_since: None,
                            ending: None,
                        }));
                    }
                    Head::Whole(body) => match whole(self.request.work.relay, reading, &body) {
                        Ok(Whole { parts, tally, is_cut }) => {
                            attempt.succeed();
                            if is_cut {
                                warn_of_cut(&self.request.request_id, &attempt.target);
                            }
                            self.ready.extend(parts.into_iter().map(Event::Part));
                            self.end(tally);
                        }
                        Err(refusal) => self.failed(attempt, refusal),
                    },
                }
            }
            Err(refusal) => self.failed(attempt, refusal),
        }
    }

    /// An attempt failed. Another target is tried, unless the client has been given something or nothing is gained.
    fn failed(&mut self, mut attempt: Attempt, refusal: Refusal) {
        let now = Instant::now();
        if refusal.kind.is_breaking() {
            attempt.fail(now);
        } else if !refusal.kind.is_retryable() {
            // Whoever judges a request lives.
            attempt.succeed();
        }
        tracing::warn!(
            request.id = %self.request.request_id, backend = %attempt.target.remote.name,
            model = %attempt.target.model, kind = ?refusal.kind, "a backend failed a request"
        );
        drop(attempt);
        let may_retry = refusal.kind.is_retryable()
            && !self.is_told
            && self.tried.len() <= usize::try_from(RETRIES_MAX).unwrap_or(usize::MAX)
            && now < self.request.deadline
            && self.route.has_another(&self.request, &self.tried, now)
            && self.route.budget.spend();
        match may_retry {
            true => {
                self.refusal = Some(refusal);
                self.phase = Phase::Choosing;
            }
            false => self.end_refused(refusal),
        }
    }

    /// Takes the next bytes of a stream, which came at `now`.
    fn read(
        &mut self,
        bytes: Result<Result<Option<Bytes>, ClientError>, tokio::time::error::Elapsed>,
        now: Instant,
    ) {
        let is_ending = matches!(&self.phase, Phase::Streaming(streaming) if streaming.ending.is_some());
        if !is_ending && bytes.is_err() && now >= self.request.deadline {
            return self.wind_down(Finish::Deadline);
        }
        let Phase::Streaming(mut streaming) = std::mem::replace(&mut self.phase, Phase::Ended) else {
            return;
        };
        let mut parts = Vec::new();
        let step = match bytes {
            Ok(Ok(Some(bytes))) => streaming.feed(&bytes, now, &mut parts),
            Ok(Ok(None)) => streaming.end_of_bytes(now, &mut parts),
            Ok(Err(_)) => Step::Failed(Refusal::new(RefusalKind::Unavailable)),
            Err(_) => Step::Failed(Refusal::new(RefusalKind::Timeout)),
        };
        if is_ending {
            return self.read_ending(streaming, step);
        }
        if streaming.first_at.is_none() && streaming.relay.has_text() {
            streaming.first_at = Some(now);
            streaming.attempt.note_first(self.request.prompt_tokens, now);
        }
        self.ready.extend(parts.into_iter().map(Event::Part));
        match step {
            Step::More => self.phase = Phase::Streaming(streaming),
            Step::Whole => self.end_stream(*streaming, false),
            Step::Cut => self.end_stream(*streaming, true),
            Step::Failed(refusal) => {
                let Streaming { attempt, .. } = *streaming;
                self.is_told |= !self.ready.is_empty();
                self.failed(attempt, refusal);
            }
        }
    }

    /// Takes what comes after nobody wanted more: it is counted, and the client gets none of it.
    fn read_ending(&mut self, streaming: Box<Streaming>, step: Step) {
        let is_whole = step == Step::Whole;
        match (step, &streaming.ending) {
            (Step::More, Some(_)) => self.phase = Phase::Streaming(streaming),
            (Step::Whole | Step::Cut | Step::Failed(_), Some(finish)) => {
                let finish = finish.clone();
                let Streaming { relay, exchange, .. } = *streaming;
                if is_whole {
                    exchange.leave();
                }
                let tally = relay.finish(Some(finish), &mut Vec::new());
                self.end(tally);
            }
            (_, None) => {}
        }
    }

    /// The answer is here, or is cut at its bound.
    fn end_stream(&mut self, streaming: Streaming, is_cut: bool) {
        let Streaming { mut attempt, exchange, mut relay, first_at, .. } = streaming;
        attempt.succeed();
        let span = first_at.map(|first_at| first_at.elapsed());
        if is_cut {
            warn_of_cut(&self.request.request_id, &attempt.target);
            relay.cut();
            drop(exchange);
        } else {
            exchange.leave();
        }
        let mut parts = Vec::new();
        let tally = relay.finish(None, &mut parts);
        if let Some(span) = span {
            attempt.note_end(tally.output_tokens.get().saturating_sub(1), span);
        }
        self.ready.extend(parts.into_iter().map(Event::Part));
        self.end(tally);
    }

    /// The client left, or time is up: what was counted so far counts.
    fn end_early(&mut self, finish: Finish) {
        let mut parts = Vec::new();
        let tally = match std::mem::replace(&mut self.phase, Phase::Ended) {
            Phase::Streaming(streaming) => streaming.relay.finish(Some(finish), &mut parts),
            Phase::Choosing | Phase::Waiting(_) | Phase::Ended => self.empty_tally(finish),
        };
        self.ready.clear();
        self.end(tally);
    }

    fn end_refused(&mut self, refusal: Refusal) {
        let mut tally = self.empty_tally(Finish::Failed);
        tally.refusal = Some(Box::new(refusal));
        self.end(tally);
    }

    fn end(&mut self, mut tally: Tally) {
        tally.backend = self.backend.clone();
        self.ready.push_back(Event::Finished(Box::new(tally)));
        self.phase = Phase::Ended;
    }

    fn reading(&self, target: &RemoteTarget) -> Reading {
        let request = &self.request;
        let expectation = Expectation {
            choices: request.work.choices,
            output_tokens_max: request.output_tokens_max,
            prompt_tokens: request.prompt_tokens,
            prompt_tokens_max: request.prompt_tokens_max,
            energy: target.energy,
            model: target.model.as_str().to_owned(),
            is_node: target.is_node(),
            is_renamed: target.name_there != target.model.as_str(),
            tier: request.tier(),
        };
        Reading::new(expectation, target.counter.clone())
    }

    /// Nothing came. A prompt that reached a target was read there all the same.
    fn empty_tally(&self, finish: Finish) -> Tally {
        let prompt = if self.is_sent.load(Ordering::Relaxed) { self.request.prompt_tokens } else { 0 };
        let mut tally = Tally::nothing(finish);
        tally.prompt_tokens = Tokens::new(prompt);
        tally
    }
}
