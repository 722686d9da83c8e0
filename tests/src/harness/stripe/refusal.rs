//! What Stripe answers when it does not do as asked: status, type, code, message and parameter.
//! Never decides when: the objects do.
//! Made by every part of the fake that takes requests.

use serde_json::{Map, Value, json};

/// A refusal, as it is told to the asker.
#[derive(Clone, Debug)]
pub(super) struct Refusal {
    pub(super) status: u16,
    kind: &'static str,
    code: Option<&'static str>,
    message: String,
    param: Option<String>,
    /// Further fields of the error.
    more: Map<String, Value>,
    /// Whether work had begun, so that it is kept under the request's idempotency key.
    pub(super) is_kept: bool,
}

impl Refusal {
    fn new(status: u16, kind: &'static str, message: impl Into<String>) -> Self {
        let message = message.into();
        Self { status, kind, code: None, message, param: None, more: Map::new(), is_kept: false }
    }

    /// A parameter that cannot be taken. Nothing was begun.
    pub(super) fn invalid(param: impl Into<String>, message: impl Into<String>) -> Self {
        Self { param: Some(param.into()), ..Self::new(400, "invalid_request_error", message) }
    }

    /// Parameters that do not fit together. Nothing was begun.
    pub(super) fn unfit(message: impl Into<String>) -> Self {
        Self::new(400, "invalid_request_error", message)
    }

    /// What the state of an object does not allow. That is found out at work, so it is kept.
    pub(super) fn state(message: impl Into<String>) -> Self {
        Self { is_kept: true, ..Self::new(400, "invalid_request_error", message) }
    }

    /// An object named by a path that is not there.
    pub(super) fn missing(name: &str, id: &str, param: &str) -> Self {
        let refusal = Self::invalid(param, format!("No such {name}: '{id}'"));
        Self { status: 404, code: Some("resource_missing"), ..refusal }
    }

    /// An object named by a parameter that is not there.
    pub(super) fn unknown(name: &str, id: &str, param: &str) -> Self {
        Self { status: 400, ..Self::missing(name, id, param) }
    }

    /// The card was declined: real work was done, and it failed.
    pub(super) fn declined(decline_code: &str, payment_intent: &Value) -> Self {
        let message = match decline_code {
            "insufficient_funds" => "Your card has insufficient funds.",
            _ => "Your card was declined.",
        };
        let refusal = Self { is_kept: true, ..Self::new(402, "card_error", message) };
        refusal
            .code("card_declined")
            .with("decline_code", json!(decline_code))
            .with("payment_intent", payment_intent.clone())
    }

    /// A key that is none.
    pub(super) fn unauthenticated(message: impl Into<String>) -> Self {
        Self::new(401, "invalid_request_error", message)
    }

    /// A path there is not.
    pub(super) fn no_such_url(method: &str, path: &str) -> Self {
        let message = format!(
            "Unrecognized request URL ({method}: {path}). Please see https://stripe.com/docs or we can help at \
             https://support.stripe.com/."
        );
        Self::new(404, "invalid_request_error", message)
    }

    /// The same idempotency key, another request.
    pub(super) fn idempotency(message: impl Into<String>) -> Self {
        Self::new(400, "idempotency_error", message)
    }

    /// The same idempotency key, while the first request runs.
    pub(super) fn key_in_use(key: &str) -> Self {
        let message = format!(
            "There is currently another in-progress request using this Idempotent Key (that probably means you \
             submitted twice, and the other request is still going through): {key}. Please try again later."
        );
        Self::new(409, "invalid_request_error", message).code("idempotency_key_in_use")
    }

    /// Too many requests.
    pub(super) fn rate_limited() -> Self {
        Self::new(429, "invalid_request_error", "Request rate limit exceeded.").code("rate_limit")
    }

    /// Another request works on the object.
    pub(super) fn lock_timeout() -> Self {
        let message = "This object cannot be accessed right now because another API request or Stripe process is \
                       currently accessing it. If you see this error intermittently, retry the request.";
        Self::new(429, "invalid_request_error", message).code("lock_timeout")
    }

    /// Stripe broke.
    pub(super) fn broken() -> Self {
        let message =
            "Sorry! There was an error while talking to one of our backends. Support has been notified.";
        Self { is_kept: true, ..Self::new(500, "api_error", message) }
    }

    /// With a code.
    pub(super) fn code(self, code: &'static str) -> Self {
        Self { code: Some(code), ..self }
    }

    /// With a further field.
    fn with(mut self, name: &str, value: Value) -> Self {
        self.more.insert(name.to_owned(), value);
        self
    }

    /// The body of the answer.
    pub(super) fn to_wire(&self) -> Value {
        let mut error = self.more.clone();
        error.insert("type".to_owned(), json!(self.kind));
        error.insert("message".to_owned(), json!(self.message));
        if let Some(code) = self.code {
            error.insert("code".to_owned(), json!(code));
            let page = code.replace('_', "-");
            error.insert("doc_url".to_owned(), json!(format!("https://stripe.com/docs/error-codes/{page}")));
        }
        if let Some(param) = &self.param {
            error.insert("param".to_owned(), json!(param));
        }
        json!({ "error": error })
    }
}
