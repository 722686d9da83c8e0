//! Keeps hold of a request's body until its answer is written: one that was not read to its end then ends the
//! connection, where the server would otherwise wait for the rest of a chunked body without any bound of time.
//! Never reads a byte of it. Put around every request by `http::name_request`.

use std::{
    cell::RefCell,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll},
};

use actix_web::{
    HttpMessage as _,
    body::{BodySize, BoxBody, MessageBody},
    dev::{Payload, ServiceRequest},
    error::PayloadError,
    web::Bytes,
};
use futures_util::Stream;

use super::connection::{Answering, Turn};

/// A request's body, when it has one, and the turn on its connection.
pub(super) struct Held {
    _answering: Option<Answering>,
    _payload: Option<Rc<RefCell<Payload>>>,
}

impl Held {
    /// Lends the body to whoever reads it, and keeps it.
    pub(super) fn of(request: &mut ServiceRequest) -> Self {
        let _answering = request.request().conn_data::<Turn>().map(Turn::begin);
        let payload = request.take_payload();
        if matches!(payload, Payload::None) {
            return Self { _answering, _payload: None };
        }
        let payload = Rc::new(RefCell::new(payload));
        request.set_payload(Payload::Stream { payload: Box::pin(Lent(Rc::clone(&payload))) });
        Self { _answering, _payload: Some(payload) }
    }

    /// The answer's body, which keeps the request's until its own end.
    pub(super) fn until_end_of(self, body: BoxBody) -> HoldingBody {
        HoldingBody { body, _held: self }
    }
}

struct Lent(Rc<RefCell<Payload>>);

impl Stream for Lent {
    type Item = Result<Bytes, PayloadError>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        Pin::new(&mut *self.0.borrow_mut()).poll_next(context)
    }
}

/// An answer's body that keeps the request's.
pub(super) struct HoldingBody {
    body: BoxBody,
    _held: Held,
}

impl MessageBody for HoldingBody {
    type Error = <BoxBody as MessageBody>::Error;

    fn size(&self) -> BodySize {
        self.body.size()
    }

    fn poll_next(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, Self::Error>>> {
        Pin::new(&mut self.body).poll_next(context)
    }
}
