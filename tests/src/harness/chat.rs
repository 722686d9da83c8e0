//! A chat client that shows everything a server sends: status, headers, bodies, every single event.
//! Never retries and never hides an error status.
//! Made by `Server::chat`.

use std::time::Duration;

use futures_util::StreamExt;
use reqwest::{StatusCode, header::HeaderMap};
use serde_json::{Value, json};

use super::{HarnessError, Outcome};

/// No answer of the demo model takes longer, on a busy machine either.
const ANSWER_MAX: Duration = Duration::from_secs(120);

/// A client with one key.
#[derive(Clone, Debug)]
pub struct Chat {
    client: reqwest::Client,
    base_url: String,
    key: String,
}

/// A whole answer.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Value,
}

impl Answer {
    /// A header as text, empty when it is not there.
    pub fn header(&self, name: &str) -> &str {
        header(&self.headers, name)
    }

    /// The `code` of an error body.
    pub fn code(&self) -> &str {
        self.body["error"]["code"].as_str().unwrap_or("")
    }
}

/// What a stream carried so far.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TokenText {
    /// The answer's id, `chatcmpl-<request id>`.
    pub id: String,
    /// All text parts, joined.
    pub text: String,
    /// How many parts carried text.
    pub parts: u64,
    /// Why the answer ended; `None` while it has not.
    pub finish_reason: Option<String>,
    /// The usage block, when it was asked for.
    pub usage: Option<Value>,
    /// An error event.
    pub error: Option<Value>,
    /// Whether the last event, `[DONE]`, was seen.
    pub is_done: bool,
}

/// A running stream.
pub struct Streaming {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// What was received so far.
    pub received: TokenText,
    body: futures_util::stream::BoxStream<'static, reqwest::Result<Vec<u8>>>,
    unread: Vec<u8>,
}

impl Chat {
    /// A client of the server at this base URL.
    pub fn new(base_url: &str, key: &str) -> Self {
        Self { client: reqwest::Client::new(), base_url: base_url.to_owned(), key: key.to_owned() }
    }

    /// The address of a path below the API's beginning.
    pub fn url(&self, path: &str) -> String {
        format!("{}{path}", self.base_url)
    }

    /// The key it sends.
    pub fn key(&self) -> &str {
        &self.key
    }

    /// A request for the model `demo` with one user message; change it as needed.
    pub fn request(text: &str, tokens_max: u32) -> Value {
        json!({
            "model": "demo", "max_tokens": tokens_max,
            "messages": [{"role": "user", "content": text}],
        })
    }

    /// Sends a request and reads the whole answer.
    ///
    /// Errors: no answer, or one that is not JSON. An error status is an answer.
    pub async fn send(&self, request: &Value) -> Outcome<Answer> {
        self.send_text(request.to_string()).await
    }

    /// Sends any text as a request.
    ///
    /// Errors: as [`Self::send`].
    pub async fn send_text(&self, body: String) -> Outcome<Answer> {
        let answer = self.post(body).send().await?;
        Self::whole(answer).await
    }

    /// Asks for a path below the API's beginning, such as `/models`.
    ///
    /// Errors: as [`Self::send`].
    pub async fn get(&self, path: &str) -> Outcome<Answer> {
        let url = format!("{}{path}", self.base_url);
        Self::whole(self.client.get(url).bearer_auth(&self.key).timeout(ANSWER_MAX).send().await?).await
    }

    async fn whole(answer: reqwest::Response) -> Outcome<Answer> {
        let (status, headers) = (answer.status(), answer.headers().clone());
        let text = answer.text().await?;
        let body = serde_json::from_str(&text).map_err(|source| HarnessError::Json { text, source })?;
        Ok(Answer { status, headers, body })
    }

    /// Sends a request with `stream: true` and gives the stream as soon as the headers are there.
    ///
    /// Errors: no answer. An error status is an answer: its body is read as no event.
    pub async fn stream(&self, request: &Value) -> Outcome<Streaming> {
        let mut request = request.clone();
        request["stream"] = json!(true);
        let answer = self.post(request.to_string()).send().await?;
        let (status, headers) = (answer.status(), answer.headers().clone());
        let body = answer.bytes_stream().map(|part| part.map(|bytes| bytes.to_vec())).boxed();
        Ok(Streaming { status, headers, received: TokenText::default(), body, unread: Vec::new() })
    }

    fn post(&self, body: String) -> reqwest::RequestBuilder {
        let url = format!("{}/chat/completions", self.base_url);
        let request = self.client.post(url).header("content-type", "application/json").timeout(ANSWER_MAX);
        match self.key.is_empty() {
            true => request.body(body),
            false => request.bearer_auth(&self.key).body(body),
        }
    }
}

impl Streaming {
    /// The next event. `None` at the end of the stream, which may come before `[DONE]` when a server dies.
    ///
    /// Errors: the connection breaks, or an event is not JSON.
    pub async fn next(&mut self) -> Outcome<Option<Value>> {
        loop {
            while let Some(event) = self.take_event()? {
                if event == "[DONE]" {
                    self.received.is_done = true;
                    continue;
                }
                let value: Value = serde_json::from_str(&event)
                    .map_err(|source| HarnessError::Json { text: event, source })?;
                self.received.read(&value);
                return Ok(Some(value));
            }
            match self.body.next().await {
                Some(part) => self.unread.extend_from_slice(&part?),
                None => return Ok(None),
            }
        }
    }

    /// Reads to the end and gives all that was received.
    ///
    /// Errors: as [`Self::next`].
    pub async fn finish(mut self) -> Outcome<TokenText> {
        while self.next().await?.is_some() {}
        Ok(self.received)
    }

    /// A header as text, empty when it is not there.
    pub fn header(&self, name: &str) -> &str {
        header(&self.headers, name)
    }

    /// Takes one whole event's data from what has arrived.
    fn take_event(&mut self) -> Outcome<Option<String>> {
        while let Some(end) = self.unread.windows(2).position(|pair| pair == b"\n\n") {
            let event: Vec<u8> = self.unread.drain(..end + 2).collect();
            let text = String::from_utf8_lossy(&event[..end]).into_owned();
            match text.strip_prefix("data: ") {
                Some(data) => return Ok(Some(data.to_owned())),
                // A comment, which keeps a silent connection open.
                None if text.starts_with(':') => {}
                None => return Err(HarnessError::NotEvents { text }),
            }
        }
        Ok(None)
    }
}

impl TokenText {
    fn read(&mut self, event: &Value) {
        if let Some(error) = event.get("error") {
            self.error = Some(error.clone());
        }
        if let Some(id) = event["id"].as_str() {
            id.clone_into(&mut self.id);
        }
        if let Some(text) = event["choices"][0]["delta"]["content"].as_str().filter(|text| !text.is_empty()) {
            self.text.push_str(text);
            self.parts += 1;
        }
        if let Some(reason) = event["choices"][0]["finish_reason"].as_str() {
            self.finish_reason = Some(reason.to_owned());
        }
        if let Some(usage) = event.get("usage").filter(|usage| !usage.is_null()) {
            self.usage = Some(usage.clone());
        }
    }
}

fn header<'a>(headers: &'a HeaderMap, name: &str) -> &'a str {
    headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or("")
}
