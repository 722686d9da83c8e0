//! Meters of a plan's own: which usage events they count, what of each event, and in which unit.
//! Never an event and never a sum: a meter only says how events become a quantity.
//! Read by `read`, asked by `usage_event` for each event.

use std::{collections::BTreeSet, fmt, str::FromStr};

use bigdecimal::BigDecimal;

/// Longest name of a meter of a plan's own. Unit: bytes; it is copied wherever a meter is named.
pub const METER_NAME_LENGTH_MAX: usize = 31;
/// Meters of one plan: every event is held against each.
pub const METERS_MAX: usize = 50;
/// Filters of one meter, and values of one filter.
pub const METER_FILTERS_MAX: usize = 10;
/// Decimals that a meter keeps: as many as prices have.
pub const METER_DECIMALS_MAX: u32 = 9;
/// Levels of an event's data that a pointer goes down.
const POINTER_STEPS_MAX: usize = 16;

/// The name of a meter of a plan's own: a small text that is copied.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MeterName([u8; METER_NAME_LENGTH_MAX]);

/// A text that names no meter.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "a meter's name has 1 to {METER_NAME_LENGTH_MAX} lower-case letters, digits and _, the first a letter, not {0:?}"
)]
pub struct BadMeterName(String);

impl MeterName {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        let length = self.0.iter().position(|byte| *byte == 0).unwrap_or(METER_NAME_LENGTH_MAX);
        // All bytes are ASCII: they were looked at when the name was made.
        str::from_utf8(&self.0[..length]).unwrap_or_default()
    }
}

impl FromStr for MeterName {
    type Err = BadMeterName;

    fn from_str(text: &str) -> Result<Self, BadMeterName> {
        let is_allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
        let begins_well = text.bytes().next().is_some_and(|byte| byte.is_ascii_lowercase());
        if !begins_well || text.len() > METER_NAME_LENGTH_MAX || !text.bytes().all(is_allowed) {
            return Err(BadMeterName(text.chars().take(80).collect()));
        }
        let mut name = [0; METER_NAME_LENGTH_MAX];
        name[..text.len()].copy_from_slice(text.as_bytes());
        Ok(Self(name))
    }
}

impl fmt::Display for MeterName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for MeterName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MeterName({self})")
    }
}

/// How events of one type become a quantity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MeterDefinition {
    /// Its name in charges.
    pub name: MeterName,
    /// The `type` of the events that it counts.
    pub event_type: String,
    /// What of each event is added up.
    pub aggregation: Aggregation,
    /// What is counted, as invoices say it: `s`, `images`.
    pub unit: String,
    /// Decimals of a unit that are kept; an event with more is refused.
    pub decimals: u32,
    /// Only events that all of these take.
    pub filters: Vec<DataFilter>,
}

/// What of each event is added up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Aggregation {
    /// One for each event.
    Count,
    /// The value that stands here in the event's data.
    Sum(DataPointer),
}

/// Events whose data has one of these values in a place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DataFilter {
    /// The place.
    pub field: DataPointer,
    /// The values as text: of numbers their digits, `true` and `false`.
    pub values: BTreeSet<String>,
}

/// A place in an event's data: a JSON pointer as RFC 6901 has it, or the name of a field at the top.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DataPointer {
    text: String,
    steps: Vec<String>,
}

impl DataPointer {
    /// Reads one. `None`: it is none.
    pub fn new(text: &str) -> Option<Self> {
        let is_good = !text.is_empty() && text.len() <= 200 && !text.chars().any(char::is_control);
        let steps = match text.strip_prefix('/') {
            Some(rest) => rest.split('/').map(unescaped).collect::<Option<Vec<_>>>()?,
            None => vec![text.to_owned()],
        };
        (is_good && steps.len() <= POINTER_STEPS_MAX).then(|| Self { text: text.to_owned(), steps })
    }

    /// As the plan has it.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The names, or numbers in lists, from the top down.
    pub fn steps(&self) -> &[String] {
        &self.steps
    }
}

/// One step of a pointer: `~1` is a slash and `~0` a tilde. `None`: another escape.
fn unescaped(step: &str) -> Option<String> {
    let mut parts = step.split('~');
    let mut text = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (escape, rest) = (part.chars().next()?, part.get(1..)?);
        text.push(match escape {
            '0' => '~',
            '1' => '/',
            _ => return None,
        });
        text.push_str(rest);
    }
    Some(text)
}

impl MeterDefinition {
    /// Counts in one unit: what is added up are whole numbers of its last decimal.
    pub fn counts_per_unit(&self) -> u64 {
        10_u64.pow(self.decimals.min(METER_DECIMALS_MAX))
    }

    /// So many counts in the meter's unit, as a decimal.
    pub fn quantity(&self, counts: u64) -> String {
        BigDecimal::new(counts.into(), i64::from(self.decimals)).normalized().to_plain_string()
    }

    /// What one count is, as invoices say it: `images`, `0.001 s`.
    pub fn counted(&self) -> String {
        match self.decimals {
            0 => self.unit.clone(),
            decimals => {
                let zeros = usize::try_from(decimals - 1).unwrap_or(0);
                format!("0.{}1 {}", "0".repeat(zeros), self.unit)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_short_and_plain() {
        for good in ["a", "gpu_seconds", "pages_ocr2", "abcdefghijklmnopqrstuvwxyz01234"] {
            assert_eq!(good.parse::<MeterName>().map(|name| name.to_string()).as_deref(), Ok(good));
        }
        for bad in ["", "1a", "_a", "GPU", "a-b", "a b", "abcdefghijklmnopqrstuvwxyz012345", "é"] {
            assert!(bad.parse::<MeterName>().is_err(), "{bad}");
        }
        let name = |text: &str| text.parse::<MeterName>().expect("a name");
        assert!(name("a") < name("ab") && name("ab") < name("b"), "they sort as texts do");
    }

    #[test]
    fn pointers_are_those_of_rfc_6901_or_a_field() {
        let rows = [
            ("seconds", Some(vec!["seconds"])),
            ("/seconds", Some(vec!["seconds"])),
            ("/gpu/seconds", Some(vec!["gpu", "seconds"])),
            ("/a~1b/m~0n/0", Some(vec!["a/b", "m~n", "0"])),
            ("/", Some(vec![""])),
            ("a.b", Some(vec!["a.b"])),
            ("", None),
            ("/a~2", None),
            ("/a~", None),
            ("/1/2/3/4/5/6/7/8/9/10/11/12/13/14/15/16/17", None),
        ];
        for (text, expected) in rows {
            let found = DataPointer::new(text).map(|pointer| pointer.steps().to_vec());
            let expected = expected.map(|steps| steps.into_iter().map(str::to_owned).collect::<Vec<_>>());
            assert_eq!(found, expected, "{text}");
        }
    }

    #[test]
    fn a_count_is_the_last_decimal_of_a_unit() {
        let meter = |decimals| MeterDefinition {
            name: "gpu".parse().expect("a name"),
            event_type: "t".to_owned(),
            aggregation: Aggregation::Count,
            unit: "s".to_owned(),
            decimals,
            filters: Vec::new(),
        };
        let rows =
            [(0, 1, "s"), (1, 10, "0.1 s"), (3, 1_000, "0.001 s"), (9, 1_000_000_000, "0.000000001 s")];
        for (decimals, counts, counted) in rows {
            let meter = meter(decimals);
            assert_eq!((meter.counts_per_unit(), meter.counted().as_str()), (counts, counted));
        }
    }
}
