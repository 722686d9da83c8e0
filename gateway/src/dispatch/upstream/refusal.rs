//! What an upstream's failure means: the client's fault, ours, or one that another target may not have.
//! Never shows a client what it must not see: keys, addresses and names of upstreams are left out.
//! Called by the exchange; `http` turns a refusal into an error of the caller's dialect.

use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;

/// Longest message of an upstream that a client is shown. Unit: characters.
const MESSAGE_CHARS_MAX: usize = 500;
/// Longest body of an error that is read. Unit: bytes.
pub(super) const ERROR_BYTES_MAX: usize = 64 * 1_024;
/// Longest wait that an upstream may tell a client; clients give up on longer ones.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(120);

/// Why no target answered a request, as its client is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// What kind of failure it is.
    pub kind: RefusalKind,
    /// What the upstream says, where a client may see it.
    pub message: Option<String>,
    /// The field that the upstream finds wrong.
    pub param: Option<String>,
    /// When to try again.
    pub retry_after: Option<Duration>,
}

/// What kind of failure a refusal is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RefusalKind {
    /// The upstream finds the request wrong: 400 or 422.
    Invalid,
    /// The upstream finds the request too large: 413.
    TooLarge,
    /// The upstream does not take our credential.
    Credential,
    /// The upstream does not know what we configured: a model, a path.
    Misconfigured,
    /// The upstream has no room.
    Overloaded,
    /// The upstream failed, or is not to be reached.
    Unavailable,
    /// The upstream did not answer in time.
    Timeout,
    /// No upstream is to be asked now: all are down or failing.
    NoTarget,
}

impl RefusalKind {
    /// Whether another target may do better.
    pub fn is_retryable(self) -> bool {
        match self {
            Self::Invalid | Self::TooLarge => false,
            Self::Credential
            | Self::Misconfigured
            | Self::Overloaded
            | Self::Unavailable
            | Self::Timeout
            | Self::NoTarget => true,
        }
    }

    /// Whether it is a sign that the target is broken.
    pub fn is_breaking(self) -> bool {
        match self {
            // A full queue is empty again soon.
            Self::Invalid | Self::TooLarge | Self::Overloaded | Self::NoTarget => false,
            Self::Credential | Self::Misconfigured | Self::Unavailable | Self::Timeout => true,
        }
    }
}

impl Refusal {
    pub(super) fn new(kind: RefusalKind) -> Self {
        Self { kind, message: None, param: None, retry_after: None }
    }

    /// What came is not what an OpenAI-compatible server sends.
    pub(super) fn nonsense() -> Self {
        Self::new(RefusalKind::Unavailable)
    }
}

/// What an error of OpenAI's form says.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct WireError {
    message: Option<Value>,
    param: Option<Value>,
    code: Option<Value>,
    detail: Option<Value>,
    error: Option<Value>,
}

/// What an error status means.
///
/// `hidden` are texts that no client may see: if the message has one, the client gets none of it.
pub(super) fn of_status(status: u16, retry_after: Option<&str>, body: &[u8], hidden: &[&str]) -> Refusal {
    let kind = kind_of(status);
    let mut refusal = Refusal::new(kind);
    if !kind.is_retryable() {
        let error: WireError = serde_json::from_slice(body).unwrap_or_default();
        read_texts(&mut refusal, error, hidden);
    }
    if kind == RefusalKind::Overloaded {
        let seconds = retry_after.and_then(|text| text.trim().parse().ok()).map(Duration::from_secs);
        refusal.retry_after = seconds.map(|wait| wait.min(RETRY_AFTER_MAX));
    }
    refusal
}

/// What an error within a stream means: its code tells a status in the forms of vLLM and SGLang.
pub(super) fn of_event(error: &Value) -> Refusal {
    let status = error.get("code").and_then(Value::as_u64).and_then(|code| u16::try_from(code).ok());
    Refusal::new(kind_of(status.unwrap_or(500)))
}

/// What the data of an event means that is an error as a whole, or has one.
pub(super) fn of_data(data: &[u8]) -> Refusal {
    let data: Value = serde_json::from_slice(data).unwrap_or_default();
    of_event(data.get("error").filter(|error| !error.is_null()).unwrap_or(&data))
}

fn kind_of(status: u16) -> RefusalKind {
    match status {
        400 | 422 => RefusalKind::Invalid,
        413 => RefusalKind::TooLarge,
        401 | 403 => RefusalKind::Credential,
        408 | 504 => RefusalKind::Timeout,
        429 | 503 | 529 => RefusalKind::Overloaded,
        status if (300..500).contains(&status) => RefusalKind::Misconfigured,
        _ => RefusalKind::Unavailable,
    }
}

fn read_texts(refusal: &mut Refusal, error: WireError, hidden: &[&str]) {
    let inner = match error.error {
        Some(Value::String(message)) => {
            WireError { message: Some(Value::String(message)), ..WireError::default() }
        }
        Some(inner @ Value::Object(_)) => serde_json::from_value(inner).unwrap_or_default(),
        _ => error,
    };
    let text = |value: Option<Value>| match value {
        Some(Value::String(text)) => Some(text),
        _ => None,
    };
    let shown = |text: String| {
        let clean: String = text.chars().filter(|c| !c.is_control()).take(MESSAGE_CHARS_MAX).collect();
        let is_hidden = hidden.iter().any(|secret| !secret.is_empty() && text.contains(secret));
        (!is_hidden && !clean.is_empty()).then_some(clean)
    };
    refusal.message = text(inner.message).or_else(|| text(inner.detail)).and_then(shown);
    refusal.param = text(inner.param).and_then(shown);
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_status_says_whose_fault_it_is() {
        use RefusalKind::{Credential, Invalid, Misconfigured, Overloaded, Timeout, TooLarge, Unavailable};
        let rows = [
            (301, Misconfigured),
            (400, Invalid),
            (401, Credential),
            (402, Misconfigured),
            (403, Credential),
            (404, Misconfigured),
            (405, Misconfigured),
            (408, Timeout),
            (413, TooLarge),
            (422, Invalid),
            (429, Overloaded),
            (500, Unavailable),
            (502, Unavailable),
            (503, Overloaded),
            (504, Timeout),
            (101, Unavailable),
            (999, Unavailable),
        ];
        for (status, kind) in rows {
            assert_eq!(of_status(status, None, b"", &[]).kind, kind, "{status}");
        }
    }

    /// A body of a 400 and what the client is shown of it.
    fn check(body: &str, message: Option<&str>, param: Option<&str>) {
        let refusal = of_status(400, None, body.as_bytes(), &["sk-secret", "10.0.0.7:8000"]);
        assert_eq!((refusal.message.as_deref(), refusal.param.as_deref()), (message, param), "{body}");
    }

    #[test]
    fn clients_see_the_message_and_nothing_else() {
        check(
            r#"{"error":{"message":"too hot","param":"temperature","code":400}}"#,
            Some("too hot"),
            Some("temperature"),
        );
        check(r#"{"object":"error","message":"too hot","code":400}"#, Some("too hot"), None);
        check(r#"{"error":"too hot"}"#, Some("too hot"), None);
        check(r#"{"detail":"too hot"}"#, Some("too hot"), None);
        check(r#"{"error":{"message":"a\u0000b\nc"}}"#, Some("abc"), None);
        check(r#"{"error":{"message":"key sk-secret is bad"}}"#, None, None);
        check(r#"{"error":{"message":"http://10.0.0.7:8000/v1 says no"}}"#, None, None);
        for nothing in
            ["", "<html>no</html>", "[]", "7", r#"{"error":7}"#, r#"{"error":{"message":""}}"#, "\u{0}"]
        {
            check(nothing, None, None);
        }
        let long = json!({"error": {"message": "é".repeat(10_000)}}).to_string();
        let refusal = of_status(400, None, long.as_bytes(), &[]);
        assert_eq!(refusal.message.map(|message| message.chars().count()), Some(MESSAGE_CHARS_MAX));
        let refusal = of_status(500, None, br#"{"error":{"message":"stack trace"}}"#, &[]);
        assert_eq!(refusal.message, None, "an upstream's own failures are not shown");
    }

    #[test]
    fn waits_are_passed_on_within_bounds() {
        let rows = [
            (Some("7"), Some(7)),
            (Some(" 0 "), Some(0)),
            (Some("9999"), Some(120)),
            (Some("Wed, 21 Oct 2026 07:28:00 GMT"), None),
            (Some("-1"), None),
            (None, None),
        ];
        for (header, seconds) in rows {
            let refusal = of_status(429, header, b"", &[]);
            assert_eq!(refusal.retry_after, seconds.map(Duration::from_secs), "{header:?}");
        }
        assert_eq!(of_status(400, Some("7"), b"", &[]).retry_after, None);
    }

    #[test]
    fn errors_within_a_stream_are_judged_by_their_code() {
        let rows = [
            (json!({"message": "x", "code": 400}), RefusalKind::Invalid),
            (json!({"message": "x", "code": "400"}), RefusalKind::Unavailable),
            (json!({"message": "x"}), RefusalKind::Unavailable),
            (json!("x"), RefusalKind::Unavailable),
            (json!({"code": 70_000}), RefusalKind::Unavailable),
        ];
        for (error, kind) in rows {
            assert_eq!(of_event(&error).kind, kind, "{error}");
        }
    }
}
