//! A bucket service that speaks as much S3 as an upload in parts needs, and checks every request it gets.
//! Never lenient: a wrong account, a hash that does not fit, a small part or an unknown upload is refused.
//! Started by tests of exports; it ends with the test.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use sha2::{Digest as _, Sha256};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

use super::{HarnessError, Outcome};

/// S3 takes no smaller parts, but for the last. Unit: bytes.
const PART_BYTES_MIN: usize = 5 * 1_024 * 1_024;
/// Largest request that is read. Unit: bytes.
const REQUEST_BYTES_MAX: usize = 64 * 1_024 * 1_024;
/// The one upload there can be.
const UPLOAD: &str = "upload-1";

/// What happened so far.
#[derive(Debug, Default)]
struct State {
    parts: BTreeMap<u32, Vec<u8>>,
    objects: BTreeMap<String, Vec<u8>>,
    is_begun: bool,
    is_given_up: bool,
    /// The first part that is refused; 0: none.
    refused_from: u32,
    faults: Vec<String>,
}

/// The running service.
#[derive(Debug)]
pub struct Bucket {
    port: u16,
    state: Arc<Mutex<State>>,
    task: JoinHandle<()>,
}

impl Drop for Bucket {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// A request, whole.
struct Asked {
    method: String,
    path: String,
    query: BTreeMap<String, String>,
    headers: BTreeMap<String, String>,
    body: Vec<u8>,
}

impl Bucket {
    /// A service that knows one account, by the id of its key.
    ///
    /// Errors: no free port.
    pub async fn start(access_key_id: &str) -> Outcome<Self> {
        let listener =
            TcpListener::bind("127.0.0.1:0").await.map_err(HarnessError::io("a port for a bucket"))?;
        let port = listener.local_addr().map_err(HarnessError::io("a port for a bucket"))?.port();
        let state = Arc::new(Mutex::new(State::default()));
        let (shared, account) = (Arc::clone(&state), access_key_id.to_owned());
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, Arc::clone(&shared), account.clone()));
            }
        });
        Ok(Self { port, state, task })
    }

    /// Its address.
    pub fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Refuses this part and every later one.
    pub fn refuse_from(&self, part: u32) {
        self.state().refused_from = part;
    }

    /// An object, by its path: bucket and name.
    pub fn object(&self, path: &str) -> Option<Vec<u8>> {
        self.state().objects.get(path).cloned()
    }

    /// Parts that were taken.
    pub fn parts(&self) -> usize {
        self.state().parts.len()
    }

    /// Whether the upload was given up.
    pub fn is_given_up(&self) -> bool {
        self.state().is_given_up
    }

    /// What was wrong with requests.
    pub fn faults(&self) -> Vec<String> {
        self.state().faults.clone()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Answers requests of one connection until it ends.
async fn serve(mut stream: TcpStream, state: Arc<Mutex<State>>, account: String) {
    let mut unread = Vec::new();
    while let Some(asked) = read(&mut stream, &mut unread).await {
        let answer = {
            let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
            match fault(&asked, &account) {
                Some(fault) => {
                    state.faults.push(fault.clone());
                    answer(400, "", &format!("<Error><Code>{fault}</Code></Error>"))
                }
                None => act(&mut state, &asked),
            }
        };
        if stream.write_all(answer.as_bytes()).await.is_err() {
            return;
        }
    }
}

async fn read(stream: &mut TcpStream, unread: &mut Vec<u8>) -> Option<Asked> {
    let end = loop {
        if let Some(end) = unread.windows(4).position(|window| window == b"\r\n\r\n") {
            break end;
        }
        more(stream, unread).await?;
    };
    let head = String::from_utf8_lossy(&unread[..end]).into_owned();
    unread.drain(..end + 4);
    let mut lines = head.lines();
    let mut words = lines.next()?.split(' ');
    let (method, target) = (words.next()?.to_owned(), words.next()?.to_owned());
    let pair = |line: &str| {
        let (name, value) = line.split_once(':')?;
        Some((name.to_ascii_lowercase(), value.trim().to_owned()))
    };
    let headers: BTreeMap<_, _> = lines.filter_map(pair).collect();
    let length = headers.get("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
    while unread.len() < length {
        more(stream, unread).await?;
    }
    let body = unread.drain(..length).collect();
    let (path, query) = target.split_once('?').unwrap_or((&target, ""));
    let query = query.split('&').filter(|part| !part.is_empty()).map(|part| {
        let (name, value) = part.split_once('=').unwrap_or((part, ""));
        (name.to_owned(), value.to_owned())
    });
    Some(Asked { method, path: path.to_owned(), query: query.collect(), headers, body })
}

async fn more(stream: &mut TcpStream, unread: &mut Vec<u8>) -> Option<()> {
    let mut buffer = vec![0; 64 * 1_024];
    let read = stream.read(&mut buffer).await.ok()?;
    unread.extend_from_slice(&buffer[..read]);
    (read > 0 && unread.len() <= REQUEST_BYTES_MAX).then_some(())
}

/// What no service takes.
fn fault(asked: &Asked, account: &str) -> Option<String> {
    let header = |name: &str| asked.headers.get(name).map_or("", String::as_str);
    let signed = header("authorization");
    if !signed.starts_with(&format!("AWS4-HMAC-SHA256 Credential={account}/"))
        || !signed.contains("Signature=")
    {
        return Some("AccessDenied".to_owned());
    }
    let stated = header("x-amz-content-sha256");
    let hash: String = Sha256::digest(&asked.body).iter().map(|byte| format!("{byte:02x}")).collect();
    (stated != hash).then(|| format!("XAmzContentSHA256Mismatch: {stated}"))
}

fn act(state: &mut State, asked: &Asked) -> String {
    let part: Option<u32> = asked.query.get("partNumber").and_then(|number| number.parse().ok());
    let is_upload = asked.query.get("uploadId").is_some_and(|upload| upload == UPLOAD) && state.is_begun;
    match (asked.method.as_str(), part) {
        ("POST", None) if asked.query.contains_key("uploads") => {
            state.is_begun = true;
            answer(
                200,
                "",
                &format!(
                    "<InitiateMultipartUploadResult><UploadId>{UPLOAD}</UploadId></InitiateMultipartUploadResult>"
                ),
            )
        }
        ("PUT", Some(number)) if is_upload && state.refused_from != 0 && number >= state.refused_from => {
            answer(403, "", "<Error><Code>AccessDenied</Code><Message>no more</Message></Error>")
        }
        ("PUT", Some(number)) if is_upload => {
            state.parts.insert(number, asked.body.clone());
            answer(200, &format!("ETag: \"part-{number}\"\r\n"), "")
        }
        ("POST", None) if is_upload => complete(state, asked),
        ("DELETE", None) if is_upload => {
            state.is_given_up = true;
            answer(204, "", "")
        }
        _ => {
            state.faults.push(format!("{} {} is not understood", asked.method, asked.path));
            answer(404, "", "<Error><Code>NoSuchUpload</Code></Error>")
        }
    }
}

/// Puts the parts together, all of them, in order, none too small.
fn complete(state: &mut State, asked: &Asked) -> String {
    let numbers: Vec<u32> = state.parts.keys().copied().collect();
    let told = String::from_utf8_lossy(&asked.body).into_owned();
    let is_told = |number: &u32| told.contains(&format!("<PartNumber>{number}</PartNumber>"));
    let is_whole = numbers.iter().zip(1..).all(|(number, place)| *number == place);
    let is_small = state
        .parts
        .iter()
        .any(|(number, part)| part.len() < PART_BYTES_MIN && Some(number) != numbers.last());
    if !numbers.iter().all(is_told) || !is_whole || is_small {
        state.faults.push(format!("parts {numbers:?} do not make an object: {told}"));
        return answer(400, "", "<Error><Code>InvalidPart</Code></Error>");
    }
    let object = state.parts.values().flatten().copied().collect();
    state.objects.insert(asked.path.clone(), object);
    answer(200, "", "<CompleteMultipartUploadResult><ETag>\"whole\"</ETag></CompleteMultipartUploadResult>")
}

fn answer(status: u16, headers: &str, body: &str) -> String {
    format!(
        "HTTP/1.1 {status} Told\r\n{headers}Content-Type: application/xml\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
}
