//! One table of a plan file: its fields, read one by one, each with its place in the text.
//! Never takes a field that is not expected, and never a number where an exact decimal belongs.
//! Used by every reader of a part of a plan.

use std::{collections::BTreeSet, ops::Range, str::FromStr as _};

use super::value::{Fields, Form, Value};
use crate::plan::{DECIMALS_MAX, PRICE_MAX, PlanProblem, TARGET_MS_MAX, UnitPrice};
use bigdecimal::BigDecimal;
use domain::{Micros, SloClass};

/// A problem and where it stands in the text.
pub(super) type Found<T> = Result<T, (Range<usize>, PlanProblem)>;

/// One table of the file: its fields, its name for messages, its place.
pub(super) struct Table<'a> {
    pub(super) fields: &'a Fields,
    pub(super) name: &'static str,
    pub(super) span: Range<usize>,
    /// What one of the units that amounts are written in is worth, where they are not written in the currency.
    pub(super) worth: Option<&'a BigDecimal>,
}

impl<'a> Table<'a> {
    /// Refuses every field that is not in the list.
    pub(super) fn allow(&self, allowed: &[&str]) -> Found<()> {
        let unknown = self.fields.iter().find(|(name, _)| !allowed.contains(&name.as_str()));
        match unknown {
            None => Ok(()),
            Some((name, (span, _))) => {
                let (field, allowed) = (name.clone(), allowed.join(", "));
                Err((span.clone(), PlanProblem::UnknownField { field, table: self.name, allowed }))
            }
        }
    }

    pub(super) fn field(&self, field: &'static str) -> Found<&'a Value> {
        let missing = || (self.span.clone(), PlanProblem::MissingField { field, table: self.name });
        self.value(field).ok_or_else(missing)
    }

    fn value(&self, field: &str) -> Option<&'a Value> {
        self.fields.get(field).map(|(_, value)| value)
    }

    pub(super) fn text(&self, field: &'static str) -> Found<(Range<usize>, &'a str)> {
        let value = self.field(field)?;
        match value.as_text() {
            Some(text) => Ok((value.span.clone(), text)),
            None => Err(wrong_type(field, value, "a text in quotes")),
        }
    }

    pub(super) fn table(&self, field: &'static str, name: &'static str) -> Found<Table<'a>> {
        let value = self.field(field)?;
        match value.as_table() {
            Some(fields) => Ok(Table { fields, name, span: value.span.clone(), worth: self.worth }),
            None => Err(wrong_type(field, value, "a table")),
        }
    }

    /// A whole number from 0 to `max`.
    pub(super) fn integer(&self, field: &'static str, max: u64) -> Found<(Range<usize>, u64)> {
        let value = self.field(field)?;
        let Form::Integer { digits, radix } = &value.form else {
            return Err(wrong_type(field, value, "a whole number"));
        };
        if digits.starts_with('-') {
            return Err((value.span.clone(), PlanProblem::Negative { field: field.into() }));
        }
        match u64::from_str_radix(digits, *radix) {
            Ok(number) if number <= max => Ok((value.span.clone(), number)),
            _ => Err((value.span.clone(), PlanProblem::TooLarge { field: field.into(), max })),
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
        let Some(value) = self.value(field) else { return Ok(Vec::new()) };
        let entries = value.as_list().ok_or_else(|| wrong_type(field, value, "a list of texts"))?;
        let mut texts: Vec<(Range<usize>, &str)> = Vec::with_capacity(entries.len());
        for entry in entries {
            let text = entry.as_text().ok_or_else(|| wrong_type(field, entry, "a list of texts"))?;
            if texts.iter().any(|(_, seen)| *seen == text) {
                return Err((entry.span.clone(), PlanProblem::Duplicate { what, name: text.to_owned() }));
            }
            texts.push((entry.span.clone(), text));
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
        let Some(value) = self.value(field) else { return Ok(Vec::new()) };
        let entries = value.as_list().ok_or_else(|| wrong_type(field, value, "a list of tables"))?;
        if entries.len() > max {
            return Err((value.span.clone(), PlanProblem::TooMany { what: name, max }));
        }
        let table = |entry: &'a Value| match entry.as_table() {
            Some(fields) => Ok(Table { fields, name, span: entry.span.clone(), worth: self.worth }),
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
        if !self.has(field) {
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
        let amount = self.money(field)?;
        // Decimals and bound were checked; a price that still is none would be too large.
        let too_large = || (self.span.clone(), PlanProblem::TooLarge { field: field.into(), max: PRICE_MAX });
        UnitPrice::new(amount).ok_or_else(too_large)
    }

    /// An amount of money, in the currency: what is written, times what the plan's own unit is worth.
    pub(super) fn money(&self, field: &'static str) -> Found<BigDecimal> {
        let written = self.decimal(field, PRICE_MAX)?;
        let Some(worth) = self.worth else { return Ok(written) };
        let span = || self.value(field).map_or_else(|| self.span.clone(), |value| value.span.clone());
        let amount = (written * worth).normalized();
        if usize::try_from(amount.fractional_digit_count()).is_ok_and(|digits| digits > DECIMALS_MAX) {
            let amount = amount.to_plain_string();
            let problem = PlanProblem::TooFine { field: field.into(), amount, decimals_max: DECIMALS_MAX };
            return Err((span(), problem));
        }
        match amount > PRICE_MAX {
            true => Err((span(), PlanProblem::TooLarge { field: field.into(), max: PRICE_MAX })),
            false => Ok(amount),
        }
    }

    /// An amount of money where one is given.
    pub(super) fn optional_money(&self, field: &'static str) -> Found<Option<BigDecimal>> {
        self.has(field).then(|| self.money(field)).transpose()
    }

    /// An exact decimal from 0 to `max`, written in quotes.
    pub(super) fn decimal(&self, field: &'static str, max: u64) -> Found<BigDecimal> {
        let value = self.field(field)?;
        let text = match &value.form {
            Form::Text(text) => text,
            Form::Integer { .. } | Form::Float => {
                let found = value.type_name();
                return Err((value.span.clone(), PlanProblem::UnquotedAmount { field: field.into(), found }));
            }
            Form::Boolean | Form::Date | Form::Null | Form::List(_) | Form::Table(_) => {
                return Err(wrong_type(field, value, "a decimal in quotes"));
            }
        };
        plain_decimal(field, text, max).map_err(|problem| (value.span.clone(), problem))
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

pub(super) fn wrong_type(field: &str, value: &Value, wanted: &'static str) -> (Range<usize>, PlanProblem) {
    let found = value.type_name();
    (value.span.clone(), PlanProblem::WrongType { field: field.to_owned(), wanted, found })
}

/// Line and column of a byte, both from 1, the column in characters.
pub(super) fn line_and_column(text: &str, byte: usize) -> (usize, usize) {
    let before = text.get(..byte).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    (line, before[line_start..].chars().count() + 1)
}
