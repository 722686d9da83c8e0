//! In which of the three forms of the HTTP binding a request carries CloudEvents, and the attributes that are in headers.
//! Never an attribute's own rules: billing has those.
//! Called by `usage_events`.

use actix_web::http::header::{CONTENT_TYPE, HeaderMap};

use crate::http::ApiError;

/// What headers of a CloudEvent begin with.
const HEADER_PREFIX: &str = "ce-";

/// How a request carries its events.
pub(super) enum Form {
    One,
    Batch,
    /// One, its attributes in headers and its data in the body.
    Headers {
        attributes: Vec<(String, String)>,
        media_type: Option<String>,
    },
}

impl Form {
    /// Told by the media type, as the HTTP binding of CloudEvents has it.
    ///
    /// Errors: no event in any of the forms.
    pub(super) fn of(headers: &HeaderMap) -> Result<Self, ApiError> {
        let stated = headers.get(CONTENT_TYPE).map(|value| value.to_str().unwrap_or("\u{fffd}"));
        let media_type = stated.map(|stated| stated.split(';').next().unwrap_or_default().trim());
        match media_type.map(str::to_ascii_lowercase).as_deref() {
            Some("application/cloudevents+json") => return Ok(Self::One),
            Some("application/cloudevents-batch+json") => return Ok(Self::Batch),
            Some(other) if other.starts_with("application/cloudevents") => {
                let message = format!("content-type: {other} is not read; events come as JSON");
                return Err(ApiError::invalid("unsupported_event_form", "content-type", message));
            }
            Some(_) | None => {}
        }
        let mut attributes = Vec::new();
        for (name, value) in headers {
            let Some(name) = name.as_str().strip_prefix(HEADER_PREFIX) else { continue };
            let unreadable = || {
                let message = format!("{HEADER_PREFIX}{name}: the header is not ASCII; encode it with %");
                ApiError::invalid("invalid_event", name, message)
            };
            let text = value.to_str().map_err(|_| unreadable())?;
            attributes.push((name.to_owned(), decoded(text).ok_or_else(unreadable)?));
        }
        if attributes.is_empty() {
            let message = "send a CloudEvent as application/cloudevents+json, several as \
                           application/cloudevents-batch+json, or one with its attributes in ce- headers";
            return Err(ApiError::invalid("unsupported_event_form", "content-type", message));
        }
        Ok(Self::Headers { attributes, media_type: stated.map(str::to_owned) })
    }
}

/// The text of a header of a CloudEvent: without the quotes around it, and with what is encoded with % decoded once.
/// `None`: what it decodes to is no UTF-8.
fn decoded(text: &str) -> Option<String> {
    let quoted = text.strip_prefix('"').and_then(|text| text.strip_suffix('"'));
    let plain = match quoted {
        Some(quoted) => {
            let mut is_escaped = false;
            let kept = quoted.chars().filter(|letter| {
                is_escaped = *letter == '\\' && !is_escaped;
                !is_escaped
            });
            kept.collect()
        }
        None => text.to_owned(),
    };
    let (mut bytes, mut rest) = (Vec::with_capacity(plain.len()), plain.as_bytes());
    while let Some((&byte, after)) = rest.split_first() {
        let hex = after.get(..2).filter(|_| byte == b'%').and_then(|hex| std::str::from_utf8(hex).ok());
        let hex = hex.filter(|hex| hex.bytes().all(|digit| digit.is_ascii_hexdigit()));
        match hex.and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            Some(decoded) => {
                bytes.push(decoded);
                rest = after.get(2..).unwrap_or_default();
            }
            None => {
                bytes.push(byte);
                rest = after;
            }
        }
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_decoded_once() {
        let rows = [
            ("plain", Some("plain")),
            ("a%20b", Some("a b")),
            ("%E2%82%AC", Some("€")),
            ("%2520", Some("%20")),
            ("50%", Some("50%")),
            ("%zz%4", Some("%zz%4")),
            ("\"a \\\"b\\\\c\"", Some("a \"b\\c")),
            ("\"%41\"", Some("A")),
            ("%FF", None),
        ];
        for (text, expected) in rows {
            assert_eq!(decoded(text).as_deref(), expected, "{text}");
        }
    }
}
