//! A backend that answers at once or at a steady pace, and writes into each piece when it was sent.
//! Never computes anything: its answers are made before the first request.
//! Started by `main` on a thread of its own, once for each pace.

use std::{
    io,
    net::{SocketAddr, TcpListener as StdListener},
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use tokio::{
    io::AsyncWriteExt as _,
    net::{TcpListener, TcpStream},
};

use crate::http::{Wire, find};

/// What stands before a piece's time of sending; nothing else in an answer looks like it.
const STAMP: &str = "sent@";

/// How an answer is given.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    /// Pieces of a streamed answer.
    pub(crate) pieces: u32,
    /// Time between two pieces; zero sends all of them at once.
    pub(crate) gap: Duration,
}

/// A running mock backend. It ends with the process.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Mock {
    pub(crate) address: SocketAddr,
    pub(crate) pace: Pace,
    /// Stamps count from here.
    epoch: Instant,
}

impl Mock {
    /// Listens on a free port.
    pub(crate) fn start(pace: Pace) -> io::Result<Self> {
        let listener = StdListener::bind(("127.0.0.1", 0))?;
        listener.set_nonblocking(true)?;
        let mock = Self { address: listener.local_addr()?, pace, epoch: Instant::now() };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        thread::spawn(move || runtime.block_on(mock.accept(listener)));
        Ok(mock)
    }

    /// How long ago each stamped piece in these bytes was sent. Unit: microseconds.
    pub(crate) fn ages_us(&self, bytes: &[u8]) -> Vec<u64> {
        let now = self.now_us();
        let mut ages = Vec::new();
        let mut rest = bytes;
        while let Some(start) = find(rest, STAMP.as_bytes()) {
            rest = &rest[start + STAMP.len()..];
            let digits: String =
                rest.iter().take_while(|byte| byte.is_ascii_digit()).map(|&byte| char::from(byte)).collect();
            if let Ok(sent) = digits.parse::<u64>() {
                ages.push(now.saturating_sub(sent));
            }
        }
        ages
    }

    fn now_us(&self) -> u64 {
        u64::try_from(self.epoch.elapsed().as_micros()).unwrap_or(u64::MAX)
    }

    async fn accept(self, listener: StdListener) {
        let Ok(listener) = TcpListener::from_std(listener) else { return };
        let answers = Arc::new(Answers::new(self.pace.pieces));
        while let Ok((stream, _)) = listener.accept().await {
            let answers = Arc::clone(&answers);
            // A gateway that closes its connection ends the task; that is no fault.
            tokio::spawn(async move { self.serve(stream, &answers).await.ok() });
        }
    }

    async fn serve(self, stream: TcpStream, answers: &Answers) -> io::Result<()> {
        let mut wire = Wire::new(stream)?;
        while let Some(head) = wire.head().await? {
            let mut body = Vec::new();
            wire.body(&head, |part| body.extend_from_slice(part)).await?;
            let is_probe = head.line.starts_with("GET ");
            let is_stream = !is_probe && find(&body, br#""stream":true"#).is_some();
            match (is_stream, self.pace.gap.is_zero()) {
                (false, _) => wire.stream().write_all(&answers.whole).await?,
                (true, true) => wire.stream().write_all(&answers.stream).await?,
                (true, false) => self.paced(wire.stream(), answers).await?,
            }
        }
        Ok(())
    }

    async fn paced(self, stream: &mut TcpStream, answers: &Answers) -> io::Result<()> {
        stream.write_all(STREAM_HEAD.as_bytes()).await?;
        let mut due = tokio::time::Instant::now();
        for _ in 0..self.pace.pieces {
            tokio::time::sleep_until(due).await;
            let piece = format!("{STAMP}{} ", self.now_us());
            stream.write_all(&chunk(&event(&piece, false))).await?;
            due += self.pace.gap;
        }
        stream.write_all(&answers.end).await
    }
}

const STREAM_HEAD: &str =
    "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";

/// Bytes that are sent as they are.
struct Answers {
    whole: Vec<u8>,
    stream: Vec<u8>,
    end: Vec<u8>,
}

impl Answers {
    fn new(pieces: u32) -> Self {
        let usage = format!(
            r#""usage":{{"prompt_tokens":9,"completion_tokens":{pieces},"total_tokens":{}}}"#,
            pieces + 9
        );
        let body = format!(
            r#"{{"id":"chatcmpl-mock","object":"chat.completion","created":1700000000,"model":"mock","choices":[{{"index":0,"message":{{"role":"assistant","content":"{}"}},"finish_reason":"stop"}}],{usage}}}"#,
            "word ".repeat(usize::try_from(pieces).unwrap_or(0)),
        );
        let whole = format!(
            "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        let last = format!(
            "data: {{\"id\":\"chatcmpl-mock\",\"object\":\"chat.completion.chunk\",\"created\":1700000000,\"model\":\"mock\",\"choices\":[],{usage}}}\n\n"
        );
        let mut end = chunk(&event("", true));
        end.extend(chunk(&last));
        end.extend(chunk("data: [DONE]\n\n"));
        end.extend(b"0\r\n\r\n");
        let mut stream = STREAM_HEAD.as_bytes().to_vec();
        for _ in 0..pieces {
            stream.extend(chunk(&event("word ", false)));
        }
        stream.extend(&end);
        Self { whole: whole.into_bytes(), stream, end }
    }
}

fn event(content: &str, is_last: bool) -> String {
    let (delta, reason) = match is_last {
        true => ("{}".to_owned(), "\"stop\""),
        false => (format!(r#"{{"role":"assistant","content":"{content}"}}"#), "null"),
    };
    format!(
        "data: {{\"id\":\"chatcmpl-mock\",\"object\":\"chat.completion.chunk\",\"created\":1700000000,\"model\":\"mock\",\"choices\":[{{\"index\":0,\"delta\":{delta},\"finish_reason\":{reason}}}]}}\n\n"
    )
}

fn chunk(text: &str) -> Vec<u8> {
    format!("{:x}\r\n{text}\r\n", text.len()).into_bytes()
}
