//! A running answer of a node on its way to the gateway: as a stream, or whole.
//! Never meters: the gateway does, by the engine's counts and joules; dropping an answer ends its generation.
//! Made by `create` for each request.

use actix_web::{
    Error, HttpResponse,
    http::header::{CACHE_CONTROL, CONTENT_TYPE},
    web::Bytes,
};
use futures_util::stream;

use super::wire::Envelope;
use crate::{
    dispatch::{Answer, Content, Delta, Event, Finish, Tally},
    http::ApiError,
    node::RunningRequest,
    stream::Failure,
};

/// A request whose generation runs.
pub(super) struct Running {
    pub(super) answer: Answer,
    pub(super) running: RunningRequest,
    pub(super) envelope: Envelope,
}

/// What the engine says next.
enum Next {
    /// Tokens of a choice, with the text that became certain with them.
    Tokens { choice: u32, text: String, tokens: u64 },
    /// It ended.
    End(Box<Tally>),
}

/// A stream that is being read.
struct Streaming {
    running: Running,
    is_ended: bool,
}

impl Running {
    /// The answer as events: one for each token, and at its end what was spent.
    pub(super) fn stream(self) -> HttpResponse {
        let begin = Streaming { running: self, is_ended: false };
        let events = stream::unfold(begin, |mut streaming| async move {
            if streaming.is_ended {
                return None;
            }
            let bytes = match streaming.running.next().await {
                Next::Tokens { choice, text, tokens } => {
                    streaming.running.envelope.tokens(choice, &text, tokens)
                }
                Next::End(tally) => {
                    streaming.is_ended = true;
                    let failure = streaming.running.failure(&tally);
                    streaming.running.envelope.end(&tally, failure.map(ApiError::from_failure).as_ref())
                }
            };
            Some((Ok::<_, Error>(Bytes::from(bytes)), streaming))
        });
        HttpResponse::Ok()
            .insert_header((CONTENT_TYPE, "text/event-stream; charset=utf-8"))
            .insert_header((CACHE_CONTROL, "no-cache"))
            .streaming(events)
    }

    /// The answer in one piece.
    ///
    /// Errors: why it broke off.
    pub(super) async fn whole(mut self) -> Result<HttpResponse, ApiError> {
        let mut texts = vec![String::new(); self.envelope.choices()];
        let mut add = |choice: u32, text: &str| {
            let choice = usize::try_from(choice).ok().and_then(|choice| texts.get_mut(choice));
            if let Some(choice) = choice {
                choice.push_str(text);
            }
        };
        let tally = loop {
            match self.next().await {
                Next::Tokens { choice, text, .. } => add(choice, &text),
                Next::End(tally) => break tally,
            }
        };
        match self.failure(&tally) {
            Some(failure) => Err(ApiError::from_failure(failure)),
            None => {
                tally.tails.iter().for_each(|(choice, tail)| add(*choice, tail));
                Ok(self.envelope.whole(&texts, &tally))
            }
        }
    }

    /// Waits for the engine; ends the generation when nobody wants it any more.
    async fn next(&mut self) -> Next {
        let mut is_wanted = true;
        loop {
            let event = tokio::select! {
                biased;
                () = self.running.unwanted(), if is_wanted => {
                    is_wanted = false;
                    self.answer.cancel();
                    continue;
                }
                event = self.answer.next() => event,
            };
            match event {
                Some(Event::Started) => {}
                Some(Event::Part(part)) => {
                    let (choice, text) = match part.content {
                        Content::Delta { choice, delta: Delta::Text(text) } => (choice, text),
                        // Engines say text and nothing else; a token without any still counts.
                        Content::Delta { choice, .. } => (choice, String::new()),
                        Content::Nothing | Content::Event(_) => (0, String::new()),
                    };
                    return Next::Tokens { choice, text, tokens: part.tokens };
                }
                Some(Event::Finished(tally)) => return Next::End(tally),
                None => return Next::End(Box::new(Tally::nothing(Finish::Failed))),
            }
        }
    }

    /// Why the answer is not whole. `None`: it is, or its gateway wanted no more.
    fn failure(&self, tally: &Tally) -> Option<Failure> {
        match tally.finish {
            Finish::Stopped(_) => None,
            Finish::Cancelled if self.running.is_cancelled() => None,
            Finish::Cancelled => Some(Failure::Draining),
            Finish::Deadline => Some(Failure::Deadline),
            Finish::Failed => Some(Failure::Engine),
        }
    }
}
