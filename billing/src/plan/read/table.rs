//! One table of a plan file: its fields, read one by one, each with its place in the text.
//! Never takes a field that is not expected, and never a number where an exact decimal belongs.
//! Used by every reader of a part of a plan.

use std::{collections::BTreeSet, ops::Range, str::FromStr as _};

use bigdecimal::BigDecimal;
use domain::{Micros, SloClass};
use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use crate::plan::{DECIMALS_MAX, PRICE_MAX, PlanProblem, TARGET_MS_MAX, UnitPrice};

/// A problem and where it stands in the text.
pub(super) type Found<T> = Result<T, (Range<usize>, PlanProblem)>;
pub(super) type Field<'a> = &'a Spanned<DeValue<'a>>;

/// One table of the file: its fields, its name for messages, its place.
pub(super) struct Table<'a> {
    pub(super) fields: &'a DeTable<'a>,
    pub(super) name: &'static str,
    pub(super) span: Range<usize>,
}

impl<'a> Table<'a> {
    /// Refuses every field that is not in the list.
    pub(super) fn allow(&self, allowed: &[&str]) -> Found<()> {
        let unknown = self.fields.iter().find(|(key, _)| !allowed.contains(&key.get_ref().as_ref()));
        match unknown {
            None => Ok(()),
            Some((key, _)) => {
                let field = key.get_ref().to_string();
                let allowed = allowed.join(", ");
                Err((key.span(), PlanProblem::UnknownField { field, table: self.name, allowed }))
            }
        }
    }

    pub(super) fn field(&self, field: &'static str) -> Found<Field<'a>> {
        let missing = || (self.span.clone(), PlanProblem::MissingField { field, table: self.name });
        self.fields.get(field).ok_or_else(missing)
    }

    pub(super) fn text(&self, field: &'static str) -> Found<(Range<usize>, &'a str)> {
        let value = self.field(field)?;
        match value.get_ref().as_str() {
            Some(text) => Ok((value.span(), text)),
            None => Err(wrong_type(field, value, "a text in quotes")),
        }
    }

    pub(super) fn table(&self, field: &'static str, name: &'static str) -> Found<Table<'a>> {
        let value = self.field(field)?;
        match value.get_ref().as_table() {
            Some(fields) => Ok(Table { fields, name, span: value.span() }),
            None => Err(wrong_type(field, value, "a table")),
        }
    }

    /// A whole number from 0 to `max`.
    pub(super) fn integer(&self, field: &'static str, max: u64) -> Found<(Range<usize>, u64)> {
        let value = self.field(field)?;
        let Some(integer) = value.get_ref().as_integer() else {
            return Err(wrong_type(field, value, "a whole number"));
        };
        if integer.as_str().starts_with('-') {
            return Err((value.span(), PlanProblem::Negative { field: field.into() }));
        }
        match u64::from_str_radix(integer.as_str(), integer.radix()) {
            Ok(number) if number <= max => Ok((value.span(), number)),
            _ => Err((value.span(), PlanProblem::TooLarge { field: field.into(), max })),
        }
    }

    /// Whether the field is there.
    pub(super) fn has(&self, field: &str) -> bool {
        self.fields.contains_key(field)
    }

    /// Every text of a list, with its place; none when the field is not there. None twice.
    pub(super) fn texts(
        &self,
        field: &'static str,
        what: &'static str,
    ) -> Found<Vec<(Range<usize>, &'a str)>> {
        let Some(value) = self.fields.get(field) else { return Ok(Vec::new()) };
        let entries =
            value.get_ref().as_array().ok_or_else(|| wrong_type(field, value, "a list of texts"))?;
        let mut texts: Vec<(Range<usize>, &str)> = Vec::with_capacity(entries.len());
        for entry in entries.iter() {
            let text = entry.get_ref().as_str().ok_or_else(|| wrong_type(field, entry, "a list of texts"))?;
            if texts.iter().any(|(_, seen)| *seen == text) {
                return Err((entry.span(), PlanProblem::Duplicate { what, name: text.to_owned() }));
            }
            texts.push((entry.span(), text));
        }
        Ok(texts)
    }

    /// Every table of a list such as `[[price]]`; none when the field is not there.
    pub(super) fn tables(
        &self,
        field: &'static str,
        name: &'static str,
        max: usize,
    ) -> Found<Vec<Table<'a>>> {
        let Some(value) = self.fields.get(field) else { return Ok(Vec::new()) };
        let entries =
            value.get_ref().as_array().ok_or_else(|| wrong_type(field, value, "a list of tables"))?;
        if entries.len() > max {
            return Err((value.span(), PlanProblem::TooMany { what: name, max }));
        }
        let table = |entry: &'a Spanned<DeValue<'a>>| match entry.get_ref().as_table() {
            Some(fields) => Ok(Table { fields, name, span: entry.span() }),
            None => Err(wrong_type(field, entry, "a list of tables")),
        };
        entries.iter().map(table).collect()
    }

    /// The latency classes of a list; none when it is not there.
    pub(super) fn classes(&self) -> Found<BTreeSet<SloClass>> {
        let class = |(span, text): (Range<usize>, &str)| {
            text.parse().map_err(|_| (span, PlanProblem::BadClass(text.to_owned())))
        };
        self.texts("classes", "the class")?.into_iter().map(class).collect()
    }

    /// An exact decimal where one is given.
    pub(super) fn optional_decimal(&self, field: &'static str, max: u64) -> Found<Option<BigDecimal>> {
        self.has(field).then(|| self.decimal(field, max)).transpose()
    }

    /// A text where one is given.
    pub(super) fn optional_text(&self, field: &'static str) -> Found<Option<(Range<usize>, &'a str)>> {
        self.has(field).then(|| self.text(field)).transpose()
    }

    /// One of a few words; gives what stands beside it.
    pub(super) fn word<T: Copy>(&self, field: &'static str, words: &[(&'static str, T)]) -> Found<T> {
        let (span, found) = self.text(field)?;
        let known = words.iter().find(|(word, _)| *word == found);
        known.map(|(_, value)| *value).ok_or_else(|| {
            let allowed = words.iter().map(|(word, _)| *word).collect::<Vec<_>>().join(", ");
            (span, PlanProblem::BadWord { field: field.to_owned(), found: found.to_owned(), allowed })
        })
    }

    /// A latency target, where one is given.
    pub(super) fn target(&self, field: &'static str, min: u64) -> Found<Option<Micros>> {
        if self.fields.get(field).is_none() {
            return Ok(None);
        }
        let (span, millis) = self.integer(field, TARGET_MS_MAX)?;
        if millis < min {
            return Err((span, PlanProblem::TooSmall { field: field.into(), min }));
        }
        Ok(Some(Micros::new(millis * 1_000)))
    }

    /// A price per million tokens.
    pub(super) fn unit_price(&self, field: &'static str) -> Found<UnitPrice> {
        let amount = self.decimal(field, PRICE_MAX)?;
        // Decimals and bound were checked; a price that still is none would be too large.
        let too_large = || (self.span.clone(), PlanProblem::TooLarge { field: field.into(), max: PRICE_MAX });
        UnitPrice::new(amount).ok_or_else(too_large)
    }

    /// An exact decimal from 0 to `max`, written in quotes.
    pub(super) fn decimal(&self, field: &'static str, max: u64) -> Found<BigDecimal> {
        let value = self.field(field)?;
        let text = match value.get_ref() {
            DeValue::String(text) => text.as_ref(),
            DeValue::Integer(_) | DeValue::Float(_) => {
                let found = type_name(value.get_ref());
                return Err((value.span(), PlanProblem::UnquotedAmount { field: field.into(), found }));
            }
            DeValue::Boolean(_) | DeValue::Datetime(_) | DeValue::Array(_) | DeValue::Table(_) => {
                return Err(wrong_type(field, value, "a decimal in quotes"));
            }
        };
        plain_decimal(field, text, max).map_err(|problem| (value.span(), problem))
    }
}

/// Digits with at most one point between them; no sign, exponent, space or separator.
fn plain_decimal(field: &str, text: &str, max: u64) -> Result<BigDecimal, PlanProblem> {
    let field = || field.to_owned();
    let not_decimal = || PlanProblem::NotDecimal { field: field(), text: text.chars().take(40).collect() };
    let (is_negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text),
    };
    let (whole, decimals) = match digits.split_once('.') {
        Some((whole, decimals)) => (whole, Some(decimals)),
        None => (digits, None),
    };
    let is_digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if !is_digits(whole) || !decimals.is_none_or(is_digits) {
        return Err(not_decimal());
    }
    if is_negative {
        return Err(PlanProblem::Negative { field: field() });
    }
    let decimals = decimals.map_or(0, str::len);
    if decimals > DECIMALS_MAX {
        return Err(PlanProblem::TooManyDecimals { field: field(), decimals, decimals_max: DECIMALS_MAX });
    }
    let amount = BigDecimal::from_str(text).map_err(|_| not_decimal())?;
    if amount > max {
        return Err(PlanProblem::TooLarge { field: field(), max });
    }
    Ok(amount.normalized())
}

pub(super) fn wrong_type(field: &str, value: Field<'_>, wanted: &'static str) -> (Range<usize>, PlanProblem) {
    let found = type_name(value.get_ref());
    (value.span(), PlanProblem::WrongType { field: field.to_owned(), wanted, found })
}

pub(super) fn type_name(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a text",
        DeValue::Integer(_) => "a whole number",
        DeValue::Float(_) => "a float",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date without quotes",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}

/// Line and column of a byte, both from 1, the column in characters.
pub(super) fn line_and_column(text: &str, byte: usize) -> (usize, usize) {
    let before = text.get(..byte).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    (line, before[line_start..].chars().count() + 1)
}
