//! Reads a plan's text, TOML or JSON, into its terms, field by field, keeping the place of each value.
//! Never takes a field it does not know, and never a number where an exact decimal belongs.
//! Called by `Plan::from_text` only.

mod charges;
mod meters;
mod slo_credit;
mod subscription;
mod table;
mod value;

use std::{collections::BTreeSet, ops::Range, str::FromStr};

use bigdecimal::Zero as _;
use domain::{Currency, EndReason, ModelName, PlanVersionId, Slo, SloClass};
use jiff::civil::Date;

use self::table::{Found, Table, line_and_column};
use super::{
    CHARGE_NAME_LENGTH_MAX, CHARGES_MAX, PLAN_BYTES_MAX, PLAN_NAME_LENGTH_MAX, PRICE_MAX, PRICES_MAX,
    PlanError, PlanProblem, Price, PriceUnit, PricedModel, TIERS_MAX, Terms,
};

/// Reads the whole file.
pub(super) fn terms(file: &str, text: &str) -> Result<Terms, PlanError> {
    let located = |(span, problem): (Range<usize>, PlanProblem)| {
        let (line, column) = line_and_column(text, span.start);
        PlanError { file: file.to_owned(), line, column, problem }
    };
    if text.len() > PLAN_BYTES_MAX {
        return Err(located((0..0, PlanProblem::TooLong(PLAN_BYTES_MAX))));
    }
    let fields = value::root(text).map_err(located)?;
    let root = Table { fields: &fields, name: "the plan", span: 0..0, worth: None };
    let unit = price_unit(&root).map_err(located)?;
    let root = Table { worth: unit.as_ref().map(|unit| &unit.worth), ..root };
    root_terms(&root, unit.clone()).map_err(located)
}

/// That a plan which reads is in a currency that is not in use, with its place.
pub(super) fn currency_out_of_use(file: &str, text: &str) -> PlanError {
    let place = value::root(text).and_then(|fields| {
        let root = Table { fields: &fields, name: "the plan", span: 0..0, worth: None };
        root.text("currency").map(|(span, code)| (span.start, code.to_owned()))
    });
    let (start, code) = place.unwrap_or_default();
    let (line, column) = line_and_column(text, start);
    PlanError { file: file.to_owned(), line, column, problem: PlanProblem::CurrencyOutOfUse(code) }
}

/// The charges and attainment tiers of a plan which reads that name an empty list, and the list.
pub(super) fn empty_lists(text: &str) -> Vec<(String, &'static str)> {
    let Ok(fields) = value::root(text) else { return Vec::new() };
    let root = Table { fields: &fields, name: "the plan", span: 0..0, worth: None };
    let charges = root.tables("charge", "[[charge]]", CHARGES_MAX).unwrap_or_default();
    let tiers = root
        .table("slo_credit", "[slo_credit]")
        .and_then(|credit| credit.tables("attainment", "[[slo_credit.attainment]]", TIERS_MAX));
    let named = charges.into_iter().map(|table| {
        let name = table.text("name").map_or("", |(_, name)| name);
        (format!("charge {name:?}"), table)
    });
    let tiers = tiers.unwrap_or_default().into_iter().map(|table| ("an attainment tier".to_owned(), table));
    let mut found = Vec::new();
    for (name, table) in named.chain(tiers) {
        for list in ["models", "classes"] {
            let texts = table.texts(list, "an entry").unwrap_or_default();
            if table.has(list) && texts.is_empty() {
                found.push((name.clone(), list));
            }
        }
    }
    found
}

/// The unit that amounts are written in, where it is not the currency.
fn price_unit(root: &Table<'_>) -> Found<Option<PriceUnit>> {
    if !root.has("price_unit") {
        return Ok(None);
    }
    let table = root.table("price_unit", "[price_unit]")?;
    table.allow(&["name", "worth"])?;
    let (span, name) = table.text("name")?;
    let name = charges::printable(name, CHARGE_NAME_LENGTH_MAX);
    let name = name.ok_or((span, PlanProblem::BadDescription("name")))?;
    let worth = table.decimal("worth", PRICE_MAX)?;
    match worth.is_zero() {
        true => {
            Err((table.field("worth")?.span.clone(), PlanProblem::MustBePositive { field: "worth".into() }))
        }
        false => Ok(Some(PriceUnit { name, worth })),
    }
}

fn root_terms(root: &Table<'_>, price_unit: Option<PriceUnit>) -> Found<Terms> {
    root.allow(&[
        "name",
        "version",
        "currency",
        "price_unit",
        "effective_from",
        "billed_reasons",
        "slo",
        "slo_credit",
        "price",
        "meter",
        "charge",
        "discount",
        "base_fee",
        "commitment",
        "trial",
    ])?;
    let name = plan_name(root)?;
    let version = plan_version(root)?;
    let id = PlanVersionId::new(format!("{name}@{version}"));
    let id = id.map_err(|_| (root.span.clone(), PlanProblem::BadName(PLAN_NAME_LENGTH_MAX, name.clone())))?;
    let meters = meters::meters(root)?;
    let charges = charges::charges(root, &meters)?;
    let slo_credit::SloCredit { late_tokens, late_requests, tiers } = slo_credit::read(root, &charges)?;
    let discounts = charges::discounts(root, &charges)?;
    let prices = prices(root)?;
    if prices.is_empty() && charges.is_empty() {
        return Err((root.span.clone(), PlanProblem::NoPrices));
    }
    Ok(Terms {
        name,
        version,
        id,
        currency: currency(root)?,
        price_unit,
        effective_from: effective_from(root)?,
        billed_reasons: billed_reasons(root)?,
        slo: slo(root)?,
        late_tokens_percent: late_tokens,
        late_requests_percent: late_requests,
        attainment_tiers: tiers,
        prices,
        meters,
        charges,
        discounts,
        base_fee: subscription::base_fee(root)?,
        commitment: subscription::commitment(root)?,
        trial: subscription::trial(root)?,
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
    if !root.has("effective_from") {
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
    if !root.has("billed_reasons") {
        return Ok(BTreeSet::from([EndReason::Completed, EndReason::ClientGone]));
    }
    let texts = root.texts("billed_reasons", "the end reason")?;
    texts.into_iter().map(|(span, text)| end_reason(text).map_err(|problem| (span, problem))).collect()
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

fn prices(root: &Table<'_>) -> Found<Vec<Price>> {
    let tables = root.tables("price", "[[price]]", PRICES_MAX)?;
    let mut prices: Vec<Price> = Vec::with_capacity(tables.len());
    let mut seen = BTreeSet::new();
    for table in tables {
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
    let cached_input = match table.has("cached_input_per_mtok") {
        true => table.unit_price("cached_input_per_mtok")?,
        false => input.clone(),
    };
    let output = table.unit_price("output_per_mtok")?;
    Ok(Price { model, input, cached_input, output })
}
