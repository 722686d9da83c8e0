//! Sends one HTTP request to one server and gives its answer as it arrives, over connections that are kept.
//! Never retries, never follows a redirect and never reads a status: its callers do.
//! One for each backend; called by the exchanges and the health probe.
//!
//! A connection belongs to the thread that opened it: an answer is read by the thread that reads the client's
//! request, and nothing is handed from thread to thread on the way (docs/adr/0005-upstream-client.md).

use std::{
    collections::HashMap,
    io,
    sync::{Arc, Mutex, PoisonError},
    thread::ThreadId,
    time::{Duration, Instant},
};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::{Request, Response, body::Incoming, client::conn::http1};
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    sync::{OwnedSemaphorePermit, Semaphore},
    task::AbortHandle,
    time::timeout,
};
use tokio_rustls::{TlsConnector, rustls::pki_types::ServerName};

use crate::config::BackendUrl;

/// A connection that rested longer is not used again: servers close theirs after some seconds to minutes, and a
/// request sent into a closing connection is lost.
const REST_MAX: Duration = Duration::from_secs(30);
/// Largest head of an answer. Unit: bytes.
const HEAD_BYTES_MAX: usize = 64 * 1_024;
/// How long the end of a body may take once all that matters was read; else the connection is closed.
const TRAILING_MAX: Duration = Duration::from_millis(500);

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum ClientError {
    /// No connection came about in time, or all are in use.
    #[error("no connection within {0:?}")]
    ConnectTimeout(Duration),
    /// The connection was refused, or TLS was.
    #[error("connection: {0}")]
    Connect(#[source] io::Error),
    /// The connection broke, or what came is not HTTP.
    #[error("exchange: {0}")]
    Exchange(#[source] hyper::Error),
    /// The body is longer than it may be.
    #[error("the answer is longer than {0} bytes")]
    TooLong(usize),
}

/// Talks to one server.
#[derive(Debug)]
pub(super) struct Client {
    inner: Arc<Inner>,
}

struct Inner {
    url: BackendUrl,
    tls: Option<(TlsConnector, ServerName<'static>)>,
    connect_time_max: Duration,
    places: Arc<Semaphore>,
    resting: Mutex<HashMap<ThreadId, Vec<Resting>>>,
}

impl std::fmt::Debug for Inner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client").field("url", &self.url).finish_non_exhaustive()
    }
}

type Sender = http1::SendRequest<Full<Bytes>>;

/// An open connection and its place among those allowed. Dropping it closes it at once.
#[derive(Debug)]
struct Connection {
    sender: Sender,
    task: AbortHandle,
    _place: OwnedSemaphorePermit,
}

impl Drop for Connection {
    fn drop(&mut self) {
        // Without it the task would notice only with the next byte that the server sends.
        self.task.abort();
    }
}

#[derive(Debug)]
struct Resting {
    connection: Connection,
    since: Instant,
}

/// An answer whose body is being read. Dropping it before the end closes the connection at once.
#[derive(Debug)]
pub(super) struct Exchange {
    client: Arc<Inner>,
    connection: Option<Connection>,
    response: Response<Incoming>,
}

impl Client {
    /// A client of one server. `tls` is needed for `https`.
    ///
    /// Errors: the host is no name that a certificate could vouch for.
    pub(super) fn new(
        url: BackendUrl,
        tls: Option<TlsConnector>,
        connections_max: usize,
        connect_time_max: Duration,
    ) -> Result<Self, io::Error> {
        let tls = match tls.filter(|_| url.is_https) {
            Some(tls) => {
                let name = ServerName::try_from(url.host.clone()).map_err(io::Error::other)?;
                Some((tls, name))
            }
            None => None,
        };
        let places = Arc::new(Semaphore::new(connections_max));
        let resting = Mutex::default();
        Ok(Self { inner: Arc::new(Inner { url, tls, connect_time_max, places, resting }) })
    }

    /// Where its server is.
    pub(super) fn url(&self) -> &BackendUrl {
        &self.inner.url
    }

    /// Sends a request and waits for the head of its answer.
    ///
    /// A connection that turns out to be closed before anything was written is replaced by another.
    ///
    /// `at_sending` is called when there is a connection and the request is about to leave.
    ///
    /// Errors: no connection, or it breaks.
    pub(super) async fn send(
        &self,
        request: Request<Full<Bytes>>,
        at_sending: impl Fn(),
    ) -> Result<Exchange, ClientError> {
        let mut request = request;
        loop {
            let (mut connection, is_used) = match self.inner.take_resting() {
                Some(connection) => (connection, true),
                None => (self.inner.connect().await?, false),
            };
            if connection.sender.ready().await.is_err() && is_used {
                continue;
            }
            at_sending();
            match connection.sender.try_send_request(request).await {
                Ok(response) => {
                    let (client, connection) = (Arc::clone(&self.inner), Some(connection));
                    return Ok(Exchange { client, connection, response });
                }
                Err(mut error) => match error.take_message() {
                    Some(unsent) if is_used => request = unsent,
                    _ => return Err(ClientError::Exchange(error.into_error())),
                },
            }
        }
    }
}

impl Inner {
    /// A connection of this thread that still stands.
    fn take_resting(&self) -> Option<Connection> {
        let mut resting = self.resting.lock().unwrap_or_else(PoisonError::into_inner);
        let own = resting.get_mut(&std::thread::current().id())?;
        // The one that rested shortest is the likeliest to stand.
        while let Some(Resting { connection, since }) = own.pop() {
            if !connection.sender.is_closed() && since.elapsed() < REST_MAX {
                return Some(connection);
            }
        }
        None
    }

    fn rest(&self, connection: Connection) {
        if connection.sender.is_closed() {
            return;
        }
        let mut resting = self.resting.lock().unwrap_or_else(PoisonError::into_inner);
        let own = resting.entry(std::thread::current().id()).or_default();
        own.retain(|one| !one.connection.sender.is_closed() && one.since.elapsed() < REST_MAX);
        own.push(Resting { connection, since: Instant::now() });
    }

    /// A place among the connections allowed; where all are taken, a resting one of another thread gives up its.
    async fn place(self: &Arc<Self>) -> Option<OwnedSemaphorePermit> {
        if let Ok(place) = Arc::clone(&self.places).try_acquire_owned() {
            return Some(place);
        }
        let given_up = {
            let mut resting = self.resting.lock().unwrap_or_else(PoisonError::into_inner);
            resting.values_mut().find_map(Vec::pop)
        };
        drop(given_up);
        Arc::clone(&self.places).acquire_owned().await.ok()
    }

    async fn connect(self: &Arc<Self>) -> Result<Connection, ClientError> {
        let limit = self.connect_time_max;
        match timeout(limit, self.connect_in_time()).await {
            Ok(connection) => connection,
            Err(_) => Err(ClientError::ConnectTimeout(limit)),
        }
    }

    async fn connect_in_time(self: &Arc<Self>) -> Result<Connection, ClientError> {
        let place = self.place().await.ok_or_else(|| ClientError::Connect(io::Error::other("closed")))?;
        let address = (self.url.host.as_str(), self.url.port);
        let stream = TcpStream::connect(address).await.map_err(ClientError::Connect)?;
        // Else the end of a request in two segments waits for the acknowledgement of the first: 40 ms.
        stream.set_nodelay(true).map_err(ClientError::Connect)?;
        let (sender, task) = match &self.tls {
            None => shake_hands(stream).await?,
            Some((tls, name)) => {
                let stream = tls.connect(name.clone(), stream).await.map_err(ClientError::Connect)?;
                shake_hands(stream).await?
            }
        };
        Ok(Connection { sender, task, _place: place })
    }
}

async fn shake_hands<S>(stream: S) -> Result<(Sender, AbortHandle), ClientError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let mut builder = http1::Builder::new();
    builder.max_buf_size(HEAD_BYTES_MAX * 8);
    let (sender, connection) =
        builder.handshake(TokioIo::new(stream)).await.map_err(ClientError::Exchange)?;
    // Whoever waits for its answer is told of its failure.
    let task = tokio::spawn(async move { connection.await.ok() });
    Ok((sender, task.abort_handle()))
}

impl Exchange {
    /// The answer's status.
    pub(super) fn status(&self) -> u16 {
        self.response.status().as_u16()
    }

    /// One of the answer's headers, where it is text.
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.response.headers().get(name)?.to_str().ok()
    }

    /// The next bytes of the body; `None` at its end.
    ///
    /// Errors: the connection breaks before the body's end.
    pub(super) async fn next(&mut self) -> Result<Option<Bytes>, ClientError> {
        while let Some(frame) = self.response.body_mut().frame().await {
            // Trailers say nothing here.
            if let Ok(bytes) = frame.map_err(ClientError::Exchange)?.into_data() {
                return Ok(Some(bytes));
            }
        }
        if let Some(connection) = self.connection.take() {
            self.client.rest(connection);
        }
        Ok(None)
    }

    /// The whole body.
    ///
    /// Errors: as [`Self::next`], or it is longer than `bytes_max`.
    pub(super) async fn whole(&mut self, bytes_max: usize) -> Result<Bytes, ClientError> {
        let mut parts: Vec<Bytes> = Vec::new();
        let mut length = 0;
        while let Some(part) = self.next().await? {
            length += part.len();
            if length > bytes_max {
                return Err(ClientError::TooLong(bytes_max));
            }
            parts.push(part);
        }
        Ok(match parts.as_slice() {
            [one] => one.clone(),
            parts => Bytes::from(parts.concat()),
        })
    }

    /// All that matters was read: the connection is kept if the body ends soon, and nobody waits for that.
    pub(super) fn leave(mut self) {
        tokio::spawn(async move {
            let end = async { while let Ok(Some(_)) = self.next().await {} };
            // What does not end in time is closed by being dropped.
            timeout(TRAILING_MAX, end).await.ok();
        });
    }
}
