//! Answers as they are kept for repeats and given again, and what a repeat is told when there is none to give.
//! Never keeps what belonged to the moment: limits, and when to try again.
//! Called by `once` and by the recorder of streams.

use actix_web::{
    HttpResponse,
    http::{
        StatusCode,
        header::{CACHE_CONTROL, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue},
    },
};
use billing::ledger::{Outcome, StoredAnswer};
use domain::RequestId;

use super::OUTCOME_BYTES_MAX;
use crate::http::{ApiError, headers};

/// Whether an answer is given again.
const REPLAYED: &str = "idempotent-replayed";
/// Whose answer it is.
const FIRST_REQUEST: &str = "idempotent-request-id";
/// What only Tallygate tells begins so.
const OWN_PREFIX: &str = "x-tallygate-";

/// The headers that belong to an answer, as they are kept.
pub(super) fn headers_text(headers: &HeaderMap) -> String {
    let kept = headers.iter().filter(|(name, _)| is_kept(name));
    let pairs: Vec<_> =
        kept.filter_map(|(name, value)| value.to_str().ok().map(|value| (name.as_str(), value))).collect();
    serde_json::json!(pairs).to_string()
}

fn is_kept(name: &HeaderName) -> bool {
    name == CONTENT_TYPE
        || name == CACHE_CONTROL
        || name == "x-accel-buffering"
        || name.as_str().starts_with(OWN_PREFIX)
}

/// What is kept of a whole answer.
pub(super) fn outcome(status: StatusCode, headers: String, body: &[u8]) -> Outcome {
    match body.len() > OUTCOME_BYTES_MAX {
        true => Outcome::TooLarge,
        false => Outcome::Answer(StoredAnswer { status: status.as_u16(), headers, body: body.to_vec() }),
    }
}

/// Marks the first answer to a key.
pub(super) fn set_first(headers: &mut HeaderMap, status: StatusCode) {
    headers::set(headers, REPLAYED, "false");
    spare_retries(headers, status);
}

/// A kept error comes again whenever its key does, so clients need not try.
fn spare_retries(headers: &mut HeaderMap, status: StatusCode) {
    if status.is_client_error() || status.is_server_error() {
        headers::set(headers, "x-should-retry", "false");
    }
}

/// A kept answer, given again.
///
/// Errors: what was kept does not read back.
pub(super) fn repeat(request_id: RequestId, stored: StoredAnswer) -> Result<HttpResponse, ApiError> {
    let lost = || refusal(request_id, &Outcome::Lost);
    let status = StatusCode::from_u16(stored.status).map_err(|_| lost())?;
    let pairs: Vec<(String, String)> = serde_json::from_str(&stored.headers).map_err(|_| lost())?;
    let mut response = HttpResponse::build(status).body(stored.body);
    let answer = response.headers_mut();
    for (name, value) in pairs {
        let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| lost())?;
        answer.insert(name, HeaderValue::from_str(&value).map_err(|_| lost())?);
    }
    headers::set(answer, REPLAYED, "true");
    headers::set(answer, FIRST_REQUEST, &request_id.to_string());
    spare_retries(answer, status);
    Ok(response)
}

/// Why a request that ended has no answer to give again.
pub(super) fn refusal(request_id: RequestId, outcome: &Outcome) -> ApiError {
    let (code, why) = match outcome {
        Outcome::TooLarge => {
            ("idempotency_outcome_too_large", "its answer was too large to be kept for a repeat")
        }
        Outcome::ClientGone => (
            "idempotency_client_gone",
            "its client left before the answer was whole; what was produced is billed once",
        ),
        Outcome::Answer(_) | Outcome::Lost => ("idempotency_outcome_lost", "its answer was not kept"),
    };
    let message =
        format!("request {request_id} has used this Idempotency-Key: {why}; use a new key to run it again");
    ApiError::idempotency_spent(code, message)
}

#[cfg(test)]
mod tests {
    use actix_web::body::MessageBody as _;
    use domain::Timestamp;

    use super::*;

    #[test]
    fn an_answer_reads_back_as_it_was() {
        let first = HttpResponse::Ok()
            .insert_header(("content-type", "text/event-stream; charset=utf-8"))
            .insert_header(("cache-control", "no-cache"))
            .insert_header(("x-tallygate-energy-mj", "17"))
            .insert_header(("x-ratelimit-remaining-requests", "3"))
            .insert_header(("x-request-id", "old"))
            .finish();
        let text = headers_text(first.headers());
        let id = RequestId::generate(Timestamp::from_unix_micros(0));
        let Outcome::Answer(stored) = outcome(StatusCode::OK, text, b"data: \xff\n\n") else {
            panic!("small enough");
        };
        let again = repeat(id, stored).expect("it reads back");
        let header = |name| again.headers().get(name).and_then(|value| value.to_str().ok());
        assert_eq!(header("content-type"), Some("text/event-stream; charset=utf-8"));
        assert_eq!(header("cache-control"), Some("no-cache"));
        assert_eq!(header("x-tallygate-energy-mj"), Some("17"));
        assert_eq!((header("x-ratelimit-remaining-requests"), header("x-request-id")), (None, None));
        assert_eq!((header(REPLAYED), header(FIRST_REQUEST)), (Some("true"), Some(id.to_string().as_str())));
        assert_eq!(again.into_body().try_into_bytes().expect("bytes"), &b"data: \xff\n\n"[..]);
    }

    #[test]
    fn a_kept_error_is_not_worth_a_retry() {
        let id = RequestId::generate(Timestamp::from_unix_micros(0));
        for (code, expected) in [(200, None), (400, Some("false")), (502, Some("false"))] {
            let status = StatusCode::from_u16(code).expect("a status");
            let mut first = HeaderMap::new();
            set_first(&mut first, status);
            let stored = StoredAnswer { status: code, headers: "[]".to_owned(), body: Vec::new() };
            let again = repeat(id, stored).expect("it reads back");
            for headers in [&first, again.headers()] {
                let told = headers.get("x-should-retry").and_then(|value| value.to_str().ok());
                assert_eq!(told, expected, "{code}");
            }
        }
    }

    #[test]
    fn a_large_answer_is_not_kept() {
        let kept = |bytes| outcome(StatusCode::OK, String::new(), &vec![0; bytes]);
        assert!(matches!(kept(OUTCOME_BYTES_MAX), Outcome::Answer(_)));
        assert_eq!(kept(OUTCOME_BYTES_MAX + 1), Outcome::TooLarge);
    }
}
