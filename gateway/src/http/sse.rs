//! The answer as server-sent events, in any dialect.
//! Never measures and never keeps the request alive: dropping this body is the client's leaving.
//! Made by the routes for requests with `stream: true`; a dialect writes the events.

use std::{
    collections::VecDeque,
    pin::Pin,
    task::{Context, Poll},
};

use actix_web::{
    HttpResponse,
    http::header::{CACHE_CONTROL, CONTENT_TYPE},
    web::Bytes,
};
use domain::UsageRecord;
use futures_util::Stream;
use serde::Serialize;

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
    fn complete(&mut self, stops: &[Stop], held_back: &[Bytes], record: &UsageRecord) -> Vec<u8>;
    /// What a client is told of an answer that broke off.
    fn failed(&mut self, error: &ApiError) -> Vec<u8>;
}

/// A stream of events: the pieces of one answer as the client reads them.
struct EventStream<E> {
    pieces: Pieces,
    events: E,
    waiting: VecDeque<Bytes>,
    is_ended: bool,
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
        let mut stream = Self { pieces: running.pieces, events, waiting, is_ended: false };
        if let Some(first) = running.first {
            stream.push(first);
        }
        stream
    }

    fn push(&mut self, piece: Piece) {
        let bytes = match piece {
            Piece::Delta { choice, delta } => Bytes::from(self.events.delta(choice, &delta)),
            Piece::Event(bytes) => bytes,
            Piece::End(ending) => {
                self.is_ended = true;
                Bytes::from(match ending {
                    Ending::Complete { stops, held_back, settled } => {
                        self.events.complete(&stops, &held_back, settled.record())
                    }
                    Ending::Failed(failure) => self.events.failed(&ApiError::from_failure(failure)),
                })
            }
        };
        if !bytes.is_empty() {
            self.waiting.push_back(bytes);
        }
    }
}

impl<E: Events> Stream for EventStream<E> {
    type Item = Result<Bytes, actix_web::Error>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            if let Some(bytes) = self.waiting.pop_front() {
                return Poll::Ready(Some(Ok(bytes)));
            }
            if self.is_ended {
                return Poll::Ready(None);
            }
            match self.pieces.poll_next(context) {
                Poll::Ready(Some(piece)) => self.push(piece),
                // The other end gave up waiting for this client to read.
                Poll::Ready(None) => self.push(Piece::End(Ending::Failed(Failure::Unread))),
                Poll::Pending => return Poll::Pending,
            }
        }
    }
}
