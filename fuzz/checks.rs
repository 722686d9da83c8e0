//! What must hold for any bytes that strangers send: nothing panics, and what is read is what was sent.
//! Never looks at timing or memory: the fuzzer does.
//! Called by the fuzz targets and, with the committed corpora, by the gateway's stable tests.

use gateway::{
    authenticate::key,
    dispatch::sse::{SseEvent, SseParser},
    http::{ALL_BODIES, read_body},
};

/// Longest event of the relay's check; the fuzzer's inputs are shorter than the real bound. Unit: bytes.
const EVENT_BYTES_MAX: usize = 512;

/// A body is taken or refused in every dialect, always the same way; a refusal is a 4xx that says something.
pub(crate) fn bodies(input: &[u8]) {
    for kind in ALL_BODIES {
        let first = read_body(kind, input);
        let second = read_body(kind, input);
        assert_eq!(first, second, "{kind:?}: the same body is read in two ways");
        if let Err(error) = first {
            let status = error.status().as_u16();
            assert!((400..500).contains(&status), "{kind:?}: {status}");
            let body = error.to_openai();
            let said = |field: &str| body["error"][field].as_str().is_some_and(|text| !text.is_empty());
            assert!(said("message") && said("code"), "{kind:?}: {body}");
        }
    }
}

/// Events do not depend on how the stream was cut, and joined they are the stream again.
pub fn sse_relay(input: &[u8]) {
    let (cuts, stream) = match input.split_first() {
        Some((&cut, stream)) => (usize::from(cut % 16) + 1, stream),
        None => (1, input),
    };
    let whole = events(stream, stream.len().max(1));
    assert_eq!(whole, events(stream, cuts), "cut into pieces of {cuts} bytes");
    let Ok(whole) = whole else { return };
    let mut rest = stream;
    for (index, event) in whole.iter().enumerate() {
        // The last one may have been cut short and completed; all others are bytes of the stream, in order.
        if index + 1 < whole.len() {
            let at = rest.windows(event.raw.len()).position(|window| window == &event.raw[..]);
            let at = at.expect("an event's bytes came from the stream");
            rest = &rest[at + event.raw.len()..];
        }
        if let Some(data) = &event.data {
            assert!(data.len() <= event.raw.len(), "an event's data is part of it");
        }
    }
}

fn events(stream: &[u8], bytes: usize) -> Result<Vec<SseEvent>, String> {
    let mut parser = SseParser::new(EVENT_BYTES_MAX);
    let mut events = Vec::new();
    for part in stream.chunks(bytes) {
        parser.push(part);
        while let Some(event) = parser.next_event().map_err(|error| error.to_string())? {
            events.push(event);
        }
    }
    events.extend(parser.finish().map_err(|error| error.to_string())?);
    Ok(events)
}

/// A key is its id and its secret and nothing else.
pub(crate) fn keys(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    if let Some((id, secret)) = key::parse(text) {
        assert_eq!(text, format!("{}{id}-{secret}", key::KEY_PREFIX), "something of the key was lost");
        assert!(
            secret.bytes().all(|letter| letter.is_ascii_alphanumeric()),
            "a secret is letters and digits"
        );
        assert_eq!(key::parse(text), Some((id, secret)));
        assert_eq!(key::hash_secret(secret), key::hash_secret(secret));
    }
}
