//! `POST /v1/embeddings`: texts as vectors, by backends that can.
//! Never touches a vector: the answer is what the backend said.
//! Called through `http::configure`.

use actix_web::{HttpRequest, HttpResponse, web};
use bytes::Bytes;
use domain::ModelName;
use serde::Deserialize;
use serde_path_to_error::Path;

use super::{
    answer,
    input::{TEXTS_MAX, TextInput},
};
use crate::{
    app::App,
    dispatch::{EngineWork, PromptList, Relay, UpstreamCall, UpstreamWork},
    http::{ApiError, body, run::Work},
    stream::Failure,
};

/// A checked request for embeddings. Its bytes are kept: a backend gets them as they came.
#[derive(Debug)]
struct EmbeddingsRequest {
    body: Bytes,
    model: ModelName,
    input: TextInput,
}

/// A field that is here cannot be sent twice, so nobody reads another one.
#[derive(Deserialize)]
struct WireEmbeddings {
    model: String,
    input: TextInput,
    encoding_format: Option<String>,
    dimensions: Option<i64>,
    stream: Option<bool>,
}

/// Reads the body of a request for embeddings, for `http::read_body`.
pub(in crate::http) fn read(body: Bytes) -> Result<(), ApiError> {
    EmbeddingsRequest::from_wire(body).map(drop)
}

/// Answers a request for embeddings.
pub(in crate::http) async fn create(
    request: HttpRequest,
    body: web::Payload,
    app: web::Data<App>,
) -> HttpResponse {
    match answer::begin(&request, body, &app, EmbeddingsRequest::from_wire).await {
        // Only forwarded answers have vectors.
        Ok((_, mut running)) => {
            answer::whole(&mut running, |_| ApiError::from_failure(Failure::Engine).to_response()).await
        }
        Err(response) => response,
    }
}

impl EmbeddingsRequest {
    /// Parses and checks a body.
    ///
    /// Errors: the first field that is wrong, by its path.
    fn from_wire(body: Bytes) -> Result<Self, ApiError> {
        let wire: WireEmbeddings = body::parse(&body, Path::to_string)?;
        let model = ModelName::new(wire.model.as_str()).map_err(|_| ApiError::no_model(&wire.model))?;
        let fault = |param: &'static str, why: &str| {
            Err(ApiError::invalid("invalid_value", param, format!("{param}: {why}")))
        };
        let is_empty = match &wire.input {
            TextInput::Texts(texts) => texts.iter().any(String::is_empty),
            TextInput::Tokens { tokens, .. } => *tokens == 0,
        };
        let count = usize::try_from(wire.input.count()).unwrap_or(usize::MAX);
        if is_empty || !(1..=TEXTS_MAX).contains(&count) {
            return fault("input", &format!("must be 1 to {TEXTS_MAX} texts, none of them empty"));
        }
        if !matches!(wire.encoding_format.as_deref(), None | Some("float" | "base64")) {
            return fault("encoding_format", "must be float or base64");
        }
        if wire.dimensions.is_some_and(|dimensions| dimensions < 1) {
            return fault("dimensions", "must be at least 1");
        }
        if wire.stream == Some(true) {
            return fault("stream", "embeddings have no stream");
        }
        Ok(Self { body, model, input: wire.input })
    }
}

impl Work for EmbeddingsRequest {
    fn model(&self) -> &ModelName {
        &self.model
    }

    fn prompt_field(&self) -> &'static str {
        "input"
    }

    fn output_tokens_max(&self) -> Option<u32> {
        Some(0)
    }

    fn engine_work(&self) -> Result<EngineWork, ApiError> {
        let message = format!("model: {} makes text and no embeddings", self.model);
        Err(ApiError::invalid("unsupported_model", "model", message))
    }

    fn upstream_work(&self) -> Result<UpstreamWork, ApiError> {
        Ok(UpstreamWork {
            call: UpstreamCall::Embeddings,
            body: self.body.clone(),
            is_stream: false,
            relay: Relay::Forward { include_usage: false },
            prompt_bytes: self.input.bytes(),
            prompts: Some(PromptList {
                count: self.input.count(),
                longest_bytes: self.input.longest_bytes(),
            }),
            images: 0,
            choices: 1,
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn read(extra: &Value) -> Result<EmbeddingsRequest, ApiError> {
        let mut body = json!({"model": "m", "input": "hi"});
        for (name, value) in extra.as_object().expect("an object") {
            body[name] = value.clone();
        }
        EmbeddingsRequest::from_wire(Bytes::from(body.to_string()))
    }

    #[test]
    fn texts_and_tokens_go_to_backends_only() {
        let rows = [
            (json!({}), 2),
            (json!({"input": ["a", "bc"], "encoding_format": "base64", "dimensions": 256, "user": "u"}), 3),
            (json!({"input": [1, 2, 3], "encoding_format": "float", "dimensions": null}), 12),
            (json!({"input": [[1], [2, 3]]}), 12),
            (json!({"input": vec!["a"; 2_048]}), 2_048),
        ];
        for (extra, bytes) in rows {
            let request = read(&extra).unwrap_or_else(|error| panic!("{extra}: {error:?}"));
            let work = request.upstream_work().expect("a backend may do it");
            assert_eq!((work.prompt_bytes, work.call), (bytes, UpstreamCall::Embeddings), "{extra}");
            assert_eq!((work.body, request.output_tokens_max()), (request.body.clone(), Some(0)));
            let refused = request.engine_work().expect_err("no engine of ours");
            assert_eq!((refused.code(), refused.param()), ("unsupported_model", Some("model")));
        }
    }

    #[test]
    fn bad_fields_are_named() {
        let rows = [
            (json!({"model": null}), "model"),
            (json!({"input": null}), "input"),
            (json!({"input": ""}), "input"),
            (json!({"input": []}), "input"),
            (json!({"input": [[]]}), "input"),
            (json!({"input": ["a", ""]}), "input"),
            (json!({"input": ["a", 1]}), "input"),
            (json!({"input": {"text": "a"}}), "input"),
            (json!({"input": vec!["a"; 2_049]}), "input"),
            (json!({"encoding_format": "hex"}), "encoding_format"),
            (json!({"dimensions": 0}), "dimensions"),
            (json!({"stream": true}), "stream"),
        ];
        for (extra, param) in rows {
            let error = read(&extra).expect_err(&extra.to_string());
            assert_eq!((error.status().as_u16(), error.param()), (400, Some(param)), "{extra:.80}");
        }
    }
}
