//! The answer as server-sent events, in any dialect.
//! Never measures and never keeps the request alive: dropping this body is the client's leaving.
//! Made by the routes for requests with `stream: true`; a dialect writes the events.

use std::{
    collections::VecDeque,
    future::Future as _,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use actix_web::{
    HttpResponse,
    http::header::{CACHE_CONTROL, CONTENT_TYPE},
    web::Bytes,
};
use domain::UsageRecord;
use futures_util::{Stream, future::LocalBoxFuture};
use serde::Serialize;
use tokio::time::{Instant, Sleep};

use super::{ApiError, run::Running};
use crate::stream::{Delta, Ending, Failure, Piece, Pieces, Stop};

/// Room for a usual event, so that writing one allocates once. Unit: bytes.
const EVENT_BYTES: usize = 320;

/// How a dialect writes an answer's parts, as bytes ready to send.
pub(in crate::http) trait Events: Unpin + 'static {
    /// What comes before the first addition.
    fn begin(&mut self) -> Vec<u8>;
    /// An addition to a choice.
    fn delta(&mut self, choice: u32, delta: &Delta) -> Vec<u8>;
    /// All that follows the last addition of a whole answer; `held_back` is what is left of a forwarded one.
    fn complete(&mut self, stops: &[Stop], held_back: &[Bytes], record: &UsageRecord) -> Closing;
    /// What a client is told of an answer that broke off.
    fn failed(&mut self, error: &ApiError) -> Vec<u8>;
    /// What is sent when there was nothing to send for a while, so that nobody on the way cuts the connection.
    fn keep_alive(&self) -> Vec<u8> {
        b": keep-alive\n\n".to_vec()
    }
}

/// The last events of a whole answer.
pub(in crate::http) enum Closing {
    /// At once.
    Now(Vec<u8>),
    /// After something that must be done before.
    Later(LocalBoxFuture<'static, Vec<u8>>),
}

/// A stream of events: the pieces of one answer as the client reads them.
struct EventStream<E> {
    pieces: Pieces,
    events: E,
    waiting: VecDeque<Bytes>,
    is_ended: bool,
    /// The last events, while they are waited for.
    closing: Option<LocalBoxFuture<'static, Vec<u8>>>,
    /// Ends when it has been silent for too long.
    silence: Pin<Box<Sleep>>,
    silence_max: Duration,
}

/// The streaming answer of a running request.
pub(in crate::http) fn answer(running: Running, events: impl Events) -> HttpResponse {
    HttpResponse::Ok()
        .insert_header((CONTENT_TYPE, "text/event-stream; charset=utf-8"))
        .insert_header((CACHE_CONTROL, "no-cache"))
        .insert_header(("x-accel-buffering", "no"))
        .streaming(EventStream::new(running, events))
}

/// Appends one event: its name, where the dialect names events, and its data.
pub(in crate::http) fn write_event(bytes: &mut Vec<u8>, name: Option<&str>, data: &impl Serialize) {
    bytes.reserve(EVENT_BYTES);
    if let Some(name) = name {
        bytes.extend_from_slice(b"event: ");
        bytes.extend_from_slice(name.as_bytes());
        bytes.push(b'\n');
    }
    bytes.extend_from_slice(b"data: ");
    // Our own types always become JSON; a Vec never refuses a write.
    serde_json::to_writer(&mut *bytes, data).ok();
    bytes.extend_from_slice(b"\n\n");
}

impl<E: Events> EventStream<E> {
    fn new(running: Running, mut events: E) -> Self {
        let begin = Bytes::from(events.begin());
        let waiting = if begin.is_empty() { VecDeque::new() } else { VecDeque::from([begin]) };
        let silence_max = running.silence_max;
        let silence = Box::pin(tokio::time::sleep(silence_max));
        let mut stream = Self {
            pieces: running.pieces,
            events,
            waiting,
            is_ended: false,
            closing: None,
            silence,
            silence_max,
        };
        if running.first.is_none() && stream.waiting.is_empty() {
            // It was silent already; some proxies pass the headers on only with the first byte behind them.
            stream.waiting.push_back(Bytes::from(stream.events.keep_alive()));
        }
        if let Some(first) = running.first {
            stream.push(first);
        }
        stream
    }

    fn push(&mut self, piece: Piece) {
        let bytes = match piece {
            Piece::Delta { choice, delta } => Bytes::from(self.events.delta(choice, &delta)),
            Piece::Event(bytes) => bytes,
            Piece::End(Ending::Complete { stops, held_back, settled }) => {
                match self.events.complete(&stops, &held_back, settled.record()) {
                    Closing::Now(bytes) => self.end(bytes),
                    Closing::Later(closing) => {
                        self.closing = Some(closing);
                        return;
                    }
                }
            }
            Piece::End(Ending::Failed(failure)) => {
                let bytes = self.events.failed(&ApiError::from_failure(failure));
                self.end(bytes)
            }
        };
        if !bytes.is_empty() {
            self.waiting.push_back(bytes);
        }
    }

    fn end(&mut self, bytes: Vec<u8>) -> Bytes {
        self.is_ended = true;
        Bytes::from(bytes)
    }

    /// Polls what is to come: the last events once they are waited for, else the next piece.
    fn poll_more(&mut self, context: &mut Context<'_>) -> Poll<()> {
        if let Some(closing) = &mut self.closing {
            let bytes = ready!(closing.as_mut().poll(context));
            self.closing = None;
            let bytes = self.end(bytes);
            self.waiting.push_back(bytes);
            return Poll::Ready(());
        }
        // Without an end, the other side gave up waiting for this client to read.
        let piece = ready!(self.pieces.poll_next(context));
        self.push(piece.unwrap_or(Piece::End(Ending::Failed(Failure::Unread))));
        Poll::Ready(())
    }
}

impl<E: Events> Stream for EventStream<E> {
    type Item = Result<Bytes, actix_web::Error>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            if let Some(bytes) = self.waiting.pop_front() {
                let next = Instant::now() + self.silence_max;
                self.silence.as_mut().reset(next);
                return Poll::Ready(Some(Ok(bytes)));
            }
            if self.is_ended {
                return Poll::Ready(None);
            }
            match self.poll_more(context) {
                Poll::Ready(()) => {}
                Poll::Pending if self.silence.as_mut().poll(context).is_ready() => {
                    let bytes = Bytes::from(self.events.keep_alive());
                    self.waiting.push_back(bytes);
                }
                Poll::Pending => return Poll::Pending,
            }
        }
    }
}
