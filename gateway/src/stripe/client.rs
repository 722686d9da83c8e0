//! Calls to Stripe's API: one request, one answer, at most so many in a second.
//! Never tries again by itself and never logs a body or a key: who calls decides what a failure means.
//! Used by the worker, by whoever makes a page for a tenant, and by reconciling.

use std::time::Duration;

use reqwest::{
    Client as Http, RequestBuilder, Response, Url,
    header::{CONTENT_TYPE, RETRY_AFTER},
    redirect::Policy,
};
use serde::{Deserialize, de::DeserializeOwned};
use stripe_client_core::{StripeMethod, StripeRequest};
use stripe_shared::version::VERSION;

use super::pace::Pace;

/// Longest wait for an answer. Stripe gives up itself after about 80 s; charging a card takes some.
const ANSWER_MAX: Duration = Duration::from_secs(90);
/// Longest wait for a connection.
const CONNECT_MAX: Duration = Duration::from_secs(10);
/// Largest answer. Unit: bytes; a page of a hundred invoices is about one mebibyte.
const ANSWER_BYTES_MAX: usize = 8 * 1_024 * 1_024;
/// The wait after a refusal for too many calls that names none.
const LIMITED_WAIT: Duration = Duration::from_secs(2);
/// Longest text of Stripe's that is repeated. Unit: characters.
const MESSAGE_LENGTH_MAX: usize = 300;

/// Why a call did not do what was asked, or is not known to have.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// No answer came. It may have been done.
    #[error("Stripe did not answer: {0}")]
    Lost(&'static str),
    /// Too many calls.
    #[error("Stripe takes no more calls at the moment")]
    Limited(Duration),
    /// The same call is still running, or another one on the same object.
    #[error("Stripe is still busy with the same call, or with the same object")]
    Busy,
    /// Stripe failed, or was asked something else, and answers so for as long as the key is the same.
    #[error("Stripe repeats an earlier answer with status {0}")]
    Stored(u16),
    /// Stripe failed. It may have been done.
    #[error("Stripe failed with status {0}")]
    Failed(u16),
    /// The card was declined.
    #[error("the payment was declined: {0}")]
    Declined(String),
    /// There is no such object.
    #[error("Stripe has no such object")]
    Missing,
    /// The secret key is not taken.
    #[error("Stripe does not take the secret key (status {0}); see stripe.secret_key")]
    Unauthorized(u16),
    /// Stripe refuses what was asked.
    #[error("Stripe refuses it: {0}")]
    Refused(String),
    /// The answer is no answer of Stripe's.
    #[error("Stripe's answer does not read: {0}")]
    Unreadable(String),
}

/// Stripe's word on a failure.
#[derive(Debug, Default, Deserialize)]
struct Failure {
    #[serde(default)]
    error: FailureBody,
}

#[derive(Debug, Default, Deserialize)]
struct FailureBody {
    #[serde(rename = "type", default)]
    kind: String,
    #[serde(default)]
    code: Option<String>,
    #[serde(default)]
    message: Option<String>,
}

/// What is known of an answer besides its body.
#[derive(Clone, Copy, Debug)]
struct Head {
    status: u16,
    is_replayed: bool,
    retry_after: Option<Duration>,
}

/// A client of Stripe's API. Never shown with its key.
pub struct Client {
    http: Http,
    base: Url,
    secret_key: String,
    pace: Pace,
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client").field("base", &self.base.as_str()).finish_non_exhaustive()
    }
}

impl Client {
    /// A client of the API at this address.
    ///
    /// Errors: no TLS on this machine.
    pub fn new(base: Url, secret_key: String, calls_per_second: u32) -> Result<Self, reqwest::Error> {
        let http = Http::builder()
            .redirect(Policy::none())
            .connect_timeout(CONNECT_MAX)
            .timeout(ANSWER_MAX)
            .user_agent(concat!("tallygate/", env!("CARGO_PKG_VERSION")))
            .build()?;
        Ok(Self { http, base, secret_key, pace: Pace::new(calls_per_second) })
    }

    /// Asks for something.
    ///
    /// Errors: as [`CallError`] says.
    pub async fn get<T: DeserializeOwned>(&self, request: &impl StripeRequest) -> Result<T, CallError> {
        self.call(request, None).await
    }

    /// Changes something, under a key that makes it happen once.
    ///
    /// Errors: as [`CallError`] says.
    pub async fn change<T: DeserializeOwned>(
        &self,
        request: &impl StripeRequest,
        key: &str,
    ) -> Result<T, CallError> {
        self.call(request, Some(key)).await
    }

    /// Asks for something that has no request of its own among Stripe's types.
    ///
    /// Errors: as [`CallError`] says.
    pub async fn read<T: DeserializeOwned>(&self, path: &str) -> Result<T, CallError> {
        let url = self.url(path, None)?;
        self.send(self.http.get(url)).await
    }

    async fn call<T: DeserializeOwned>(
        &self,
        request: &impl StripeRequest,
        key: Option<&str>,
    ) -> Result<T, CallError> {
        let parts = request.build();
        let url = self.url(&parts.path, parts.query.as_deref())?;
        let mut building = match parts.method {
            StripeMethod::Get => self.http.get(url),
            StripeMethod::Post => self.http.post(url),
            StripeMethod::Delete => self.http.delete(url),
        };
        if let Some(key) = key {
            building = building.header("idempotency-key", key);
        }
        if let Some(body) = parts.body {
            building =
                building.header(CONTENT_TYPE, "application/x-www-form-urlencoded").body(in_order(&body));
        }
        self.send(building).await
    }

    fn url(&self, path: &str, query: Option<&str>) -> Result<Url, CallError> {
        let path = format!("v1{path}");
        let url = self.base.join(&path).map_err(|error| CallError::Unreadable(error.to_string()));
        let mut url = url?;
        url.set_query(query.filter(|query| !query.is_empty()));
        Ok(url)
    }

    async fn send<T: DeserializeOwned>(&self, building: RequestBuilder) -> Result<T, CallError> {
        self.pace.turn().await;
        let building = building.bearer_auth(&self.secret_key).header("stripe-version", VERSION.to_string());
        let response = building.send().await.map_err(|error| lost(&error))?;
        let head = Head::of(&response);
        let body = read_body(response).await?;
        if (200..300).contains(&head.status) {
            return serde_json::from_slice(&body).map_err(|error| CallError::Unreadable(error.to_string()));
        }
        let failure: Failure = serde_json::from_slice(&body).unwrap_or_default();
        let error = head.failure(failure.error);
        if let CallError::Limited(wait) = error {
            self.pace.pause(wait).await;
        }
        Err(error)
    }
}

fn lost(error: &reqwest::Error) -> CallError {
    CallError::Lost(match (error.is_connect(), error.is_timeout()) {
        (true, _) => "no connection",
        (false, true) => "not in time",
        (false, false) => "the connection broke off",
    })
}

async fn read_body(mut response: Response) -> Result<Vec<u8>, CallError> {
    let mut body = Vec::new();
    while let Some(piece) = response.chunk().await.map_err(|error| lost(&error))? {
        if body.len() + piece.len() > ANSWER_BYTES_MAX {
            return Err(CallError::Unreadable("it is too large".to_owned()));
        }
        body.extend_from_slice(&piece);
    }
    Ok(body)
}

/// The fields of a form in one order, so that the same request always is the same bytes.
fn in_order(form: &str) -> String {
    let mut fields: Vec<_> = form.split('&').collect();
    fields.sort_unstable();
    fields.join("&")
}

impl Head {
    fn of(response: &Response) -> Self {
        let text = |name: &str| response.headers().get(name).and_then(|value| value.to_str().ok());
        let retry_after = text(RETRY_AFTER.as_str()).and_then(|text| text.parse().ok());
        Self {
            status: response.status().as_u16(),
            is_replayed: text("idempotent-replayed") == Some("true"),
            retry_after: retry_after.map(Duration::from_secs),
        }
    }

    /// What an answer other than a good one means.
    fn failure(self, body: FailureBody) -> CallError {
        let FailureBody { kind, code, message } = body;
        let code = code.unwrap_or_default();
        let message: String = message.unwrap_or_default().chars().take(MESSAGE_LENGTH_MAX).collect();
        let status = self.status;
        match (status, kind.as_str(), code.as_str()) {
            (_, _, "lock_timeout" | "idempotency_key_in_use") => CallError::Busy,
            (429, _, _) => CallError::Limited(self.retry_after.unwrap_or(LIMITED_WAIT)),
            (_, "idempotency_error", _) => CallError::Stored(status),
            (401 | 403, _, _) => CallError::Unauthorized(status),
            (402, _, _) => CallError::Declined(message),
            (404, _, _) => CallError::Missing,
            (500.., _, _) if self.is_replayed => CallError::Stored(status),
            (409 | 500.., _, _) => CallError::Failed(status),
            (_, _, "") => CallError::Refused(message),
            (_, _, code) => CallError::Refused(format!("{code}: {message}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failure(status: u16, kind: &str, code: &str, is_replayed: bool) -> CallError {
        let body = FailureBody {
            kind: kind.to_owned(),
            code: Some(code.to_owned()).filter(|code| !code.is_empty()),
            message: Some("why".to_owned()),
        };
        Head { status, is_replayed, retry_after: None }.failure(body)
    }

    #[test]
    fn failures_are_told_apart() {
        let why = || "why".to_owned();
        let rows = [
            (429, "", "", false, CallError::Limited(LIMITED_WAIT)),
            (429, "", "", true, CallError::Limited(LIMITED_WAIT)),
            (429, "invalid_request_error", "lock_timeout", false, CallError::Busy),
            (409, "idempotency_error", "idempotency_key_in_use", false, CallError::Busy),
            (400, "idempotency_error", "", false, CallError::Stored(400)),
            (500, "api_error", "", false, CallError::Failed(500)),
            (500, "api_error", "", true, CallError::Stored(500)),
            (503, "", "", false, CallError::Failed(503)),
            (409, "", "", false, CallError::Failed(409)),
            (401, "invalid_request_error", "", false, CallError::Unauthorized(401)),
            (402, "card_error", "card_declined", false, CallError::Declined(why())),
            (402, "card_error", "card_declined", true, CallError::Declined(why())),
            (404, "invalid_request_error", "resource_missing", false, CallError::Missing),
            (400, "invalid_request_error", "", false, CallError::Refused(why())),
            (400, "invalid_request_error", "x", true, CallError::Refused("x: why".to_owned())),
        ];
        for (status, kind, code, is_replayed, expected) in rows {
            assert_eq!(failure(status, kind, code, is_replayed), expected, "{status} {kind} {code}");
        }
    }

    #[test]
    fn a_form_has_one_order() {
        assert_eq!(in_order("b=2&a[1]=x&a[0]=y"), "a[0]=y&a[1]=x&b=2");
        assert_eq!(in_order(""), "");
    }
}
