//! The body of a request: read within bounds, parsed once, its numbers checked.
//! Never knows a dialect's fields; each dialect names its own.
//! Called by the routes and the request parsers of every dialect.

use std::{fmt, marker::PhantomData, time::Duration};

use actix_web::{HttpRequest, http::header::CONTENT_LENGTH, web};
use serde::{
    Deserialize, Deserializer,
    de::{DeserializeOwned, MapAccess, Visitor, value::MapAccessDeserializer},
};
use serde_path_to_error::Path;

use super::{
    ApiError,
    encoding::{Coding, DecodeError},
    json,
};

/// A body that has not arrived by then is given up. Slow uplinks send a megabyte in it.
const WAIT_MAX: Duration = Duration::from_secs(30);

/// What serde says of a field that a type which takes no others does not have.
const UNKNOWN_FIELD: &str = "unknown field";

/// A JSON object; serde would read a struct from an array as well.
pub(in crate::http) struct Object<T>(pub(in crate::http) T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        struct ObjectVisitor<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for ObjectVisitor<T> {
            type Value = Object<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Object<T>, A::Error> {
                T::deserialize(MapAccessDeserializer::new(map)).map(Object)
            }
        }
        input.deserialize_map(ObjectVisitor(PhantomData))
    }
}

/// Reads the whole body, decoded, within its bounds.
///
/// Errors: it is too large as it comes or decoded, comes too slowly, breaks off, does not decode, or has a shape that
/// would be costly to parse.
pub(in crate::http) async fn read(
    request: &HttpRequest,
    body: web::Payload,
    bytes_max: u32,
) -> Result<web::Bytes, ApiError> {
    let coding = Coding::of(request.headers())?;
    let read = receive(request, body, bytes_max).await?;
    let limit = bytes_of(bytes_max);
    let bytes = match coding {
        None => read,
        // Beside the connections of this thread, which would wait for it.
        Some(coding) => match web::block(move || coding.decode(&read, limit)).await {
            Ok(Ok(bytes)) => web::Bytes::from(bytes),
            Ok(Err(DecodeError::TooLarge)) => return Err(ApiError::too_large(bytes_max)),
            Ok(Err(DecodeError::Broken)) | Err(_) => return Err(ApiError::undecodable()),
        },
    };
    json::check_shape(&bytes)?;
    Ok(bytes)
}

/// Reads the whole body as it comes.
///
/// Errors: it is too large, comes too slowly, or breaks off.
pub(in crate::http) async fn receive(
    request: &HttpRequest,
    body: web::Payload,
    bytes_max: u32,
) -> Result<web::Bytes, ApiError> {
    let stated = request.headers().get(CONTENT_LENGTH).and_then(|value| value.to_str().ok());
    if stated.and_then(|text| text.parse::<u64>().ok()).is_some_and(|bytes| bytes > u64::from(bytes_max)) {
        return Err(ApiError::too_large(bytes_max));
    }
    match tokio::time::timeout(WAIT_MAX, body.to_bytes_limited(bytes_of(bytes_max))).await {
        Ok(Ok(Ok(bytes))) => Ok(bytes),
        Ok(Err(_)) => Err(ApiError::too_large(bytes_max)),
        Ok(Ok(Err(_))) => Err(ApiError::broken_off()),
        Err(_) => Err(ApiError::unread()),
    }
}

fn bytes_of(bytes_max: u32) -> usize {
    usize::try_from(bytes_max).unwrap_or(usize::MAX)
}

/// Parses a body that is one JSON object; `path_text` writes a field's path as the dialect does.
///
/// Errors: the first field that cannot be read, by its path.
pub(in crate::http) fn parse<T: DeserializeOwned>(
    body: &[u8],
    path_text: fn(&Path) -> String,
) -> Result<T, ApiError> {
    let mut input = serde_json::Deserializer::from_slice(body);
    let Object(wire): Object<T> = serde_path_to_error::deserialize(&mut input).map_err(|error| {
        let path = error.path().to_string();
        let is_syntax = path == "." || path == "?";
        let path = path_text(error.path());
        let message = error.into_inner().to_string();
        if let Some(name) = missing_field(&message).filter(|_| is_syntax) {
            return missing(name);
        }
        if is_syntax {
            let message = format!("the body is not a valid request: {message}");
            return ApiError::invalid("invalid_json", "", message);
        }
        match message.starts_with(UNKNOWN_FIELD) {
            true => {
                let message = format!("{path}: Extra inputs are not permitted");
                ApiError::invalid("unknown_field", path, message)
            }
            false => ApiError::invalid("invalid_value", path.clone(), format!("{path}: {message}")),
        }
    })?;
    input.end().map_err(|error| {
        ApiError::invalid("invalid_json", "", format!("the body goes on after its end: {error}"))
    })?;
    Ok(wire)
}

/// A field that must be there and is not.
pub(in crate::http) fn missing(name: &str) -> ApiError {
    ApiError::invalid("missing_required_parameter", name, format!("{name}: is required"))
}

/// The field that a message of the parser misses.
fn missing_field(message: &str) -> Option<&str> {
    message.strip_prefix("missing field `")?.split('`').next()
}

/// A number within two bounds, both included.
pub(in crate::http) fn between(
    param: &'static str,
    value: Option<f32>,
    from: f32,
    to: f32,
) -> Result<Option<f32>, ApiError> {
    match value {
        Some(value) if !(from..=to).contains(&value) => {
            let message = format!("{param}: {value} is not between {from} and {to}");
            Err(ApiError::invalid("invalid_value", param, message))
        }
        value => Ok(value),
    }
}

/// A whole number of at least one.
pub(in crate::http) fn whole(param: &'static str, count: i64) -> Result<u32, ApiError> {
    u32::try_from(count).ok().filter(|count| *count >= 1).ok_or_else(|| {
        let message = format!("{param}: {count} is not between 1 and {}", u32::MAX);
        ApiError::invalid("invalid_value", param, message)
    })
}
