//! Requests as bytes on a socket: what no HTTP client would send.
//! Never mends what it is given and never follows or retries anything.
//! Made by `Server::raw`.

use std::{net::SocketAddr, time::Duration};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use super::{HarnessError, Outcome};

/// A server that neither answers nor closes within this time hangs. Beyond its own time limit for a body.
const ANSWER_MAX: Duration = Duration::from_secs(60);

/// A client that sends bytes.
#[derive(Clone, Copy, Debug)]
pub struct Raw {
    address: SocketAddr,
}

/// What came back on the connection before it was closed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RawAnswer {
    /// The status of the first answer.
    pub status: u16,
    /// Its head, as text.
    pub head: String,
    /// All that followed the head, further answers included.
    pub rest: Vec<u8>,
}

impl RawAnswer {
    /// Takes what was received apart. `None`: it has no whole head.
    fn parse(received: &[u8]) -> Option<Self> {
        let end = received.windows(4).position(|four| four == b"\r\n\r\n")?;
        let head = String::from_utf8_lossy(received.get(..end)?).into_owned();
        let status = head.split(' ').nth(1)?.parse().ok()?;
        Some(Self { status, head, rest: received.get(end + 4..)?.to_vec() })
    }

    /// A header's value, empty when it is not there.
    pub fn header(&self, name: &str) -> &str {
        let lines = self.head.lines().filter_map(|line| line.split_once(':'));
        let mut values = lines.filter(|(found, _)| found.eq_ignore_ascii_case(name));
        values.next().map_or("", |(_, value)| value.trim())
    }

    /// How many answers came in all.
    pub fn answers(&self) -> usize {
        1 + self.rest.windows(9).filter(|nine| *nine == b"HTTP/1.1 ").count()
    }
}

impl Raw {
    /// A client of the server at this address, such as `http://127.0.0.1:1234`.
    ///
    /// Errors: it is none.
    pub fn new(origin: &str) -> Outcome<Self> {
        let address = origin.trim_start_matches("http://").parse();
        let address = address.map_err(|_| std::io::ErrorKind::InvalidInput.into());
        Ok(Self { address: address.map_err(HarnessError::io(origin))? })
    }

    /// A connection of its own.
    ///
    /// Errors: the server does not accept.
    pub async fn connect(&self) -> Outcome<TcpStream> {
        TcpStream::connect(self.address).await.map_err(HarnessError::io("connect"))
    }

    /// Sends bytes and reads until the server closes; they should ask for that. `None`: it closed without an answer.
    ///
    /// Errors: it cannot be reached, or neither answers nor closes in time.
    pub async fn exchange(&self, request: &[u8]) -> Outcome<Option<RawAnswer>> {
        let mut connection = self.connect().await?;
        // A server may answer and close before it has read all: what it said still counts.
        connection.write_all(request).await.ok();
        self.read_to_close(&mut connection).await
    }

    /// Reads until the server closes.
    ///
    /// Errors: it does not in time.
    pub async fn read_to_close(&self, connection: &mut TcpStream) -> Outcome<Option<RawAnswer>> {
        let mut received = Vec::new();
        let read = tokio::time::timeout(ANSWER_MAX, connection.read_to_end(&mut received)).await;
        if read.is_err() {
            let output = String::from_utf8_lossy(&received).into_owned();
            return Err(HarnessError::Late {
                what: "the end of an answer".to_owned(),
                limit: ANSWER_MAX,
                output,
            });
        }
        Ok(RawAnswer::parse(&received))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_taken_apart() {
        let answer =
            RawAnswer::parse(b"HTTP/1.1 404 Not Found\r\nX-Y:  z \r\n\r\nabcHTTP/1.1 200 OK").expect("whole");
        assert_eq!((answer.status, answer.header("x-y"), answer.header("x-z")), (404, "z", ""));
        assert_eq!((answer.rest.len(), answer.answers()), (18, 2));
        for text in ["", "HTTP/1.1 200 OK\r\n", "nonsense\r\n\r\n"] {
            assert_eq!(RawAnswer::parse(text.as_bytes()), None, "{text:?}");
        }
    }
}
