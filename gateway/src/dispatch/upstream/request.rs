//! The request that an upstream gets: the client's bytes with the few fields changed that are ours to set.
//! Never writes a body anew and never passes a header of the client on: its key stays here.
//! Called by the exchange for each attempt.

use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::Full;
use hyper::{
    Request,
    header::{ACCEPT, ACCEPT_ENCODING, AUTHORIZATION, CONTENT_TYPE, HOST, USER_AGENT},
};
use serde_json::json;

use super::remote_request::RemoteRequest;
use crate::{
    config::OutputBound,
    dispatch::{
        UpstreamCall, UpstreamWork,
        remote::RemoteTarget,
        splice::{Fields, SpliceError},
    },
    node::{CACHE_SCOPE_HEADER, DEADLINE_HEADER, FAIRNESS_KEY_HEADER},
};

/// What we call ourselves.
const OUR_NAME: &str = concat!("tallygate/", env!("CARGO_PKG_VERSION"));

/// How much longer a node may run a request than it has time here, so that its time is over here first.
const DEADLINE_GRACE: Duration = Duration::from_millis(100);

/// Another name of the output bound, llama.cpp's. There it counts more than `max_tokens`, so what is admitted would
/// bind nobody.
const OTHER_BOUND: &str = "n_predict";

/// Words for a latency class that are ours or Anthropic's: a server of OpenAI's form knows none of them.
const OTHER_TIERS: [&str; 4] = ["interactive", "standard", "batch", "standard_only"];

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

/// The body for one target, which knows the output bound by this name; `is_stream` says whether its answer shall be a
/// stream.
///
/// Errors: it is no object, or a field that is to be changed is there twice.
pub(super) fn body(
    work: &UpstreamWork,
    name_there: &str,
    (bound_there, output_tokens_max): (OutputBound, u32),
    is_stream: bool,
) -> Result<Bytes, SpliceError> {
    let fields = Fields::read(&work.body)?;
    let has_other = fields.find(OTHER_BOUND)?.is_some();
    let tier = fields.find("service_tier")?.and_then(|tier| serde_json::from_str::<String>(tier).ok());
    let is_tier_of_others = tier.is_some_and(|tier| OTHER_TIERS.contains(&tier.as_str()));
    let mut splice = fields.splice();
    splice.set("model", json!(name_there).to_string().as_bytes())?;
    if is_tier_of_others {
        splice.remove("service_tier")?;
    }
    if work.call != UpstreamCall::Embeddings {
        let bound = output_tokens_max.to_string();
        // Under one name: some servers take no request with both, others know one of them and would be bound by none.
        let there = if work.call == UpstreamCall::Completions { OutputBound::MaxTokens } else { bound_there };
        splice.remove(there.other().field())?;
        splice.set(there.field(), bound.as_bytes())?;
        if has_other {
            splice.set(OTHER_BOUND, bound.as_bytes())?;
        }
        if is_stream && !work.is_stream {
            splice.set("stream", b"true")?;
        }
        if is_stream {
            splice.set_within("stream_options", "include_usage", b"true")?;
        }
    }
    Ok(Bytes::from(splice.finish()))
}

/// The request for one target.
///
/// Errors: as [`body`].
pub(super) fn request(
    ask: &RemoteRequest,
    target: &RemoteTarget,
    now: Instant,
) -> Result<Request<Full<Bytes>>, RequestError> {
    let (work, is_stream) = (&ask.work, ask.is_stream_from(target));
    let body = body(work, &target.name_there, (target.output_bound, ask.output_tokens_max), is_stream)?;
    let url = target.remote.client.url();
    let path = match work.call {
        UpstreamCall::ChatCompletions => "chat/completions",
        UpstreamCall::Completions => "completions",
        UpstreamCall::Embeddings => "embeddings",
    };
    let accept = if is_stream { "text/event-stream" } else { "application/json" };
    let mut request = Request::post(format!("{}/{path}", url.path))
        .header(HOST, &url.authority)
        .header(CONTENT_TYPE, "application/json")
        .header(ACCEPT, accept)
        // What is compressed could not be metered as it comes.
        .header(ACCEPT_ENCODING, "identity")
        .header(USER_AGENT, OUR_NAME)
        .header("x-request-id", &ask.request_id);
    if let Some(signer) = target.remote.credential.signer() {
        let left = ask.deadline.saturating_duration_since(now) + DEADLINE_GRACE;
        request = request
            .header(DEADLINE_HEADER, left.as_millis().to_string())
            .header(FAIRNESS_KEY_HEADER, signer.opaque("fairness key", ask.fairness_key).to_string())
            .header(CACHE_SCOPE_HEADER, signer.opaque("cache scope", ask.cache_scope).to_string());
    }
    let mut request = request.body(Full::new(body))?;
    if let Some(authorization) = target.remote.credential.authorization() {
        request.headers_mut().insert(AUTHORIZATION, authorization);
    }
    Ok(request)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dispatch::Relay;

    /// A call, whether it streams, a body, and the body that is sent to a server that knows the older name.
    fn check(call: UpstreamCall, is_stream: bool, from: &str, to: &str) {
        check_for(OutputBound::MaxTokens, (call, is_stream), from, to);
    }

    fn check_for(bound_there: OutputBound, (call, is_stream): (UpstreamCall, bool), from: &str, to: &str) {
        let work = UpstreamWork {
            call,
            body: Bytes::copy_from_slice(from.as_bytes()),
            is_stream,
            relay: Relay::Forward { include_usage: false },
            prompt_bytes: 0,
            prompts: None,
            images: 0,
            choices: 1,
        };
        let body = body(&work, "org/m", (bound_there, 7), is_stream).expect("an object");
        assert_eq!(String::from_utf8(body.to_vec()).expect("text"), to);
    }

    /// The answer of a node is always a stream, whatever the client asked for.
    #[test]
    fn a_stream_can_be_asked_for_in_its_place() {
        let rows = [
            (
                r#"{"model":"m"}"#,
                r#"{"model":"m","max_tokens":7,"stream":true,"stream_options":{"include_usage":true}}"#,
            ),
            (
                r#"{"model":"m","stream":false,"stream_options":null}"#,
                r#"{"model":"m","stream":true,"stream_options":{"include_usage":true},"max_tokens":7}"#,
            ),
        ];
        for (from, to) in rows {
            let work = UpstreamWork {
                call: UpstreamCall::ChatCompletions,
                body: Bytes::from_static(from.as_bytes()),
                is_stream: false,
                relay: Relay::Parse,
                prompt_bytes: 0,
                prompts: None,
                images: 0,
                choices: 1,
            };
            let body = body(&work, "m", (OutputBound::MaxTokens, 7), true).expect("an object");
            assert_eq!(String::from_utf8(body.to_vec()).expect("text"), to);
        }
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
            r#"{"model":"org/m","stream_options":{"x":1,"include_usage":true},"max_tokens":7}"#,
        );
        check(
            Completions,
            false,
            r#"{"model":"m","max_tokens":null,"max_completion_tokens":9}"#,
            r#"{"model":"org/m","max_tokens":7}"#,
        );
        check(
            Completions,
            false,
            r#"{"model":"m","max_tokens":9,"max_completion_tokens":9}"#,
            r#"{"model":"org/m","max_tokens":7}"#,
        );
        check(
            ChatCompletions,
            false,
            r#"{"model":"m","max_tokens":9,"n_pr\u0065dict":-1}"#,
            r#"{"model":"org/m","max_tokens":7,"n_pr\u0065dict":7}"#,
        );
        check(Embeddings, false, r#"{"model":"m","input":["a"]}"#, r#"{"model":"org/m","input":["a"]}"#);
    }

    #[test]
    fn the_bound_goes_under_the_name_that_the_server_knows() {
        use OutputBound::{MaxCompletionTokens, MaxTokens};
        use UpstreamCall::{ChatCompletions, Completions};
        let older = r#"{"model":"org/m","max_tokens":7}"#;
        let newer = r#"{"model":"org/m","max_completion_tokens":7}"#;
        for asked in [
            r#"{"model":"m"}"#,
            r#"{"model":"m","max_tokens":9}"#,
            r#"{"model":"m","max_completion_tokens":9}"#,
            r#"{"model":"m","max_completion_tokens":9,"max_tokens":9}"#,
            r#"{"model":"m","max_tokens":null,"max_completion_tokens":null}"#,
        ] {
            check_for(MaxTokens, (ChatCompletions, false), asked, older);
            check_for(MaxCompletionTokens, (ChatCompletions, false), asked, newer);
            // Plain completions never had the newer name.
            check_for(MaxCompletionTokens, (Completions, false), asked, older);
        }
    }

    #[test]
    fn only_tiers_of_that_dialect_go_there() {
        let rows = [
            (r#""batch""#, None),
            (r#""b\u0061tch""#, None),
            (r#""standard""#, None),
            (r#""interactive""#, None),
            (r#""standard_only""#, None),
            (r#""flex""#, Some(r#""flex""#)),
            (r#""auto""#, Some(r#""auto""#)),
            ("null", Some("null")),
        ];
        for (tier, expected) in rows {
            let from = format!(r#"{{"service_tier":{tier},"model":"m","max_tokens":9}}"#);
            let told = expected.map_or_else(String::new, |tier| format!(r#""service_tier":{tier},"#));
            let to = format!(r#"{{{told}"model":"org/m","max_tokens":7}}"#);
            check(UpstreamCall::ChatCompletions, false, &from, &to);
        }
    }
}
