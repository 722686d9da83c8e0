//! The answer as server-sent events.
//! Never measures and never keeps the request alive: dropping this body is the client's leaving.
//! Made by `chat::create` for requests with `stream: true`.

use std::{
    collections::VecDeque,
    pin::Pin,
    task::{Context, Poll},
};

use actix_web::web::Bytes;
use futures_util::Stream;
use serde::Serialize;

use super::response::Envelope;
use crate::{
    http::ApiError,
    stream::{Ending, Failure, Piece, Pieces},
};

/// Room for a usual event, so that writing one allocates once. Unit: bytes.
const EVENT_BYTES: usize = 320;

/// A stream of events: the pieces of one answer as the client reads them.
pub(super) struct EventStream {
    pieces: Pieces,
    envelope: Envelope,
    include_usage: bool,
    waiting: VecDeque<Bytes>,
    is_ended: bool,
}

impl EventStream {
    /// A stream that begins with the role and a first piece, which was waited for so that an early
    /// failure could still have a status of its own.
    pub(super) fn new(pieces: Pieces, first: Piece, envelope: Envelope, include_usage: bool) -> Self {
        let waiting = VecDeque::from([event(&envelope.first())]);
        let mut stream = Self { pieces, envelope, include_usage, waiting, is_ended: false };
        stream.push(first);
        stream
    }

    fn push(&mut self, piece: Piece) {
        match piece {
            Piece::Text(text) => self.waiting.push_back(event(&self.envelope.text(&text))),
            Piece::End(Ending::Complete { stop, settled }) => {
                let record = settled.record();
                let mut end = event(&self.envelope.last(stop, record)).to_vec();
                if self.include_usage {
                    end.extend_from_slice(&event(&self.envelope.usage(record)));
                }
                end.extend_from_slice(b"data: [DONE]\n\n");
                self.waiting.push_back(Bytes::from(end));
                self.is_ended = true;
            }
            Piece::End(Ending::Failed(failure)) => {
                self.waiting.push_back(event(&ApiError::from_failure(failure).to_openai()));
                self.is_ended = true;
            }
        }
    }
}

fn event(data: &impl Serialize) -> Bytes {
    let mut line = Vec::with_capacity(EVENT_BYTES);
    line.extend_from_slice(b"data: ");
    // Our own types always become JSON; a Vec never refuses a write.
    serde_json::to_writer(&mut line, data).ok();
    line.extend_from_slice(b"\n\n");
    Bytes::from(line)
}

impl Stream for EventStream {
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
