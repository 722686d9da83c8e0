//! One connection: whose turn it is to speak, and the time a peer has for the head of each of its requests.
//! Never reads a head itself: the server does, and times the first one; of the others it knows no time.
//! Made by `http::server` for each connection; told by `name_request` when a request begins and when it ends.

use std::{
    cell::Cell,
    io,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll},
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    time::{Sleep, sleep},
};

use super::HEAD_WAIT_MAX;

/// What is said to a peer that does not end the head it has begun.
const TOO_LATE: &[u8] = b"HTTP/1.1 408 Request Timeout\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";

/// Whose turn it is on a connection: the server's while it answers requests, else the peer's.
#[derive(Clone, Debug, Default)]
pub(super) struct Turn(Rc<Counts>);

#[derive(Debug, Default)]
struct Counts {
    begun: Cell<u64>,
    running: Cell<u64>,
    /// A request or an answer has said that it is the connection's last.
    is_over: Cell<bool>,
}

/// A request is being answered. Dropped when its answer has been handed over, or nobody waits for it any more.
#[derive(Debug)]
pub(super) struct Answering(Turn);

impl Turn {
    /// A request has come whole, as far as its head goes.
    pub(super) fn begin(&self) -> Answering {
        self.0.begun.set(self.0.begun.get().wrapping_add(1));
        self.0.running.set(self.0.running.get().saturating_add(1));
        Answering(self.clone())
    }

    /// Nothing that follows on this connection is a request any more.
    pub(super) fn end(&self) {
        self.0.is_over.set(true);
    }

    /// Whether the last request of the connection has come.
    pub(super) fn is_over(&self) -> bool {
        self.0.is_over.get()
    }
}

impl Drop for Answering {
    fn drop(&mut self) {
        let Self(Turn(counts)) = self;
        counts.running.set(counts.running.get().saturating_sub(1));
    }
}

/// A socket that closes when bytes came and no request began within the time of a head.
#[derive(Debug)]
pub(super) struct TimedStream {
    socket: TcpStream,
    turn: Turn,
    /// Requests that had begun when this was looked at last.
    begun: u64,
    /// Runs from the first bytes after the last request.
    timer: Option<Pin<Box<Sleep>>>,
    /// An answer is stuck half way: nothing may be said in between.
    is_stuck: bool,
}

impl TimedStream {
    pub(super) fn new(socket: TcpStream) -> Self {
        Self { socket, turn: Turn::default(), begun: 0, timer: None, is_stuck: false }
    }

    pub(super) fn socket(&self) -> &TcpStream {
        &self.socket
    }

    pub(super) fn turn(&self) -> Turn {
        self.turn.clone()
    }

    /// Whether the peer is too late, which this asks again by itself when it may be.
    fn is_late(&mut self, has_come: bool, context: &mut Context<'_>) -> bool {
        let Counts { begun, running, is_over: _ } = &*self.turn.0;
        if self.begun != begun.get() || running.get() > 0 {
            // What came before belonged to a request that has begun since.
            (self.begun, self.timer) = (begun.get(), None);
        }
        if has_come && running.get() == 0 && self.timer.is_none() {
            self.timer = Some(Box::pin(sleep(HEAD_WAIT_MAX)));
        }
        self.timer.as_mut().is_some_and(|timer| timer.as_mut().poll(context).is_ready())
    }

    fn noting<T>(&mut self, written: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        self.is_stuck = written.is_pending();
        written
    }
}

impl AsyncRead for TimedStream {
    /// A peer that is too late is at its end: the server closes then.
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buffer.filled().len();
        let read = Pin::new(&mut this.socket).poll_read(context, buffer);
        let has_come = buffer.filled().len() > before;
        if !this.is_late(has_come, context) {
            return read;
        }
        if !this.is_stuck {
            // It may have gone; then there is nobody to tell.
            this.socket.try_write(TOO_LATE).ok();
        }
        buffer.set_filled(before);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for TimedStream {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.socket).poll_write(context, bytes);
        this.noting(written)
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().socket).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().socket).poll_shutdown(context)
    }
}
