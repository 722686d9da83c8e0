//! Takes a stream of server-sent events apart as it arrives: each event's bytes as they came, and its data.
//! Never reads what the data says and never waits for more than the end of an event.
//! Called by the exchanges with upstreams and nodes; a pure function of the bytes, however they are cut.
//!
//! Source: HTML Living Standard, 9.2.6 "Interpreting an event stream".

use bytes::{Buf as _, Bytes, BytesMut};
use memchr::memchr2;

/// Longest event. A chunk with log probabilities has some kilobytes, a picture in base64 some megabytes;
/// beyond it the upstream is broken, and its memory would be ours. Unit: bytes.
pub const EVENT_BYTES_MAX: usize = 8 * 1_024 * 1_024;

/// What some servers begin their text with.
const BYTE_ORDER_MARK: [u8; 3] = [0xef, 0xbb, 0xbf];

/// One event, or a comment between events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SseEvent {
    /// Exactly what came, line ends included. Every event joined gives the stream, without a byte order mark
    /// at its beginning and without empty lines between events.
    pub raw: Bytes,
    /// The event's name, where it has one.
    pub name: Option<Bytes>,
    /// Its data, several lines joined by line feeds. `None`: a comment.
    pub data: Option<Bytes>,
}

/// Why a stream cannot be read on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SseError {
    /// One event is longer than [`EVENT_BYTES_MAX`], or than the bound it was made with.
    #[error("an event of the stream is longer than {0} bytes")]
    TooLong(usize),
}

/// Where a field's value lies in the event's bytes.
#[derive(Clone, Copy, Debug)]
struct Span {
    from: usize,
    to: usize,
}

/// Finds events in a stream of bytes.
#[derive(Debug)]
pub struct SseParser {
    event_bytes_max: usize,
    /// The bytes of the event that is arriving, and what follows it.
    buffer: BytesMut,
    /// Where the line that is arriving begins.
    line: usize,
    /// No line ends between `line` and here.
    scanned: usize,
    /// The last line ended with a carriage return: a line feed right behind it belongs to it.
    is_after_return: bool,
    /// The event that is arriving has a line.
    is_begun: bool,
    /// The stream's first bytes were looked at.
    is_past_mark: bool,
    name: Option<Span>,
    data: Vec<Span>,
}

impl Default for SseParser {
    fn default() -> Self {
        Self::new(EVENT_BYTES_MAX)
    }
}

impl SseParser {
    /// A parser at the beginning of a stream.
    pub fn new(event_bytes_max: usize) -> Self {
        Self {
            event_bytes_max,
            buffer: BytesMut::new(),
            line: 0,
            scanned: 0,
            is_after_return: false,
            is_begun: false,
            is_past_mark: false,
            name: None,
            data: Vec::new(),
        }
    }

    /// Takes the next bytes of the stream.
    pub fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// The next whole event; `None` until more bytes come.
    ///
    /// Errors: the event is too long; nothing can be read any more.
    pub fn next_event(&mut self) -> Result<Option<SseEvent>, SseError> {
        if !self.is_past_mark && !self.skip_mark() {
            return Ok(None);
        }
        while let Some(at) = memchr2(b'\n', b'\r', self.buffer.get(self.scanned..).unwrap_or_default()) {
            let end = self.scanned + at;
            if let Some(event) = self.take_line(end) {
                return self.checked(event.raw.len()).map(|()| Some(event));
            }
        }
        self.scanned = self.buffer.len();
        self.checked(self.buffer.len()).map(|()| None)
    }

    /// The event that the end of the stream cut short: servers leave out the last empty line, and some the line
    /// end before it. Its bytes get what was left out. Call it once, after the last `next_event`.
    ///
    /// Errors: the event is too long.
    pub fn finish(&mut self) -> Result<Option<SseEvent>, SseError> {
        self.is_past_mark = true;
        if let Some(event) = self.next_event()? {
            return Ok(Some(event));
        }
        if self.is_begun && self.is_after_return && self.line == self.buffer.len() {
            // A line feed behind the carriage return would only be its second half.
            self.buffer.extend_from_slice(b"\n");
            self.begin_line(self.buffer.len());
        }
        self.is_after_return = false;
        for _ in 0..2 {
            let end = self.buffer.len();
            if !self.is_begun && end == self.line {
                return Ok(None);
            }
            self.buffer.extend_from_slice(b"\n");
            if let Some(event) = self.take_line(end) {
                return Ok(Some(event));
            }
        }
        Ok(None)
    }

    /// `false`: too few bytes to know.
    fn skip_mark(&mut self) -> bool {
        let known = self.buffer.len().min(BYTE_ORDER_MARK.len());
        let may_be_mark = self.buffer.get(..known) == BYTE_ORDER_MARK.get(..known);
        if may_be_mark && known < BYTE_ORDER_MARK.len() {
            return false;
        }
        if may_be_mark {
            self.buffer.advance(known);
        }
        self.is_past_mark = true;
        true
    }

    fn checked(&self, length: usize) -> Result<(), SseError> {
        match length <= self.event_bytes_max {
            true => Ok(()),
            false => Err(SseError::TooLong(self.event_bytes_max)),
        }
    }

    /// Takes the line that ends at `end`; gives the event that it ends.
    fn take_line(&mut self, end: usize) -> Option<SseEvent> {
        let is_feed = self.buffer.get(end) == Some(&b'\n');
        if is_feed && self.is_after_return && end == self.line {
            // The second half of a line end whose first half came before it.
            self.is_after_return = false;
            self.begin_line(end + 1);
            return None;
        }
        // Both halves are here: they stay together. Where the second is yet to come nobody waits for it.
        let is_pair = !is_feed && self.buffer.get(end + 1) == Some(&b'\n');
        let next = end + if is_pair { 2 } else { 1 };
        self.is_after_return = !is_feed && !is_pair;
        if end > self.line {
            self.take_field(self.line, end);
            self.begin_line(next);
            return None;
        }
        if !self.is_begun {
            // Empty lines between events say nothing.
            self.buffer.advance(next);
            self.begin_line(0);
            return None;
        }
        let raw = self.buffer.split_to(next).freeze();
        self.begin_line(0);
        Some(self.event(raw))
    }

    fn begin_line(&mut self, at: usize) {
        self.line = at;
        self.scanned = at;
    }

    /// Notes a field's place: `name: value`, the space being optional. A line without a colon is a name alone.
    fn take_field(&mut self, from: usize, to: usize) {
        self.is_begun = true;
        let line = self.buffer.get(from..to).unwrap_or_default();
        let colon = line.iter().position(|byte| *byte == b':');
        let (field, value) = match colon {
            Some(colon) => {
                let space = usize::from(line.get(colon + 1) == Some(&b' '));
                (line.get(..colon).unwrap_or_default(), from + colon + 1 + space)
            }
            None => (line, to),
        };
        match field {
            b"data" => self.data.push(Span { from: value, to }),
            b"event" => self.name = Some(Span { from: value, to }),
            // Comments, `id` and `retry` stay in the bytes; nobody here needs them.
            _ => {}
        }
    }

    fn event(&mut self, raw: Bytes) -> SseEvent {
        self.is_begun = false;
        let name = self.name.take().map(|span| raw.slice(span.from..span.to));
        let spans = std::mem::take(&mut self.data);
        let data = match spans.as_slice() {
            [] => None,
            [span] => Some(raw.slice(span.from..span.to)),
            spans => {
                let lines: Vec<_> = spans.iter().filter_map(|span| raw.get(span.from..span.to)).collect();
                Some(Bytes::from(lines.join(&b'\n')))
            }
        };
        SseEvent { raw, name, data }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Every event's raw bytes and data, the stream being cut into pieces of `size`.
    fn read(stream: &[u8], size: usize) -> Vec<(String, Option<String>)> {
        let mut parser = SseParser::default();
        let mut events = Vec::new();
        let text = |bytes: &Bytes| String::from_utf8_lossy(bytes).into_owned();
        let mut note = |event: &SseEvent| events.push((text(&event.raw), event.data.as_ref().map(text)));
        for piece in stream.chunks(size) {
            parser.push(piece);
            while let Some(event) = parser.next_event().expect("short") {
                note(&event);
            }
        }
        while let Some(event) = parser.finish().expect("short") {
            note(&event);
        }
        events
    }

    /// A stream, and its events' data; however it is cut, the data is the same and no byte is lost.
    fn check(stream: &str, expected: &[Option<&str>]) {
        for size in 1..=stream.len().max(1) {
            let events = read(stream.as_bytes(), size);
            let data: Vec<_> = events.iter().map(|(_, data)| data.as_deref()).collect();
            assert_eq!(data, expected, "{stream:?} in pieces of {size}");
            let joined: String = events.iter().map(|(raw, _)| raw.as_str()).collect();
            let kept = stream.trim_start_matches('\u{feff}').trim_start_matches(['\r', '\n']);
            // What comes behind the whole stream is what its last event lacked.
            assert!(joined.trim_end().starts_with(kept.trim_end()) || kept.contains("\n\n\n"), "{stream:?}");
        }
    }

    #[test]
    fn events_are_found_however_they_are_cut() {
        check("", &[]);
        check("\n\r\n\r", &[]);
        check("data: a\n\n", &[Some("a")]);
        check("data:a\n\ndata:  b\n\n", &[Some("a"), Some(" b")]);
        check("data: a\r\n\r\ndata: b\r\n\r\n", &[Some("a"), Some("b")]);
        check("data: a\r\rdata: b\r\r", &[Some("a"), Some("b")]);
        check("data: a\n\r\ndata: b\r\n\n", &[Some("a"), Some("b")]);
        check("data: a\ndata: b\n\n", &[Some("a\nb")]);
        check("data\n\ndata:\n\n", &[Some(""), Some("")]);
        check(": ping\n\ndata: a\n\n", &[None, Some("a")]);
        check("id: 7\nretry: 10\n\n", &[None]);
        check("event: x\ndata: a\nid: 1\n\n", &[Some("a")]);
        check("\u{feff}data: a\n\n", &[Some("a")]);
        check("data: a\u{feff}\n\n", &[Some("a\u{feff}")]);
        check("data: grüß 🦊\n\ndata: 好\n\n", &[Some("grüß 🦊"), Some("好")]);
        check("data : a\n\n", &[None]);
        check("DATA: a\n\n", &[None]);
        check("data: a\n\n\n\n\ndata: b\n\n", &[Some("a"), Some("b")]);
    }

    #[test]
    fn a_missing_end_is_no_loss() {
        check("data: [DONE]", &[Some("[DONE]")]);
        check("data: [DONE]\n", &[Some("[DONE]")]);
        check("data: [DONE]\r\n", &[Some("[DONE]")]);
        check("data: [DONE]\r", &[Some("[DONE]")]);
        check("data: a\n\n: bye", &[Some("a"), None]);
        check("dat", &[None]);
        let rows = [("data: a", "data: a\n\n"), ("data: a\n", "data: a\n\n"), ("data: a\r", "data: a\r\n\n")];
        for (stream, raw) in rows {
            assert_eq!(read(stream.as_bytes(), 3), [(raw.to_owned(), Some("a".to_owned()))]);
        }
        assert_eq!(read(b"\xef\xbb", 1).len(), 1, "half a mark is a line like any other");
    }

    #[test]
    fn raw_bytes_are_those_that_came() {
        let raw = |stream: &str| read(stream.as_bytes(), 1_000).into_iter().map(|(raw, _)| raw).collect();
        let rows: [(&str, &[&str]); 4] = [
            ("data: a\r\n\r\ndata:b\n\n", &["data: a\r\n\r\n", "data:b\n\n"]),
            (": c\nid: 1\ndata: a\n\n", &[": c\nid: 1\ndata: a\n\n"]),
            ("\n\ndata: a\n\n\n\ndata: b\n\n", &["data: a\n\n", "data: b\n\n"]),
            ("data: a\r\rdata: b\r\r", &["data: a\r\r", "data: b\r\r"]),
        ];
        for (stream, expected) in rows {
            let found: Vec<String> = raw(stream);
            assert_eq!(found, expected, "{stream:?}");
        }
    }

    #[test]
    fn an_event_is_given_as_soon_as_it_ends() {
        for stream in ["data: a\n\n", "data: a\r\n\r\n", "data: a\r\r", "data: a\r\n\r"] {
            let mut parser = SseParser::default();
            parser.push(stream.as_bytes());
            assert!(parser.next_event().expect("short").is_some(), "{stream:?}");
            assert_eq!(parser.next_event(), Ok(None), "{stream:?}");
        }
    }

    #[test]
    fn names_are_read() {
        let mut parser = SseParser::default();
        parser.push(b"event: message_start\ndata: {}\n\ndata: {}\n\n");
        let names: Vec<_> =
            std::iter::from_fn(|| parser.next_event().expect("short")).map(|event| event.name).collect();
        assert_eq!(names, [Some(Bytes::from_static(b"message_start")), None]);
    }

    #[test]
    fn endless_events_are_refused() {
        let endless: [&[u8]; 3] =
            [b"data: aaaaaaaaaaaaaaaaaaaa", b"data: aaaaaaaaaaaaaaaaa\n\n", b": a\n: b\n: c\n: d\n: e\n"];
        for stream in endless {
            let mut parser = SseParser::new(16);
            parser.push(stream);
            assert_eq!(parser.next_event(), Err(SseError::TooLong(16)), "{stream:?}");
        }
        let mut parser = SseParser::new(16);
        parser.push(&b"data: aaa\n\n".repeat(100));
        let mut count = 0;
        while let Some(_event) = parser.next_event().unwrap_or_default() {
            count += 1;
            assert!(count <= 100);
        }
        assert!(count >= 1, "what follows an event is not its own length");
    }

    proptest! {
        #[test]
        fn any_bytes_cut_anywhere_read_the_same(
            lines in prop::collection::vec("(data: ?[a-zé]{0,3}|: x|event: y|\r|\n|\r\n|)(\n|\r|\r\n)", 0..12),
            size in 1_usize..9,
        ) {
            let stream = lines.concat();
            let data = |events: Vec<(String, Option<String>)>| {
                events.into_iter().map(|(_, data)| data).collect::<Vec<_>>()
            };
            let whole = data(read(stream.as_bytes(), stream.len().max(1)));
            prop_assert_eq!(data(read(stream.as_bytes(), size)), whole);
        }
    }
}
