//! An operator at the admin API, who sees everything it sends: status, headers, bodies.
//! Never retries and never hides an error status.
//! Made by `Server::admin`.

use std::time::Duration;

use reqwest::Method;
use serde_json::Value;

use super::{Answer, HarnessError, Outcome};

/// Every answer comes from the ledger; on a busy machine it takes a while.
const ANSWER_MAX: Duration = Duration::from_secs(60);

/// A client with one operator token.
#[derive(Clone, Debug)]
pub struct Admin {
    client: reqwest::Client,
    base_url: String,
    token: String,
}

impl Admin {
    /// A client of the admin API at this base URL, which ends in `/admin/v1`.
    pub fn new(base_url: &str, token: &str) -> Self {
        Self { client: reqwest::Client::new(), base_url: base_url.to_owned(), token: token.to_owned() }
    }

    /// Asks for a path below the base.
    ///
    /// Errors: no answer. An error status is an answer.
    pub async fn get(&self, path: &str) -> Outcome<Answer> {
        self.send(Method::GET, path, None).await
    }

    /// Posts a JSON body; null sends none.
    ///
    /// Errors: as [`Self::get`].
    pub async fn post(&self, path: &str, body: &Value) -> Outcome<Answer> {
        self.send(Method::POST, path, Some(body)).await
    }

    /// Changes what a path names.
    ///
    /// Errors: as [`Self::get`].
    pub async fn patch(&self, path: &str, body: &Value) -> Outcome<Answer> {
        self.send(Method::PATCH, path, Some(body)).await
    }

    /// Any request; a body that is no JSON becomes a JSON text.
    ///
    /// Errors: as [`Self::get`].
    pub async fn send(&self, method: Method, path: &str, body: Option<&Value>) -> Outcome<Answer> {
        let mut request = self.client.request(method, format!("{}{path}", self.base_url)).timeout(ANSWER_MAX);
        if !self.token.is_empty() {
            request = request.bearer_auth(&self.token);
        }
        if let Some(body) = body.filter(|body| !body.is_null()) {
            request = request.json(body);
        }
        Self::answered(request).await
    }

    /// Posts a text of any media type, with further headers.
    ///
    /// Errors: as [`Self::get`].
    pub async fn post_as(
        &self,
        path: &str,
        media_type: &str,
        headers: &[(&str, &str)],
        text: &str,
    ) -> Outcome<Answer> {
        let url = format!("{}{path}", self.base_url);
        let request = self.client.post(url).timeout(ANSWER_MAX).bearer_auth(&self.token);
        let request = request.header("content-type", media_type).body(text.to_owned());
        let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
        Self::answered(request).await
    }

    async fn answered(request: reqwest::RequestBuilder) -> Outcome<Answer> {
        let answer = request.send().await?;
        let (status, headers) = (answer.status(), answer.headers().clone());
        let is_json = headers.get("content-type").is_some_and(|kind| kind.as_bytes() == b"application/json");
        let text = answer.text().await?;
        let body = match is_json {
            true => serde_json::from_str(&text).map_err(|source| HarnessError::Json { text, source })?,
            false => Value::String(text),
        };
        Ok(Answer { status, headers, body })
    }
}
