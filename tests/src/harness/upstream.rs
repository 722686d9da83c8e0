//! A server that looks like an OpenAI-compatible one and does what a test tells it to: pace, fail, hang, lie.
//! Never a model: it says the texts it is given, and remembers every request byte for byte.
//! Started by tests of backends; it ends with the test.
//!
//! Long because it speaks HTTP by hand: no library would hang, break or lie at the byte where a test wants it.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    task::JoinHandle,
};

use super::{HarnessError, Outcome};

/// Largest request that is read. Unit: bytes.
const REQUEST_BYTES_MAX: usize = 64 * 1_024 * 1_024;

/// How long a hanging answer hangs: longer than any test waits.
const HANG: Duration = Duration::from_secs(600);

/// Where an answer stops for ever, or breaks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum At {
    /// Nowhere.
    #[default]
    Never,
    /// Before the head of the answer.
    BeforeHead,
    /// After this many chunks of text.
    After(usize),
}

/// What the server does when it is asked for a model.
#[derive(Clone, Debug)]
pub struct Behaviour {
    /// The status of the answer.
    pub status: u16,
    /// Further headers.
    pub headers: Vec<(String, String)>,
    /// The body of an answer with another status than 200.
    pub error: Value,
    /// One chunk of text each.
    pub texts: Vec<String>,
    /// Chunks of reasoning before them.
    pub reasoning: Vec<String>,
    /// Whole `delta` objects that come behind the texts, such as tool calls.
    pub deltas: Vec<Value>,
    /// Why the answer ends; `tool_calls` for instance.
    pub finish_reason: String,
    /// The usage it states; `None` leaves it out.
    pub usage: Option<Value>,
    /// Whether it stops at `max_tokens`, one chunk being a token.
    pub obeys_bound: bool,
    /// Wait before the head.
    pub head_wait: Duration,
    /// Wait before the first chunk.
    pub first_wait: Duration,
    /// Wait between chunks.
    pub gap: Duration,
    /// Where it hangs.
    pub hangs: At,
    /// Where it closes the connection.
    pub breaks: At,
    /// Where it sends an error event and ends.
    pub fails: At,
    /// Events to send just as they are, in place of all others.
    pub verbatim: Option<Vec<String>>,
    /// A body to send just as it is, in place of a whole answer.
    pub body: Option<String>,
}

impl Default for Behaviour {
    fn default() -> Self {
        Self::saying(&["Hello", " there"])
    }
}

impl Behaviour {
    /// Says these texts, one chunk each, and states as many output tokens.
    pub fn saying(texts: &[&str]) -> Self {
        Self {
            status: 200,
            headers: Vec::new(),
            error: Value::Null,
            texts: texts.iter().map(|text| (*text).to_owned()).collect(),
            reasoning: Vec::new(),
            deltas: Vec::new(),
            finish_reason: "stop".to_owned(),
            usage: Some(json!({
                "prompt_tokens": 11, "completion_tokens": texts.len(), "total_tokens": 11 + texts.len(),
            })),
            obeys_bound: true,
            head_wait: Duration::ZERO,
            first_wait: Duration::ZERO,
            gap: Duration::ZERO,
            hangs: At::Never,
            breaks: At::Never,
            fails: At::Never,
            verbatim: None,
            body: None,
        }
    }

    /// Says no text but calls tools. As servers do, each piece says whose words these are: one client insists on it.
    ///
    /// Shape: one part for each chunk, as OpenAI's `tool_calls` have them.
    pub fn calling(parts: &[Value]) -> Self {
        let delta = |calls: &Value| json!({"role": "assistant", "tool_calls": calls});
        let deltas = parts.iter().map(delta).collect();
        Self { deltas, finish_reason: "tool_calls".to_owned(), ..Self::saying(&[]) }
    }

    /// Answers with an error.
    pub fn failing(status: u16, error: Value) -> Self {
        Self { status, error, ..Self::default() }
    }
}

/// A request as the server got it.
#[derive(Clone, Debug)]
pub struct Seen {
    /// Method and path.
    pub line: String,
    /// Names in small letters, in the order of arrival.
    pub headers: Vec<(String, String)>,
    /// The body's bytes.
    pub body: Vec<u8>,
    /// The asker closed the connection before the answer was whole.
    pub was_left: bool,
}

impl Seen {
    /// A header, empty when it is not there.
    pub fn header(&self, name: &str) -> &str {
        self.headers.iter().find(|(found, _)| found == name).map_or("", |(_, value)| value)
    }

    /// The body as JSON, null when it is none.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    /// All of it as text, to look for what must not be in it.
    pub fn text(&self) -> String {
        format!("{} {:?} {}", self.line, self.headers, String::from_utf8_lossy(&self.body))
    }
}

#[derive(Debug, Default)]
struct State {
    behaviours: HashMap<String, Behaviour>,
    /// What comes before those, one for each request.
    turns: HashMap<String, VecDeque<Behaviour>>,
    usual: Behaviour,
    seen: Vec<Seen>,
    probes: usize,
    is_ill: bool,
}

/// A running server.
#[derive(Debug)]
pub struct Upstream {
    port: u16,
    state: Arc<Mutex<State>>,
    task: JoinHandle<()>,
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Upstream {
    /// Starts a server on a free port.
    ///
    /// Errors: no port is to be had.
    pub async fn start() -> Outcome<Self> {
        let listener =
            TcpListener::bind("127.0.0.1:0").await.map_err(HarnessError::io("a port for an upstream"))?;
        let port = listener.local_addr().map_err(HarnessError::io("the upstream's address"))?.port();
        let state: Arc<Mutex<State>> = Arc::default();
        let shared = Arc::clone(&state);
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, Arc::clone(&shared)));
            }
        });
        Ok(Self { port, state, task })
    }

    /// Where its API begins.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}/v1", self.port)
    }

    /// A `[[backend]]` that is this server, with the model `demo`; further lines go into the backend.
    pub fn config(&self, name: &str, lines: &str) -> String {
        format!(
            "[[backend]]\nname = \"{name}\"\nkind = \"openai\"\nurl = \"{}\"\n{lines}\n\
             [[backend.model]]\nname = \"demo\"\ncontext_tokens_max = 8192\n",
            self.url()
        )
    }

    /// What it does from now on, whatever model it is asked for.
    pub fn behave(&self, behaviour: Behaviour) {
        self.with(|state| state.usual = behaviour);
    }

    /// What it does from now on when it is asked for this model.
    pub fn behave_for(&self, model: &str, behaviour: Behaviour) {
        self.with(|state| drop(state.behaviours.insert(model.to_owned(), behaviour)));
    }

    /// What it does at the next requests for this model, one after another, before it behaves as otherwise told.
    pub fn behave_in_turn(&self, model: &str, behaviours: Vec<Behaviour>) {
        self.with(|state| state.turns.entry(model.to_owned()).or_default().extend(behaviours));
    }

    /// Whether it answers probes with 503 from now on.
    pub fn be_ill(&self, is_ill: bool) {
        self.with(|state| state.is_ill = is_ill);
    }

    /// Every request so far, probes left out.
    pub fn seen(&self) -> Vec<Seen> {
        self.with(|state| state.seen.clone())
    }

    /// The last request.
    ///
    /// Errors: there was none.
    pub fn last(&self) -> Outcome<Seen> {
        self.seen().pop().ok_or(HarnessError::NotEvents { text: "the upstream was not asked".to_owned() })
    }

    /// How often it was asked whether it lives.
    pub fn probes(&self) -> usize {
        self.with(|state| state.probes)
    }

    fn with<T>(&self, act: impl FnOnce(&mut State) -> T) -> T {
        act(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Answers requests of one connection, one after another.
async fn serve(stream: TcpStream, state: Arc<Mutex<State>>) {
    stream.set_nodelay(true).ok();
    let (mut reader, mut writer) = stream.into_split();
    let mut unread = Vec::new();
    while let Some(seen) = read_request(&mut reader, &mut unread).await {
        let lock = || state.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.line.starts_with("GET") {
            let status = {
                let mut state = lock();
                state.probes += 1;
                if state.is_ill { 503 } else { 200 }
            };
            if write_whole(&mut writer, status, &[], "{}").await.is_err() {
                return;
            }
            continue;
        }
        let request = seen.json();
        let model = request["model"].as_str().unwrap_or("").to_owned();
        let (behaviour, place) = {
            let mut state = lock();
            state.seen.push(seen.clone());
            let turn = state.turns.get_mut(&model).and_then(VecDeque::pop_front);
            let behaviour =
                turn.unwrap_or_else(|| state.behaviours.get(&model).unwrap_or(&state.usual).clone());
            (behaviour, state.seen.len() - 1)
        };
        let answering = answer(&mut writer, &behaviour, &request, &seen.line);
        let is_kept = tokio::select! {
            kept = answering => kept,
            // Nothing more comes before the answer is whole, unless the asker leaves.
            _ = reader.read_u8() => {
                if let Some(seen) = lock().seen.get_mut(place) {
                    seen.was_left = true;
                }
                false
            }
        };
        if !is_kept {
            return;
        }
    }
}

async fn read_request(reader: &mut OwnedReadHalf, unread: &mut Vec<u8>) -> Option<Seen> {
    let head_end = loop {
        if let Some(at) = unread.windows(4).position(|four| four == b"\r\n\r\n") {
            break at + 4;
        }
        if unread.len() > REQUEST_BYTES_MAX || reader.read_buf(unread).await.ok()? == 0 {
            return None;
        }
    };
    let head: Vec<u8> = unread.drain(..head_end).collect();
    let head = String::from_utf8_lossy(&head).into_owned();
    let mut lines = head.lines();
    let line = lines.next().unwrap_or("").to_owned();
    let header = |line: &str| {
        line.split_once(':').map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
    };
    let headers: Vec<_> = lines.filter_map(header).collect();
    let mut seen = Seen { line, headers, body: Vec::new(), was_left: false };
    let length = seen.header("content-length").parse().unwrap_or(0_usize);
    while unread.len() < length {
        if length > REQUEST_BYTES_MAX || reader.read_buf(unread).await.ok()? == 0 {
            return None;
        }
    }
    seen.body = unread.drain(..length).collect();
    Some(seen)
}

/// Answers one request. Whether the connection is to be kept.
async fn answer(writer: &mut OwnedWriteHalf, behaviour: &Behaviour, request: &Value, line: &str) -> bool {
    tokio::time::sleep(behaviour.head_wait).await;
    if behaviour.breaks == At::BeforeHead {
        return false;
    }
    if behaviour.hangs == At::BeforeHead {
        tokio::time::sleep(HANG).await;
    }
    let headers = &behaviour.headers;
    if behaviour.status != 200 {
        return write_whole(writer, behaviour.status, headers, &behaviour.error.to_string()).await.is_ok();
    }
    if request["stream"] == true {
        return stream(writer, behaviour, request, line).await.unwrap_or(false);
    }
    tokio::time::sleep(behaviour.first_wait).await;
    let body = behaviour.body.clone().unwrap_or_else(|| whole(behaviour, request, line).to_string());
    write_whole(writer, 200, headers, &body).await.is_ok()
}

/// As many texts as the request allows.
fn texts<'a>(behaviour: &'a Behaviour, request: &Value) -> (&'a [String], bool) {
    let bound = request["max_completion_tokens"].as_u64().or(request["max_tokens"].as_u64());
    let bound = bound.and_then(|bound| usize::try_from(bound).ok()).unwrap_or(usize::MAX);
    match behaviour.obeys_bound && behaviour.texts.len() > bound {
        true => (&behaviour.texts[..bound], true),
        false => (&behaviour.texts, false),
    }
}

fn whole(behaviour: &Behaviour, request: &Value, line: &str) -> Value {
    if line.contains("/embeddings") {
        let count = request["input"].as_array().map_or(1, Vec::len);
        let data: Vec<_> = (0..count)
            .map(|index| json!({"object": "embedding", "index": index, "embedding": [0.5, -0.25, 1.0]}))
            .collect();
        let mut answer = json!({"object": "list", "data": data, "model": request["model"]});
        if let Some(usage) = &behaviour.usage {
            answer["usage"] =
                json!({"prompt_tokens": usage["prompt_tokens"], "total_tokens": usage["prompt_tokens"]});
        }
        return answer;
    }
    let (texts, is_cut) = texts(behaviour, request);
    let finish_reason = if is_cut { "length" } else { behaviour.finish_reason.as_str() };
    let is_chat = line.contains("/chat/");
    let mut message = json!({"role": "assistant", "content": texts.concat()});
    if !behaviour.reasoning.is_empty() {
        message["reasoning_content"] = json!(behaviour.reasoning.concat());
    }
    for delta in &behaviour.deltas {
        for (name, value) in delta.as_object().into_iter().flatten() {
            message[name] = value.clone();
        }
    }
    let choice = match is_chat {
        true => json!({"index": 0, "message": message, "finish_reason": finish_reason}),
        false => json!({"index": 0, "text": texts.concat(), "finish_reason": finish_reason}),
    };
    let object = if is_chat { "chat.completion" } else { "text_completion" };
    let mut answer = json!({
        "id": "up-1", "object": object, "created": 1_700_000_000, "model": request["model"], "choices": [choice],
    });
    if let Some(usage) = &behaviour.usage {
        answer["usage"] = usage.clone();
    }
    answer
}

async fn stream(
    writer: &mut OwnedWriteHalf,
    behaviour: &Behaviour,
    request: &Value,
    line: &str,
) -> std::io::Result<bool> {
    let mut head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\n".to_owned();
    for (name, value) in &behaviour.headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head.push_str("transfer-encoding: chunked\r\n\r\n");
    writer.write_all(head.as_bytes()).await?;
    tokio::time::sleep(behaviour.first_wait).await;
    let (events, is_whole) = match &behaviour.verbatim {
        Some(events) => (events.clone(), true),
        None => events(behaviour, request, line),
    };
    for (index, event) in events.iter().enumerate() {
        if index > 0 {
            tokio::time::sleep(behaviour.gap).await;
        }
        if behaviour.hangs == At::After(index) {
            tokio::time::sleep(HANG).await;
        }
        if behaviour.breaks == At::After(index) {
            return Ok(false);
        }
        write_chunk(writer, event).await?;
    }
    if is_whole {
        writer.write_all(b"0\r\n\r\n").await?;
    }
    Ok(is_whole)
}

/// All events of a stream, and whether it ends as it should.
fn events(behaviour: &Behaviour, request: &Value, line: &str) -> (Vec<String>, bool) {
    let is_chat = line.contains("/chat/");
    let object = if is_chat { "chat.completion.chunk" } else { "text_completion" };
    let event = |choices: Value, usage: Option<&Value>| {
        let mut chunk = json!({
            "id": "up-1", "object": object, "created": 1_700_000_000, "model": request["model"],
            "choices": choices,
        });
        if let Some(usage) = usage {
            chunk["usage"] = usage.clone();
        }
        format!("data: {chunk}\n\n")
    };
    let delta = |delta: Value| event(json!([{"index": 0, "delta": delta, "finish_reason": null}]), None);
    let text = |text: &String| match is_chat {
        true => delta(json!({"content": text})),
        false => event(json!([{"index": 0, "text": text, "finish_reason": null}]), None),
    };
    let (texts, is_cut) = texts(behaviour, request);
    let reasoning = behaviour.reasoning.iter().map(|text| delta(json!({"reasoning_content": text})));
    let deltas = behaviour.deltas.iter().cloned().map(delta);
    let mut events: Vec<_> = reasoning.chain(texts.iter().map(text)).chain(deltas).collect();
    if let At::After(count) = behaviour.fails {
        events.truncate(count);
        events.push(
            "data: {\"error\":{\"message\":\"out of memory at 10.0.0.7\",\"code\":500}}\n\n".to_owned(),
        );
        return (events, true);
    }
    let finish_reason = if is_cut { "length" } else { behaviour.finish_reason.as_str() };
    events.push(match is_chat {
        true => event(json!([{"index": 0, "delta": {}, "finish_reason": finish_reason}]), None),
        false => event(json!([{"index": 0, "text": "", "finish_reason": finish_reason}]), None),
    });
    if request["stream_options"]["include_usage"] == true
        && let Some(usage) = &behaviour.usage
    {
        events.push(event(json!([]), Some(usage)));
    }
    events.push("data: [DONE]\n\n".to_owned());
    (events, true)
}

async fn write_chunk(writer: &mut OwnedWriteHalf, text: &str) -> std::io::Result<()> {
    let chunk = format!("{:x}\r\n{text}\r\n", text.len());
    writer.write_all(chunk.as_bytes()).await
}

async fn write_whole(
    writer: &mut OwnedWriteHalf,
    status: u16,
    headers: &[(String, String)],
    body: &str,
) -> std::io::Result<()> {
    let mut answer = format!("HTTP/1.1 {status} Status\r\ncontent-type: application/json\r\n");
    for (name, value) in headers {
        answer.push_str(&format!("{name}: {value}\r\n"));
    }
    answer.push_str(&format!("content-length: {}\r\n\r\n{body}", body.len()));
    writer.write_all(answer.as_bytes()).await
}
