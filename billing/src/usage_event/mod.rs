//! Usage events: CloudEvents 1.0 that say what a tenant used beside tokens, read, checked and counted by plans.
//! Never HTTP, never a database, and never a float: numbers are read from their digits.
//! Read by the operators' interface, stored by `ledger::usage_events`, counted again by `verify`.

mod count;
mod error;
mod exact;
mod stored;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use domain::Timestamp;

pub use count::{VALUE_COUNTS_MAX, counts_of};
pub use error::{EventError, EventProblem};
pub use exact::{Exact, ExactError};
pub use stored::{EventLine, LineError, StoredEvent};

/// Largest event, in the one way of writing it. The specification wants every receiver to take this much. Unit: bytes.
pub const EVENT_BYTES_MAX: usize = 64 * 1_024;
/// Events of one batch: they are stored in one transaction, which should not keep others waiting.
pub const EVENTS_MAX: usize = 1_000;
/// How far an event's time may be ahead of this clock: clocks differ, usage is not told in advance. Unit: microseconds.
pub const SKEW_US: i64 = 5 * 60 * 1_000_000;
/// Longest `id` and `type`. Unit: bytes.
const NAME_BYTES_MAX: usize = 255;
/// Longest of any other attribute. Unit: bytes.
const TEXT_BYTES_MAX: usize = 1_024;
/// Attributes of an event beside its data.
const ATTRIBUTE_NAME_BYTES_MAX: usize = 64;
/// What proxies add on the way, and may be another at each try: neither stored nor compared.
const DROPPED: [&str; 2] = ["traceparent", "tracestate"];

/// A CloudEvent that is well formed and says whose usage it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UsageEvent {
    /// Who made it; with `id` it is one event for ever.
    pub source: String,
    /// Its id among those of the source.
    pub id: String,
    /// What kind of event it is; meters choose by it.
    pub event_type: String,
    /// Whose usage: a tenant, or `TENANT/PATH` with a project.
    pub subject: String,
    /// When it happened. `None`: it does not say.
    pub time: Option<Timestamp>,
    /// All of it.
    whole: Exact,
}

/// A text, or what stands in its place.
type Attributes = BTreeMap<String, Exact>;

impl UsageEvent {
    /// Reads an event in the JSON form.
    ///
    /// Errors: the first thing that is wrong, with its place.
    pub fn from_json(text: &str) -> Result<Self, EventError> {
        if text.len() > EVENT_BYTES_MAX.saturating_mul(2) {
            return Err(EventError::at("", EventProblem::TooLarge));
        }
        Self::from_exact(parse(text, "")?)
    }

    /// Reads a list of events in the JSON form.
    ///
    /// Errors: the first thing that is wrong with any of them, with its place.
    pub fn batch_from_json(text: &str) -> Result<Vec<Self>, EventError> {
        let whole = parse(text, "")?;
        let Exact::List(events) = whole else {
            return Err(EventError::at("", EventProblem::NotAList(whole.kind())));
        };
        match events.len() {
            0 => return Err(EventError::at("", EventProblem::NoEvents)),
            1..=EVENTS_MAX => {}
            count => return Err(EventError::at("", EventProblem::TooManyEvents(count))),
        }
        let event =
            |(index, event)| Self::from_exact(event).map_err(|error: EventError| error.of_event(Some(index)));
        events.into_iter().enumerate().map(event).collect()
    }

    /// Puts an event together from its attributes and its data, as protocols carry them apart.
    ///
    /// `data` is the text of a JSON value; an empty one is no data. `media_type` is what the data is said to be.
    /// Errors: the first thing that is wrong, with its place.
    pub fn from_parts(
        attributes: Vec<(String, String)>,
        media_type: Option<&str>,
        data: &str,
    ) -> Result<Self, EventError> {
        let mut whole = Attributes::new();
        for (name, text) in attributes {
            if ["data", "data_base64", "datacontenttype"].contains(&name.as_str()) {
                return Err(EventError::at(name, EventProblem::BadAttributeName));
            }
            if whole.contains_key(&name) {
                return Err(EventError::at("", EventProblem::Unreadable(ExactError::Twice(name))));
            }
            whole.insert(name, Exact::Text(text));
        }
        if let Some(media_type) = media_type {
            whole.insert("datacontenttype".to_owned(), Exact::Text(media_type.to_owned()));
        }
        if !data.trim().is_empty() {
            check_media_type(&whole)?;
            whole.insert("data".to_owned(), parse(data, "data")?);
        }
        Self::from_exact(Exact::Object(whole))
    }

    fn from_exact(event: Exact) -> Result<Self, EventError> {
        let Exact::Object(fields) = event else {
            return Err(EventError::at("", EventProblem::NotAnObject(event.kind())));
        };
        // An attribute that is null is one that is not there.
        let fields: Attributes = fields.into_iter().filter(|(_, value)| *value != Exact::Null).collect();
        match text(&fields, "specversion", NAME_BYTES_MAX)? {
            None => return Err(EventError::at("specversion", EventProblem::Missing)),
            Some("1.0") => {}
            Some(other) => {
                let problem = EventProblem::BadSpecVersion(short(other));
                return Err(EventError::at("specversion", problem));
            }
        }
        let id = required(&fields, "id", NAME_BYTES_MAX)?;
        let source = required(&fields, "source", TEXT_BYTES_MAX)?;
        check_uri(&source).map_err(|problem| EventError::at("source", problem))?;
        let event_type = required(&fields, "type", NAME_BYTES_MAX)?;
        let subject = required(&fields, "subject", TEXT_BYTES_MAX)?;
        if fields.contains_key("data_base64") {
            let problem = EventProblem::NotJsonData("data_base64".to_owned());
            return Err(EventError::at("data_base64", problem));
        }
        check_media_type(&fields)?;
        if let Some(schema) = text(&fields, "dataschema", TEXT_BYTES_MAX)? {
            check_uri(schema).map_err(|problem| EventError::at("dataschema", problem))?;
        }
        let time = text(&fields, "time", TEXT_BYTES_MAX)?.map(instant).transpose()?;
        let whole = Exact::Object(in_one_form(fields, time)?);
        if whole.to_string().len() > EVENT_BYTES_MAX {
            return Err(EventError::at("", EventProblem::TooLarge));
        }
        let time = time.map(|time| Timestamp::from_unix_micros(time.as_microsecond()));
        Ok(Self { source, id, event_type, subject, time, whole })
    }

    /// The value in a place of the data.
    pub(crate) fn data_at(&self, steps: &[String]) -> Option<&Exact> {
        self.whole.at(&["data".to_owned()]).and_then(|data| data.at(steps))
    }

    /// All of it as JSON, in the one way of writing it: the same event gives the same text.
    pub fn to_json(&self) -> String {
        self.whole.to_string()
    }

    /// Where another event of the same id and source differs from this one: the first place and both values.
    ///
    /// What counts is looked at first: the type, the subject, the time and the data.
    pub(crate) fn first_difference(&self, other: &Self) -> Option<(String, String, String)> {
        let field = |event: &Self, name: &str| event.whole.at(&[name.to_owned()]).cloned();
        let object = |event: &Self, name: &str| {
            Exact::Object(field(event, name).map(|value| (name.to_owned(), value)).into_iter().collect())
        };
        let first = ["type", "subject", "time", "data"];
        let found =
            first.iter().find_map(|name| object(self, name).first_difference(&object(other, name), ""));
        found.or_else(|| self.whole.first_difference(&other.whole, ""))
    }
}

fn parse(text: &str, field: &str) -> Result<Exact, EventError> {
    Exact::parse(text).map_err(|error| EventError::at(field, EventProblem::Unreadable(error)))
}

/// The attributes as they are stored and compared: extensions as text, the time in UTC, JSON not named as such.
fn in_one_form(fields: Attributes, time: Option<jiff::Timestamp>) -> Result<Attributes, EventError> {
    let mut kept = Attributes::new();
    for (name, value) in fields {
        let value = match name.as_str() {
            "data" => value,
            "time" => match time {
                Some(time) => Exact::Text(time.to_string()),
                None => continue,
            },
            "datacontenttype" if is_plain_json(&value) => continue,
            dropped if DROPPED.contains(&dropped) => continue,
            _ => Exact::Text(extension(&name, &value)?),
        };
        kept.insert(name, value);
    }
    Ok(kept)
}

/// The value of an attribute as text: protocols that carry attributes apart know no other type.
fn extension(name: &str, value: &Exact) -> Result<String, EventError> {
    let is_allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    if name.is_empty() || name.len() > ATTRIBUTE_NAME_BYTES_MAX || !name.bytes().all(is_allowed) {
        let shown = name.chars().take(80).collect::<String>();
        return Err(EventError::at(shown, EventProblem::BadAttributeName));
    }
    let wrong =
        || EventProblem::WrongType { wanted: "a text, a whole number, true or false", found: value.kind() };
    let word = value.as_word().ok_or_else(|| EventError::at(name, wrong()))?;
    match word.len() <= TEXT_BYTES_MAX {
        true => Ok(word.to_owned()),
        false => Err(EventError::at(name, EventProblem::BadText(TEXT_BYTES_MAX))),
    }
}

fn text<'a>(fields: &'a Attributes, name: &str, bytes_max: usize) -> Result<Option<&'a str>, EventError> {
    match fields.get(name) {
        None => Ok(None),
        Some(Exact::Text(text)) => {
            let is_good = (1..=bytes_max).contains(&text.len()) && !text.chars().any(char::is_control);
            match is_good {
                true => Ok(Some(text)),
                false => Err(EventError::at(name, EventProblem::BadText(bytes_max))),
            }
        }
        Some(other) => {
            let problem = EventProblem::WrongType { wanted: "a text", found: other.kind() };
            Err(EventError::at(name, problem))
        }
    }
}

fn required(fields: &Attributes, name: &str, bytes_max: usize) -> Result<String, EventError> {
    let found = text(fields, name, bytes_max)?;
    found.map(str::to_owned).ok_or_else(|| EventError::at(name, EventProblem::Missing))
}

/// Letters of a URI reference; what else it may be is nobody's concern here.
fn check_uri(text: &str) -> Result<(), EventProblem> {
    let is_hex = |byte: Option<u8>| byte.is_some_and(|byte| byte.is_ascii_hexdigit());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        let is_good = match byte {
            b'%' => is_hex(bytes.next()) && is_hex(bytes.next()),
            // Beyond ASCII it is an IRI, which many producers send.
            byte => byte >= 0x80 || byte.is_ascii_alphanumeric() || b"-._~:/?#[]@!$&'()*+,;=".contains(&byte),
        };
        if !is_good {
            return Err(EventProblem::BadUri(short(text)));
        }
    }
    Ok(())
}

/// The media type without its parameters, in small letters.
fn essence(text: &str) -> String {
    text.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

fn is_plain_json(media_type: &Exact) -> bool {
    matches!(media_type, Exact::Text(text) if essence(text) == "application/json")
}

/// Data is JSON when nothing is said.
fn check_media_type(fields: &Attributes) -> Result<(), EventError> {
    let Some(stated) = text(fields, "datacontenttype", TEXT_BYTES_MAX)? else { return Ok(()) };
    let media_type = essence(stated);
    match media_type == "application/json" || media_type == "text/json" || media_type.ends_with("+json") {
        true => Ok(()),
        false => Err(EventError::at("datacontenttype", EventProblem::NotJsonData(short(stated)))),
    }
}

/// An instant as RFC 3339 has it: with a date, a T, a time to the second, and an offset.
fn instant(text: &str) -> Result<jiff::Timestamp, EventError> {
    let bytes = text.as_bytes();
    let is_shaped = bytes.len() >= "2026-11-24T12:00:00Z".len()
        && matches!(bytes.get(10), Some(b'T' | b't'))
        && bytes.get(16) == Some(&b':')
        && !text.contains(['[', ' ']);
    let parsed = if is_shaped { text.parse().ok() } else { None };
    parsed.ok_or_else(|| EventError::at("time", EventProblem::BadTime(short(text))))
}

fn short(text: &str) -> String {
    text.chars().take(80).collect()
}
