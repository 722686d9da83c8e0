//! A client of `/v1/messages` that shows everything a server sends: status, headers, bodies, every single event.
//! Never retries and never hides an error status.
//! Made by `Server::messages`.

use std::time::Duration;

use futures_util::StreamExt;
use reqwest::{StatusCode, header::HeaderMap};
use serde_json::{Value, json};

use super::{Answer, HarnessError, Outcome};

/// No answer of a test's model takes longer, on a busy machine either.
const ANSWER_MAX: Duration = Duration::from_secs(120);

/// A client with the headers it sends.
#[derive(Clone, Debug)]
pub struct Messages {
    client: reqwest::Client,
    base_url: String,
    headers: Vec<(String, String)>,
}

/// One event of a stream.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// What its `event:` line says.
    pub name: String,
    /// Its data.
    pub data: Value,
}

/// A running stream.
pub struct Events {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    body: futures_util::stream::BoxStream<'static, reqwest::Result<Vec<u8>>>,
    unread: Vec<u8>,
}

impl Messages {
    /// A client of the server at this base URL, with a key in `x-api-key`.
    pub fn new(base_url: &str, key: &str) -> Self {
        Self {
            client: reqwest::Client::new(),
            base_url: base_url.to_owned(),
            headers: vec![("x-api-key".to_owned(), key.to_owned())],
        }
    }

    /// The same client with other headers instead.
    #[must_use]
    pub fn with_headers(&self, headers: &[(&str, &str)]) -> Self {
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        Self { headers: headers.iter().map(owned).collect(), ..self.clone() }
    }

    /// Sends a request to a path such as `/messages` and reads the answer whole.
    ///
    /// Errors: no answer, or one that is not JSON. An error status is an answer.
    pub async fn send(&self, path: &str, request: &Value) -> Outcome<Answer> {
        let answer = self.post(path, request).send().await?;
        let (status, headers) = (answer.status(), answer.headers().clone());
        let text = answer.text().await?;
        let body = serde_json::from_str(&text).map_err(|source| HarnessError::Json { text, source })?;
        Ok(Answer { status, headers, body })
    }

    /// Sends a request with `stream: true` and gives the stream as soon as the headers are there.
    ///
    /// Errors: no answer.
    pub async fn stream(&self, request: &Value) -> Outcome<Events> {
        let mut request = request.clone();
        request["stream"] = json!(true);
        let answer = self.post("/messages", &request).send().await?;
        let (status, headers) = (answer.status(), answer.headers().clone());
        let body = answer.bytes_stream().map(|part| part.map(|bytes| bytes.to_vec())).boxed();
        Ok(Events { status, headers, body, unread: Vec::new() })
    }

    fn post(&self, path: &str, request: &Value) -> reqwest::RequestBuilder {
        let post = self.client.post(format!("{}{path}", self.base_url)).timeout(ANSWER_MAX);
        self.headers.iter().fold(post, |post, (name, value)| post.header(name, value)).json(request)
    }
}

impl Events {
    /// The next event; `None` at the end of the stream.
    ///
    /// Errors: the connection breaks, or something is no event with a name and JSON.
    pub async fn next(&mut self) -> Outcome<Option<Event>> {
        loop {
            if let Some(end) = self.unread.windows(2).position(|pair| pair == b"\n\n") {
                let bytes: Vec<u8> = self.unread.drain(..end + 2).collect();
                return parse(&String::from_utf8_lossy(&bytes[..end])).map(Some);
            }
            match self.body.next().await {
                Some(part) => self.unread.extend_from_slice(&part?),
                None if self.unread.is_empty() => return Ok(None),
                None => {
                    let text = String::from_utf8_lossy(&self.unread).into_owned();
                    return Err(HarnessError::NotEvents { text });
                }
            }
        }
    }

    /// All events to the end.
    ///
    /// Errors: as [`Self::next`].
    pub async fn finish(mut self) -> Outcome<Vec<Event>> {
        let mut events = Vec::new();
        while let Some(event) = self.next().await? {
            events.push(event);
        }
        Ok(events)
    }
}

fn parse(text: &str) -> Outcome<Event> {
    let lines = text.split_once('\n');
    let parts =
        lines.and_then(|(name, data)| Some((name.strip_prefix("event: ")?, data.strip_prefix("data: ")?)));
    let (name, data) = parts.ok_or_else(|| HarnessError::NotEvents { text: text.to_owned() })?;
    let data =
        serde_json::from_str(data).map_err(|source| HarnessError::Json { text: data.to_owned(), source })?;
    Ok(Event { name: name.to_owned(), data })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_has_a_name_and_data() {
        let event = parse("event: ping\ndata: {\"type\":\"ping\"}").expect("an event");
        assert_eq!((event.name.as_str(), &event.data["type"]), ("ping", &json!("ping")));
        for text in ["data: {}", "event: ping", "event: ping\ndata: no"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
