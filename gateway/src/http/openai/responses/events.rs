//! The events of a streamed response.
//! Never decides what comes when; it only writes what it is given.
//! Made by `responses::create` for requests with `stream: true`.

use bytes::Bytes;
use domain::UsageRecord;
use futures_util::future::LocalBoxFuture;

use super::{
    keep::Keeper,
    object::{Envelope, status},
    output::Output,
};
use crate::{
    http::{
        ApiError,
        sse::{Closing, Events},
    },
    stream::{Delta, Stop},
};

/// Events of one response.
pub(super) struct ResponseEvents {
    envelope: Envelope,
    output: Output,
    keeper: Option<Keeper>,
}

impl ResponseEvents {
    pub(super) fn new(envelope: Envelope, keeper: Keeper) -> Self {
        Self { output: Output::new(&envelope.request), envelope, keeper: Some(keeper) }
    }
}

impl Events for ResponseEvents {
    fn begin(&mut self) -> Vec<u8> {
        self.output.tell("response.created", self.envelope.running());
        self.output.tell("response.in_progress", self.envelope.running());
        self.output.take_events()
    }

    fn delta(&mut self, choice: u32, delta: &Delta) -> Vec<u8> {
        if choice == 0 {
            self.output.add(delta);
        }
        self.output.take_events()
    }

    fn complete(&mut self, stops: &[Stop], _: &[Bytes], record: &UsageRecord) -> Closing {
        let stop = stops.first().unwrap_or(&Stop::Done);
        let items = self.output.finish(status(stop) == "completed");
        let response = self.envelope.ended(stop, items, record);
        let kind = match status(stop) {
            "completed" => "response.completed",
            _ => "response.incomplete",
        };
        let Some(keeper) = self.keeper.take() else { return Closing::Now(Vec::new()) };
        // The last event is numbered like those before it, whenever it leaves.
        let mut output = std::mem::replace(&mut self.output, Output::new(""));
        let closing: LocalBoxFuture<'static, Vec<u8>> = Box::pin(async move {
            let response = keeper.keep(response).await;
            output.tell(kind, response);
            output.take_events()
        });
        Closing::Later(closing)
    }

    fn failed(&mut self, error: &ApiError) -> Vec<u8> {
        self.output.tell("response.failed", self.envelope.failed(error));
        self.output.take_events()
    }
}
