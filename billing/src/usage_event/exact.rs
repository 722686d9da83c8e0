//! JSON as a tree that keeps every digit of its numbers, with one way of writing it.
//! Never a float, and never two fields of one name.
//! Used for the data of usage events.

use std::{collections::BTreeMap, fmt, str::FromStr as _};

use bigdecimal::BigDecimal;
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

/// Levels of nesting: far more than usage has.
pub(super) const DEPTH_MAX: usize = 16;
/// Longest number that is brought into one form, and the largest exponent; others are kept as they are written.
const NUMBER_DIGITS_MAX: usize = 40;

/// A JSON value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Exact {
    /// Nothing.
    Null,
    /// Yes or no.
    Flag(bool),
    /// The digits of a number: without exponent and needless zeros, unless it is very long.
    Number(String),
    /// A text.
    Text(String),
    /// A list.
    List(Vec<Exact>),
    /// Fields by their names.
    Object(BTreeMap<String, Exact>),
}

/// Why a text is no value of this kind.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ExactError {
    /// Not JSON.
    #[error("not JSON: {0}")]
    NotJson(String),
    /// Too many levels.
    #[error("more than {DEPTH_MAX} levels of objects and lists")]
    TooDeep,
    /// The same name twice in one object.
    #[error("the field {0:?} stands there twice")]
    Twice(String),
}

impl Exact {
    /// Reads a text.
    ///
    /// Errors: it is none.
    pub fn parse(text: &str) -> Result<Self, ExactError> {
        let raw: &RawValue = serde_json::from_str(text).map_err(|error| not_json(&error))?;
        read(raw, 0)
    }

    /// The value at the end of these steps.
    pub fn at(&self, steps: &[String]) -> Option<&Self> {
        steps.iter().try_fold(self, |value, step| match value {
            Self::Object(fields) => fields.get(step),
            Self::List(values) => index(step).and_then(|index| values.get(index)),
            Self::Null | Self::Flag(_) | Self::Number(_) | Self::Text(_) => None,
        })
    }

    /// What kind of value it is, in words.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Flag(_) => "true or false",
            Self::Number(_) => "a number",
            Self::Text(_) => "a text",
            Self::List(_) => "a list",
            Self::Object(_) => "an object",
        }
    }

    /// A single value as text: of a number its digits. `None`: it is null, a list or an object.
    pub fn as_word(&self) -> Option<&str> {
        match self {
            Self::Flag(true) => Some("true"),
            Self::Flag(false) => Some("false"),
            Self::Number(text) | Self::Text(text) => Some(text),
            Self::Null | Self::List(_) | Self::Object(_) => None,
        }
    }

    /// The first place in which another value differs, in the order of names, and both values in short.
    pub fn first_difference(&self, other: &Self, path: &str) -> Option<(String, String, String)> {
        match (self, other) {
            (Self::Object(left), Self::Object(right)) => {
                let mut names: Vec<_> = left.keys().chain(right.keys()).collect();
                names.sort_unstable();
                names.dedup();
                names.into_iter().find_map(|name| {
                    let below = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                    differing(left.get(name), right.get(name), &below)
                })
            }
            (Self::List(left), Self::List(right)) => (0..left.len().max(right.len()))
                .find_map(|place| differing(left.get(place), right.get(place), &format!("{path}[{place}]"))),
            (left, right) if left == right => None,
            (left, right) => Some((path.to_owned(), left.short(), right.short())),
        }
    }

    fn short(&self) -> String {
        let text = self.to_string();
        match text.char_indices().nth(80) {
            Some((end, _)) => format!("{}…", &text[..end]),
            None => text,
        }
    }
}

/// The one way of writing it: names in order, no spaces.
impl fmt::Display for Exact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = |f: &mut fmt::Formatter<'_>, text: &str| {
            f.write_str(&serde_json::to_string(text).map_err(|_| fmt::Error)?)
        };
        match self {
            Self::Null => f.write_str("null"),
            Self::Flag(flag) => write!(f, "{flag}"),
            Self::Number(digits) => f.write_str(digits),
            Self::Text(value) => text(f, value),
            Self::List(values) => {
                f.write_str("[")?;
                for (place, value) in values.iter().enumerate() {
                    write!(f, "{}{value}", if place == 0 { "" } else { "," })?;
                }
                f.write_str("]")
            }
            Self::Object(fields) => {
                f.write_str("{")?;
                for (place, (name, value)) in fields.iter().enumerate() {
                    f.write_str(if place == 0 { "" } else { "," })?;
                    text(f, name)?;
                    write!(f, ":{value}")?;
                }
                f.write_str("}")
            }
        }
    }
}

fn differing(left: Option<&Exact>, right: Option<&Exact>, path: &str) -> Option<(String, String, String)> {
    let nothing = || "nothing".to_owned();
    match (left, right) {
        (Some(left), Some(right)) => left.first_difference(right, path),
        (None, None) => None,
        (left, right) => {
            let short = |value: Option<&Exact>| value.map_or_else(nothing, Exact::short);
            Some((path.to_owned(), short(left), short(right)))
        }
    }
}

/// A place in a list as RFC 6901 writes it: digits without a zero before them.
fn index(step: &str) -> Option<usize> {
    let is_plain = step == "0" || !step.starts_with('0');
    if is_plain && step.bytes().all(|byte| byte.is_ascii_digit()) { step.parse().ok() } else { None }
}

fn not_json(error: &serde_json::Error) -> ExactError {
    ExactError::NotJson(error.to_string())
}

fn read(raw: &RawValue, depth: usize) -> Result<Exact, ExactError> {
    let text = raw.get().trim();
    let part = || match depth < DEPTH_MAX {
        true => Ok(()),
        false => Err(ExactError::TooDeep),
    };
    Ok(match text.as_bytes().first() {
        Some(b'{') => {
            part()?;
            let Fields(fields) = serde_json::from_str(text).map_err(|error| not_json(&error))?;
            let mut object = BTreeMap::new();
            for (name, value) in fields {
                if object.contains_key(&name) {
                    return Err(ExactError::Twice(name));
                }
                object.insert(name, read(value, depth + 1)?);
            }
            Exact::Object(object)
        }
        Some(b'[') => {
            part()?;
            let values: Vec<&RawValue> = serde_json::from_str(text).map_err(|error| not_json(&error))?;
            Exact::List(values.into_iter().map(|value| read(value, depth + 1)).collect::<Result<_, _>>()?)
        }
        Some(b'"') => Exact::Text(serde_json::from_str(text).map_err(|error| not_json(&error))?),
        Some(b't') => Exact::Flag(true),
        Some(b'f') => Exact::Flag(false),
        Some(b'n') => Exact::Null,
        Some(_) | None => Exact::Number(number(text)),
    })
}

/// The digits of a number in one form, where it is of a usual size.
fn number(text: &str) -> String {
    let exponent = text.find(['e', 'E']).and_then(|place| text.get(place + 1..));
    let exponent: i64 = exponent.map_or(Some(0), |digits| digits.parse().ok()).unwrap_or(i64::MAX);
    let is_usual = text.len() <= NUMBER_DIGITS_MAX
        && exponent.unsigned_abs() <= u64::try_from(NUMBER_DIGITS_MAX).unwrap_or(u64::MAX);
    match BigDecimal::from_str(text) {
        Ok(number) if is_usual => number.normalized().to_plain_string(),
        Ok(_) | Err(_) => text.to_owned(),
    }
}

/// The fields of an object in the order of the text, each name as often as it stands there.
struct Fields<'a>(Vec<(String, &'a RawValue)>);

impl<'de> Deserialize<'de> for Fields<'de> {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        struct FieldsVisitor;
        impl<'de> Visitor<'de> for FieldsVisitor {
            type Value = Fields<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fields<'de>, A::Error> {
                let mut fields = Vec::new();
                while let Some(field) = map.next_entry::<String, &'de RawValue>()? {
                    fields.push(field);
                }
                Ok(Fields(fields))
            }
        }
        input.deserialize_map(FieldsVisitor)
    }
}
