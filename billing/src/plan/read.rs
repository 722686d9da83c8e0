//! Reads a plan's TOML into its terms, field by field, keeping the place of each value.
//! Never takes a field it does not know, and never a number where an exact decimal belongs.
//! Called by `Plan::from_toml` only.

use std::{collections::BTreeSet, ops::Range, str::FromStr};

use bigdecimal::BigDecimal;
use domain::{Currency, EndReason, Micros, ModelName, PlanVersionId, Slo, SloClass};
use jiff::civil::Date;
use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use super::{
    DECIMALS_MAX, PLAN_BYTES_MAX, PLAN_NAME_LENGTH_MAX, PRICE_MAX, PRICES_MAX, Percent, PlanError,
    PlanProblem, Price, PricedModel, TARGET_MS_MAX, Terms, UnitPrice,
};

/// A problem and where it stands in the text.
type Found<T> = Result<T, (Range<usize>, PlanProblem)>;
type Field<'a> = &'a Spanned<DeValue<'a>>;

/// One table of the file: its fields, its name for messages, its place.
struct Table<'a> {
    fields: &'a DeTable<'a>,
    name: &'static str,
    span: Range<usize>,
}

/// Reads the whole file.
pub(super) fn terms(file: &str, text: &str) -> Result<Terms, PlanError> {
    let located = |(span, problem): (Range<usize>, PlanProblem)| {
        let (line, column) = line_and_column(text, span.start);
        PlanError { file: file.to_owned(), line, column, problem }
    };
    if text.len() > PLAN_BYTES_MAX {
        return Err(located((0..0, PlanProblem::TooLong(PLAN_BYTES_MAX))));
    }
    let root = DeTable::parse(text).map_err(|error| {
        let message = error.message().trim().replace('\n', ", ");
        located((error.span().unwrap_or(0..0), PlanProblem::Syntax(message)))
    })?;
    let root = Table { fields: root.get_ref(), name: "the plan", span: 0..0 };
    root_terms(&root).map_err(located)
}

fn root_terms(root: &Table<'_>) -> Found<Terms> {
    root.allow(&[
        "name",
        "version",
        "currency",
        "effective_from",
        "billed_reasons",
        "slo",
        "slo_credit",
        "price",
    ])?;
    let name = plan_name(root)?;
    let version = plan_version(root)?;
    let id = PlanVersionId::new(format!("{name}@{version}"));
    let id = id.map_err(|_| (root.span.clone(), PlanProblem::BadName(PLAN_NAME_LENGTH_MAX, name.clone())))?;
    Ok(Terms {
        name,
        version,
        id,
        currency: currency(root)?,
        effective_from: effective_from(root)?,
        billed_reasons: billed_reasons(root)?,
        slo: slo(root)?,
        late_tokens_percent: late_tokens_percent(root)?,
        prices: prices(root)?,
    })
}

fn plan_name(root: &Table<'_>) -> Found<String> {
    let (span, name) = root.text("name")?;
    let is_allowed =
        |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-' || byte == b'_';
    if name.is_empty() || name.len() > PLAN_NAME_LENGTH_MAX || !name.bytes().all(is_allowed) {
        return Err((span, PlanProblem::BadName(PLAN_NAME_LENGTH_MAX, name.to_owned())));
    }
    Ok(name.to_owned())
}

fn plan_version(root: &Table<'_>) -> Found<u32> {
    let max = u64::from(u32::MAX >> 1);
    let (span, version) = root.integer("version", max)?;
    match u32::try_from(version) {
        Ok(0) => Err((span, PlanProblem::TooSmall { field: "version".into(), min: 1 })),
        Ok(version) => Ok(version),
        Err(_) => Err((span, PlanProblem::TooLarge { field: "version".into(), max })),
    }
}

fn currency(root: &Table<'_>) -> Found<Currency> {
    let (span, code) = root.text("currency")?;
    code.parse().map_err(|_| (span, PlanProblem::BadCurrency(code.to_owned())))
}

fn effective_from(root: &Table<'_>) -> Found<Option<Date>> {
    if root.fields.get("effective_from").is_none() {
        return Ok(None);
    }
    let (span, text) = root.text("effective_from")?;
    let is_plain = text.len() == 10 && text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-');
    let date = if is_plain { Date::from_str(text).ok() } else { None };
    // Outside these years a day has no midnight in every zone.
    match date.filter(|date| (1970..=9998).contains(&date.year())) {
        Some(date) => Ok(Some(date)),
        None => Err((span, PlanProblem::BadDate(text.to_owned()))),
    }
}

fn billed_reasons(root: &Table<'_>) -> Found<BTreeSet<EndReason>> {
    let Some(field) = root.fields.get("billed_reasons") else {
        return Ok(BTreeSet::from([EndReason::Completed, EndReason::ClientGone]));
    };
    let wrong = |field: &Spanned<DeValue<'_>>, wanted| {
        let found = type_name(field.get_ref());
        (field.span(), PlanProblem::WrongType { field: "billed_reasons".into(), wanted, found })
    };
    let entries = field.get_ref().as_array().ok_or_else(|| wrong(field, "a list of end reasons"))?;
    let mut reasons = BTreeSet::new();
    for entry in entries.iter() {
        let text = entry.get_ref().as_str().ok_or_else(|| wrong(entry, "a list of texts"))?;
        let reason = end_reason(text).map_err(|problem| (entry.span(), problem))?;
        if !reasons.insert(reason) {
            let name = text.to_owned();
            return Err((entry.span(), PlanProblem::Duplicate { what: "the end reason", name }));
        }
    }
    Ok(reasons)
}

fn end_reason(text: &str) -> Result<EndReason, PlanProblem> {
    match text.parse() {
        Ok(reason @ (EndReason::EngineError | EndReason::Crashed)) => {
            Err(PlanProblem::UnbillableReason(reason.as_str()))
        }
        Ok(reason) => Ok(reason),
        Err(_) => {
            let allowed = ["completed", "client_gone", "deadline"].join(", ");
            Err(PlanProblem::BadReason { found: text.to_owned(), allowed })
        }
    }
}

fn slo(root: &Table<'_>) -> Found<Slo> {
    let table = root.table("slo", "[slo]")?;
    table.allow(&["class", "ttft_ms", "ttft_ms_per_1k_prompt_tokens", "tpot_ms"])?;
    let (span, class) = table.text("class")?;
    let class: SloClass = class.parse().map_err(|_| (span, PlanProblem::BadClass(class.to_owned())))?;
    let default = Slo::of_class(class);
    Ok(Slo {
        class,
        ttft: table.target("ttft_ms", 1)?.or(default.ttft),
        ttft_per_1k_prompt: table
            .target("ttft_ms_per_1k_prompt_tokens", 0)?
            .unwrap_or(default.ttft_per_1k_prompt),
        tpot: table.target("tpot_ms", 1)?.or(default.tpot),
    })
}

fn late_tokens_percent(root: &Table<'_>) -> Found<Percent> {
    if root.fields.get("slo_credit").is_none() {
        return Ok(Percent(BigDecimal::from(0)));
    }
    let table = root.table("slo_credit", "[slo_credit]")?;
    table.allow(&["late_tokens_percent"])?;
    table.decimal("late_tokens_percent", 100).map(Percent)
}

fn prices(root: &Table<'_>) -> Found<Vec<Price>> {
    let Some(field) = root.fields.get("price") else {
        return Err((root.span.clone(), PlanProblem::NoPrices));
    };
    let wrong = |field: &Spanned<DeValue<'_>>| {
        let found = type_name(field.get_ref());
        (field.span(), PlanProblem::WrongType { field: "price".into(), wanted: "[[price]] tables", found })
    };
    let entries = field.get_ref().as_array().ok_or_else(|| wrong(field))?;
    if entries.is_empty() {
        return Err((field.span(), PlanProblem::NoPrices));
    }
    if entries.len() > PRICES_MAX {
        return Err((field.span(), PlanProblem::TooManyPrices(PRICES_MAX)));
    }
    let mut prices: Vec<Price> = Vec::with_capacity(entries.len());
    let mut seen = BTreeSet::new();
    for entry in entries.iter() {
        let fields = entry.get_ref().as_table().ok_or_else(|| wrong(entry))?;
        let table = Table { fields, name: "[[price]]", span: entry.span() };
        let price = price(&table)?;
        if !seen.insert(price.model().to_owned()) {
            let (span, name) = table.text("model")?;
            return Err((span, PlanProblem::Duplicate { what: "the price of model", name: name.to_owned() }));
        }
        prices.push(price);
    }
    Ok(prices)
}

fn price(table: &Table<'_>) -> Found<Price> {
    table.allow(&["model", "input_per_mtok", "cached_input_per_mtok", "output_per_mtok"])?;
    let (span, model) = table.text("model")?;
    let model = match model {
        "*" => PricedModel::Any,
        name => PricedModel::Named(
            ModelName::new(name).map_err(|_| (span, PlanProblem::BadModel(name.to_owned())))?,
        ),
    };
    let input = table.unit_price("input_per_mtok")?;
    let cached_input = match table.fields.get("cached_input_per_mtok") {
        Some(_) => table.unit_price("cached_input_per_mtok")?,
        None => input.clone(),
    };
    let output = table.unit_price("output_per_mtok")?;
    Ok(Price { model, input, cached_input, output })
}

impl<'a> Table<'a> {
    /// Refuses every field that is not in the list.
    fn allow(&self, allowed: &[&str]) -> Found<()> {
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

    fn field(&self, field: &'static str) -> Found<Field<'a>> {
        let missing = || (self.span.clone(), PlanProblem::MissingField { field, table: self.name });
        self.fields.get(field).ok_or_else(missing)
    }

    fn text(&self, field: &'static str) -> Found<(Range<usize>, &'a str)> {
        let value = self.field(field)?;
        match value.get_ref().as_str() {
            Some(text) => Ok((value.span(), text)),
            None => Err(wrong_type(field, value, "a text in quotes")),
        }
    }

    fn table(&self, field: &'static str, name: &'static str) -> Found<Table<'a>> {
        let value = self.field(field)?;
        match value.get_ref().as_table() {
            Some(fields) => Ok(Table { fields, name, span: value.span() }),
            None => Err(wrong_type(field, value, "a table")),
        }
    }

    /// A whole number from 0 to `max`.
    fn integer(&self, field: &'static str, max: u64) -> Found<(Range<usize>, u64)> {
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

    /// A latency target, where one is given.
    fn target(&self, field: &'static str, min: u64) -> Found<Option<Micros>> {
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
    fn unit_price(&self, field: &'static str) -> Found<UnitPrice> {
        let amount = self.decimal(field, PRICE_MAX)?;
        // Decimals and bound were checked; a price that still is none would be too large.
        let too_large = || (self.span.clone(), PlanProblem::TooLarge { field: field.into(), max: PRICE_MAX });
        UnitPrice::new(amount).ok_or_else(too_large)
    }

    /// An exact decimal from 0 to `max`, written in quotes.
    fn decimal(&self, field: &'static str, max: u64) -> Found<BigDecimal> {
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

fn wrong_type(field: &str, value: Field<'_>, wanted: &'static str) -> (Range<usize>, PlanProblem) {
    let found = type_name(value.get_ref());
    (value.span(), PlanProblem::WrongType { field: field.to_owned(), wanted, found })
}

fn type_name(value: &DeValue<'_>) -> &'static str {
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
fn line_and_column(text: &str, byte: usize) -> (usize, usize) {
    let before = text.get(..byte).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    (line, before[line_start..].chars().count() + 1)
}
