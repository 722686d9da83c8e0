//! Just enough HTTP/1.1 for both ends of the benchmark: where a message ends, and what is in its body.
//! Never a general client or server: it costs less than what it measures because it knows what is sent.
//! Used by the load generator and the mock backend.

use std::io;

use tokio::{io::AsyncReadExt as _, net::TcpStream};

/// A message's head is a few hundred bytes; a larger one is not ours. Unit: bytes.
const HEAD_BYTES_MAX: usize = 65_536;
/// One read takes a whole answer of most lanes. Unit: bytes.
const READ_BYTES: usize = 16_384;

/// How a body ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Framing {
    /// After this many bytes.
    Length(usize),
    /// With a chunk of no bytes.
    Chunked,
}

/// One side of a connection that is kept alive.
pub(crate) struct Wire {
    stream: TcpStream,
    unread: Vec<u8>,
}

/// The first line of a message and how its body ends.
pub(crate) struct Head {
    /// `HTTP/1.1 200 OK` or `POST /v1/… HTTP/1.1`.
    pub(crate) line: String,
    /// No further message comes on this connection.
    pub(crate) is_last: bool,
    framing: Framing,
}

impl Head {
    /// The status of an answer; 0 when this is none.
    pub(crate) fn status(&self) -> u16 {
        self.line.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0)
    }
}

impl Wire {
    /// Both sides send what they have at once.
    pub(crate) fn new(stream: TcpStream) -> io::Result<Self> {
        stream.set_nodelay(true)?;
        Ok(Self { stream, unread: Vec::with_capacity(READ_BYTES) })
    }

    pub(crate) fn stream(&mut self) -> &mut TcpStream {
        &mut self.stream
    }

    /// Reads to the empty line. `None`: the other side closed between two messages.
    pub(crate) async fn head(&mut self) -> io::Result<Option<Head>> {
        loop {
            if let Some(end) = find(&self.unread, b"\r\n\r\n") {
                let head = String::from_utf8_lossy(&self.unread[..end]).into_owned();
                self.unread.drain(..end + 4);
                return Ok(Some(parse(&head)?));
            }
            if self.unread.len() > HEAD_BYTES_MAX {
                return Err(broken("a head without an end"));
            }
            if !self.read_more().await? {
                return if self.unread.is_empty() { Ok(None) } else { Err(broken("closed within a head")) };
            }
        }
    }

    /// Reads the body to its end and shows each part as it arrives.
    pub(crate) async fn body(&mut self, head: &Head, mut part: impl FnMut(&[u8])) -> io::Result<()> {
        match head.framing {
            Framing::Length(bytes) => self.take(bytes, &mut part).await,
            Framing::Chunked => loop {
                let bytes = self.chunk_size().await?;
                self.take(bytes, &mut part).await?;
                self.take(2, &mut |_| {}).await?;
                if bytes == 0 {
                    return Ok(());
                }
            },
        }
    }

    async fn chunk_size(&mut self) -> io::Result<usize> {
        loop {
            if let Some(end) = find(&self.unread, b"\r\n") {
                let line = String::from_utf8_lossy(&self.unread[..end]).into_owned();
                self.unread.drain(..end + 2);
                let size = line.split(';').next().unwrap_or("").trim();
                return usize::from_str_radix(size, 16).map_err(|_| broken("a chunk without a size"));
            }
            if !self.read_more().await? {
                return Err(broken("closed within a chunk's size"));
            }
        }
    }

    async fn take(&mut self, mut bytes: usize, part: &mut impl FnMut(&[u8])) -> io::Result<()> {
        while bytes > 0 {
            if self.unread.is_empty() && !self.read_more().await? {
                return Err(broken("closed within a body"));
            }
            let here = bytes.min(self.unread.len());
            part(&self.unread[..here]);
            self.unread.drain(..here);
            bytes -= here;
        }
        Ok(())
    }

    async fn read_more(&mut self) -> io::Result<bool> {
        self.unread.reserve(READ_BYTES);
        Ok(self.stream.read_buf(&mut self.unread).await? > 0)
    }
}

fn parse(head: &str) -> io::Result<Head> {
    let mut lines = head.split("\r\n");
    let line = lines.next().unwrap_or("").to_owned();
    let (mut framing, mut is_last) = (Framing::Length(0), false);
    for (name, value) in lines.filter_map(|line| line.split_once(':')) {
        if name.eq_ignore_ascii_case("content-length") {
            let bytes = value.trim().parse().map_err(|_| broken("a length that is no number"))?;
            framing = Framing::Length(bytes);
        }
        is_last |= name.eq_ignore_ascii_case("connection") && value.trim().eq_ignore_ascii_case("close");
        if name.eq_ignore_ascii_case("transfer-encoding") && value.trim().eq_ignore_ascii_case("chunked") {
            framing = Framing::Chunked;
        }
    }
    Ok(Head { line, is_last, framing })
}

fn broken(why: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why)
}

/// Where `wanted` begins.
pub(crate) fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes.windows(wanted.len()).position(|window| window == wanted)
}
