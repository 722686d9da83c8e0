//! Reads `[[meter]]`: meters of the plan's own, which count usage events.
//! Never a name that a meter of the gateway has, and never two meters of one name.
//! Called by `read::terms`, before charges name them.

use std::{collections::BTreeSet, ops::Range};

use super::{
    charges::printable,
    table::{Found, Table},
};
use crate::plan::{
    Aggregation, DataFilter, DataPointer, METER_DECIMALS_MAX, METER_FILTERS_MAX, METERS_MAX, Meter,
    MeterDefinition, MeterName, PlanProblem,
};

/// Longest name of a unit; it stands on every invoice line. Unit: characters.
const UNIT_CHARS_MAX: usize = 31;
/// Longest type of an event. Unit: characters.
const EVENT_TYPE_CHARS_MAX: usize = 255;
/// Longest value of a filter. Unit: characters.
const VALUE_CHARS_MAX: usize = 200;

#[derive(Clone, Copy)]
enum AggregationWord {
    Count,
    Sum,
}

const AGGREGATIONS: [(&str, AggregationWord); 2] =
    [("sum", AggregationWord::Sum), ("count", AggregationWord::Count)];

/// Every meter.
pub(super) fn meters(root: &Table<'_>) -> Found<Vec<MeterDefinition>> {
    let mut meters: Vec<MeterDefinition> = Vec::new();
    for table in root.tables("meter", "[[meter]]", METERS_MAX)? {
        let meter = meter(&table)?;
        if meters.iter().any(|other| other.name == meter.name) {
            let (span, name) = table.text("name")?;
            return Err((span, PlanProblem::Duplicate { what: "the meter", name: name.to_owned() }));
        }
        meters.push(meter);
    }
    Ok(meters)
}

fn meter(table: &Table<'_>) -> Found<MeterDefinition> {
    let aggregation = table.word("aggregation", &AGGREGATIONS)?;
    let own: &[&str] = match aggregation {
        AggregationWord::Sum => &["value", "decimals"],
        AggregationWord::Count => &[],
    };
    table.allow(&[&["name", "event_type", "aggregation", "unit", "filter"], own].concat())?;
    let name = name(table)?;
    let event_type = text(table, "event_type", EVENT_TYPE_CHARS_MAX)?;
    let unit = text(table, "unit", UNIT_CHARS_MAX)?;
    let (aggregation, decimals) = match aggregation {
        AggregationWord::Count => (Aggregation::Count, 0),
        AggregationWord::Sum => (Aggregation::Sum(pointer(table, "value")?), decimals(table)?),
    };
    let mut filters = Vec::new();
    for filter in table.tables("filter", "[[meter.filter]]", METER_FILTERS_MAX)? {
        filter.allow(&["field", "values"])?;
        filters.push(DataFilter { field: pointer(&filter, "field")?, values: values(&filter)? });
    }
    Ok(MeterDefinition { name, event_type, aggregation, unit, decimals, filters })
}

fn name(table: &Table<'_>) -> Found<MeterName> {
    let (span, text) = table.text("name")?;
    if Meter::BUILT_IN.iter().any(|meter| meter.as_str() == text) {
        return Err((span, PlanProblem::BuiltInMeter(text.to_owned())));
    }
    text.parse().map_err(|_| (span, PlanProblem::BadMeterName(text.to_owned())))
}

fn text(table: &Table<'_>, field: &'static str, chars_max: usize) -> Found<String> {
    let (span, text) = table.text(field)?;
    let problem = PlanProblem::BadText { field, chars_max };
    printable(text, chars_max).filter(|kept| kept == text).ok_or((span, problem))
}

fn pointer(table: &Table<'_>, field: &'static str) -> Found<DataPointer> {
    let (span, text) = table.text(field)?;
    DataPointer::new(text).ok_or_else(|| (span, PlanProblem::BadPointer { field, text: text.to_owned() }))
}

fn decimals(table: &Table<'_>) -> Found<u32> {
    if !table.has("decimals") {
        return Ok(0);
    }
    let max = u64::from(METER_DECIMALS_MAX);
    let (span, decimals) = table.integer("decimals", max)?;
    u32::try_from(decimals).map_err(|_| (span, PlanProblem::TooLarge { field: "decimals".into(), max }))
}

fn values(table: &Table<'_>) -> Found<BTreeSet<String>> {
    let place = table.field("values")?.span.clone();
    let texts = table.texts("values", "the value")?;
    let is_long = |(_, text): &(Range<usize>, &str)| text.chars().count() > VALUE_CHARS_MAX;
    if let Some((span, _)) = texts.iter().find(|value| is_long(value)) {
        return Err((span.clone(), PlanProblem::BadText { field: "values", chars_max: VALUE_CHARS_MAX }));
    }
    match texts.len() {
        0 => Err((place, PlanProblem::MissingField { field: "values", table: "[[meter.filter]]" })),
        1..=METER_FILTERS_MAX => Ok(texts.into_iter().map(|(_, text)| text.to_owned()).collect()),
        _ => Err((place, PlanProblem::TooMany { what: "values", max: METER_FILTERS_MAX })),
    }
}
