//! A streamed answer on its way to the client, kept for repeats as it is sent.
//! Never holds a byte back but the end of the stream, which waits for the outcome to be kept.
//! Made by `once` for answers that are streams; dropping it before its end is the client's leaving.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

use actix_web::{
    body::{BodySize, BoxBody, MessageBody},
    http::StatusCode,
    web::Bytes,
};
use billing::ledger::Outcome;

use super::{OUTCOME_BYTES_MAX, answer};
use crate::idempotency::Attempt;

/// The body of a streamed answer.
pub(super) struct Recorder {
    body: BoxBody,
    state: State,
}

enum State {
    Sending(Sending),
    /// The stream has ended; its end leaves when this is done.
    Keeping(Pin<Box<dyn Future<Output = ()>>>),
    Done,
}

/// What was sent so far, and what it will be kept under.
struct Sending {
    attempt: Attempt,
    status: StatusCode,
    headers: String,
    /// `None`: too large to keep.
    sent: Option<Vec<u8>>,
}

impl Recorder {
    /// Around a body of which nothing has been sent.
    pub(super) fn new(body: BoxBody, attempt: Attempt, status: StatusCode, headers: String) -> Self {
        Self { body, state: State::Sending(Sending { attempt, status, headers, sent: Some(Vec::new()) }) }
    }
}

impl Sending {
    fn note(&mut self, part: &[u8]) {
        let has_room = self.sent.as_ref().is_some_and(|sent| sent.len() + part.len() <= OUTCOME_BYTES_MAX);
        match &mut self.sent {
            Some(sent) if has_room => sent.extend_from_slice(part),
            Some(_) | None => self.sent = None,
        }
    }

    async fn keep(self) {
        let Self { attempt, status, headers, sent } = self;
        let outcome = sent.map_or(Outcome::TooLarge, |sent| answer::outcome(status, headers, &sent));
        attempt.end(outcome).await;
    }
}

impl MessageBody for Recorder {
    type Error = Box<dyn std::error::Error>;

    fn size(&self) -> BodySize {
        self.body.size()
    }

    fn poll_next(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, Self::Error>>> {
        loop {
            let Self { body, state } = &mut *self;
            match std::mem::replace(state, State::Done) {
                State::Sending(mut sending) => match Pin::new(body).poll_next(context) {
                    Poll::Ready(Some(Ok(part))) => {
                        sending.note(&part);
                        *state = State::Sending(sending);
                        return Poll::Ready(Some(Ok(part)));
                    }
                    // A broken answer is not kept: the attempt, dropped here, tells that it was cut.
                    Poll::Ready(Some(Err(error))) => return Poll::Ready(Some(Err(error))),
                    Poll::Ready(None) => *state = State::Keeping(Box::pin(sending.keep())),
                    Poll::Pending => {
                        *state = State::Sending(sending);
                        return Poll::Pending;
                    }
                },
                State::Keeping(mut kept) => {
                    if kept.as_mut().poll(context).is_pending() {
                        *state = State::Keeping(kept);
                        return Poll::Pending;
                    }
                }
                State::Done => return Poll::Ready(None),
            }
        }
    }
}
