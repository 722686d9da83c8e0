//! The place in which two JSON texts differ that tells most, by its path: what others are computed from comes first.
//! Never more than one: what follows often differs only because of it.
//! Called by `verify` and `reconcile`.

use std::fmt;

use serde_json::Value;

/// Fields that others follow from, in the order in which an invoice is made; all others come after them, by name.
const FIRST: [&str; 18] = [
    "schema",
    "tenant",
    "period",
    "currency",
    "plan_at_end",
    "subscription",
    "records",
    "sums",
    "requests",
    "quantity",
    "units",
    "unit_price",
    "percent",
    "exact",
    "lines",
    "subtotal_exact",
    "subtotal",
    "total",
];

/// Where an invoice says something else than what was computed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// Where, as a path: `lines[3].exact`.
    pub path: String,
    /// What the invoice says.
    pub stated: String,
    /// What its usage and plans come to.
    pub computed: String,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { path, stated, computed } = self;
        write!(f, "{path} is {stated}, and comes to {computed}")
    }
}

impl Difference {
    /// The first difference of two texts; none when all bytes are the same.
    pub(crate) fn between(stated: &str, computed: &str) -> Option<Self> {
        if stated == computed {
            return None;
        }
        let parse = |text| serde_json::from_str::<Value>(text).unwrap_or(Value::Null);
        Some(first("", &parse(stated), &parse(computed)).unwrap_or_else(|| Self {
            path: "the text".to_owned(),
            stated: "written in another way".to_owned(),
            computed: "the same values".to_owned(),
        }))
    }
}

fn first(path: &str, stated: &Value, computed: &Value) -> Option<Difference> {
    match (stated, computed) {
        (Value::Object(left), Value::Object(right)) => {
            let all = left.keys().chain(right.keys().filter(|name| !left.contains_key(*name)));
            let mut names: Vec<_> = all.collect();
            names.sort_by_key(|name| FIRST.iter().position(|first| first == name).unwrap_or(FIRST.len()));
            let below = |name: &String| match path {
                "" => name.clone(),
                path => format!("{path}.{name}"),
            };
            let null = &Value::Null;
            names.into_iter().find_map(|name| {
                first(&below(name), left.get(name).unwrap_or(null), right.get(name).unwrap_or(null))
            })
        }
        (Value::Array(left), Value::Array(right)) => {
            let longest = left.len().max(right.len());
            let null = &Value::Null;
            (0..longest).find_map(|index| {
                let below = format!("{path}[{index}]");
                first(&below, left.get(index).unwrap_or(null), right.get(index).unwrap_or(null))
            })
        }
        (stated, computed) if stated == computed => None,
        (stated, computed) => {
            Some(Difference { path: path.to_owned(), stated: short(stated), computed: short(computed) })
        }
    }
}

/// A value as a person reads it on one line.
fn short(value: &Value) -> String {
    let text = if value.is_null() { "not there".to_owned() } else { value.to_string() };
    match text.char_indices().nth(120) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}
