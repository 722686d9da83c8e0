//! The request that an upstream gets: the client's bytes with the few fields changed that are ours to set.
//! Never writes a body anew and never passes a header of the client on: its key stays here.
//! Called by the exchange for each attempt.

use bytes::Bytes;
use http_body_util::Full;
use hyper::{
    Request,
    header::{ACCEPT, ACCEPT_ENCODING, AUTHORIZATION, CONTENT_TYPE, HOST, HeaderValue, USER_AGENT},
};
use serde_json::json;

use crate::dispatch::{
    UpstreamCall, UpstreamWork,
    remote::RemoteTarget,
    splice::{Fields, SpliceError},
};

/// What we call ourselves.
const OUR_NAME: &str = concat!("tallygate/", env!("CARGO_PKG_VERSION"));

/// Why a request cannot be sent.
#[derive(Debug, thiserror::Error)]
pub(super) enum RequestError {
    /// The body cannot be changed.
    #[error(transparent)]
    Splice(#[from] SpliceError),
    /// A part of it is no HTTP.
    #[error(transparent)]
    Http(#[from] hyper::http::Error),
}

/// The body for one target.
///
/// Errors: it is no object, or a field that is to be changed is there twice.
pub(super) fn body(
    work: &UpstreamWork,
    name_there: &str,
    output_tokens_max: u32,
) -> Result<Bytes, SpliceError> {
    let fields = Fields::read(&work.body)?;
    let is_newer = fields.find("max_completion_tokens")?.is_some_and(|value| value != "null");
    let is_older = fields.find("max_tokens")?.is_some_and(|value| value != "null");
    let mut splice = fields.splice();
    splice.set("model", json!(name_there).to_string().as_bytes())?;
    if work.call != UpstreamCall::Embeddings {
        let bound = output_tokens_max.to_string();
        if is_newer {
            splice.set("max_completion_tokens", bound.as_bytes())?;
        }
        // The older name is the one that every server knows.
        if is_older || !is_newer {
            splice.set("max_tokens", bound.as_bytes())?;
        }
        if work.is_stream {
            splice.set_within("stream_options", "include_usage", b"true")?;
        }
    }
    Ok(Bytes::from(splice.finish()))
}

/// The request for one target.
///
/// Errors: as [`body`].
pub(super) fn request(
    work: &UpstreamWork,
    target: &RemoteTarget,
    output_tokens_max: u32,
    request_id: &str,
) -> Result<Request<Full<Bytes>>, RequestError> {
    let body = body(work, &target.name_there, output_tokens_max)?;
    let url = target.remote.client.url();
    let path = match work.call {
        UpstreamCall::ChatCompletions => "chat/completions",
        UpstreamCall::Completions => "completions",
        UpstreamCall::Embeddings => "embeddings",
    };
    let accept = if work.is_stream { "text/event-stream" } else { "application/json" };
    let mut request = Request::post(format!("{}/{path}", url.path))
        .header(HOST, &url.authority)
        .header(CONTENT_TYPE, "application/json")
        .header(ACCEPT, accept)
        // What is compressed could not be metered as it comes.
        .header(ACCEPT_ENCODING, "identity")
        .header(USER_AGENT, OUR_NAME)
        .header("x-request-id", request_id)
        .body(Full::new(body))?;
    if let Some(secret) = &target.remote.secret {
        let mut value =
            HeaderValue::try_from(format!("Bearer {}", secret.0)).map_err(hyper::http::Error::from)?;
        value.set_sensitive(true);
        request.headers_mut().insert(AUTHORIZATION, value);
    }
    Ok(request)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dispatch::Relay;

    /// A call, whether it streams, a body, and the body that is sent.
    fn check(call: UpstreamCall, is_stream: bool, from: &str, to: &str) {
        let work = UpstreamWork {
            call,
            body: Bytes::copy_from_slice(from.as_bytes()),
            is_stream,
            relay: Relay::Forward { include_usage: false },
            prompt_bytes: 0,
            images: 0,
            choices: 1,
        };
        let body = body(&work, "org/m", 7).expect("an object");
        assert_eq!(String::from_utf8(body.to_vec()).expect("text"), to);
    }

    #[test]
    fn only_our_fields_change() {
        use UpstreamCall::{ChatCompletions, Completions, Embeddings};
        check(
            ChatCompletions,
            false,
            r#"{"model":"m", "temperature" : 0.70, "x":{"model":"m"}}"#,
            r#"{"model":"org/m", "temperature" : 0.70, "x":{"model":"m"},"max_tokens":7}"#,
        );
        check(
            ChatCompletions,
            true,
            r#"{"max_tokens":99,"model":"m","stream":true}"#,
            r#"{"max_tokens":7,"model":"org/m","stream":true,"stream_options":{"include_usage":true}}"#,
        );
        check(
            ChatCompletions,
            true,
            r#"{"model":"m","max_completion_tokens":99,"stream_options":{"x":1,"include_usage":false}}"#,
            r#"{"model":"org/m","max_completion_tokens":7,"stream_options":{"x":1,"include_usage":true}}"#,
        );
        check(
            Completions,
            false,
            r#"{"model":"m","max_tokens":null,"max_completion_tokens":9}"#,
            r#"{"model":"org/m","max_tokens":null,"max_completion_tokens":7}"#,
        );
        check(
            Completions,
            false,
            r#"{"model":"m","max_tokens":9,"max_completion_tokens":9}"#,
            r#"{"model":"org/m","max_tokens":7,"max_completion_tokens":7}"#,
        );
        check(Embeddings, false, r#"{"model":"m","input":["a"]}"#, r#"{"model":"org/m","input":["a"]}"#);
    }
}
