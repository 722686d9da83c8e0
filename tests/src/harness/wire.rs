//! A plain HTTP client of one server: any path, any body, whole answers and streams as the bytes that came.
//! Never retries and never hides an error status.
//! Made by `Server::wire`.

use std::time::Duration;

use reqwest::{Method, StatusCode, header::HeaderMap};
use serde_json::Value;

use super::{Answer, HarnessError, Outcome};

/// No answer of a test's model takes longer, on a busy machine either.
const ANSWER_MAX: Duration = Duration::from_secs(120);

/// A client with one key.
#[derive(Clone, Debug)]
pub struct Wire {
    client: reqwest::Client,
    base_url: String,
    key: String,
}

/// An answer as the text that came.
#[derive(Clone, Debug)]
pub struct TextAnswer {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub text: String,
}

impl Wire {
    /// A client of the server at this base URL, which ends in `/v1`.
    pub fn new(base_url: &str, key: &str) -> Self {
        Self { client: reqwest::Client::new(), base_url: base_url.to_owned(), key: key.to_owned() }
    }

    /// Posts JSON and reads the answer as text: a stream with all its framing.
    ///
    /// Errors: no answer. An error status is an answer.
    pub async fn text(&self, path: &str, body: &Value) -> Outcome<TextAnswer> {
        self.ask(Method::POST, path, Some(body)).await
    }

    /// Posts JSON and reads the answer as JSON.
    ///
    /// Errors: no answer, or one that is not JSON. An error status is an answer.
    pub async fn post(&self, path: &str, body: &Value) -> Outcome<Answer> {
        self.ask(Method::POST, path, Some(body)).await?.json()
    }

    /// Asks without a body and reads the answer as JSON.
    ///
    /// Errors: as [`Self::post`].
    pub async fn bare(&self, method: Method, path: &str) -> Outcome<Answer> {
        self.ask(method, path, None).await?.json()
    }

    async fn ask(&self, method: Method, path: &str, body: Option<&Value>) -> Outcome<TextAnswer> {
        let url = format!("{}{path}", self.base_url);
        let request = self.client.request(method, url).bearer_auth(&self.key).timeout(ANSWER_MAX);
        let request = match body {
            Some(body) => request.json(body),
            None => request,
        };
        let answer = request.send().await?;
        let (status, headers) = (answer.status(), answer.headers().clone());
        Ok(TextAnswer { status, headers, text: answer.text().await? })
    }
}

impl TextAnswer {
    /// The answer as JSON.
    ///
    /// Errors: it is none.
    pub fn json(self) -> Outcome<Answer> {
        let Self { status, headers, text } = self;
        let body = serde_json::from_str(&text).map_err(|source| HarnessError::Json { text, source })?;
        Ok(Answer { status, headers, body })
    }

    /// The data of each event, comments left out; `[DONE]` as a text.
    ///
    /// Errors: an event is no JSON.
    pub fn events(&self) -> Outcome<Vec<Value>> {
        let mut events = Vec::new();
        for event in self.text.split_terminator("\n\n") {
            let Some(data) = event.lines().find_map(|line| line.strip_prefix("data: ")) else { continue };
            events.push(match data {
                "[DONE]" => Value::from(data),
                data => serde_json::from_str(data)
                    .map_err(|source| HarnessError::Json { text: data.to_owned(), source })?,
            });
        }
        Ok(events)
    }
}
