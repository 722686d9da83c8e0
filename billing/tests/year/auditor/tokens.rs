//! Prices per token and what is given back for lateness, record by record.
//! Never a sum that was kept by somebody else: each figure is counted anew from the records.
//! Used by `rating`.

use std::collections::BTreeSet;

use domain::UsageRecord;

use super::entry::Entry;
use crate::{
    number::{Exact, sum},
    reader::Paper,
};

/// The records of a period and the plans that they name.
#[derive(Clone, Copy)]
pub(super) struct Used<'a> {
    pub(super) records: &'a [&'a UsageRecord],
    pub(super) papers: &'a [&'a Paper],
}

pub(super) fn is_billed(paper: &Paper, record: &UsageRecord) -> bool {
    paper.billed.iter().any(|reason| reason == record.reason.as_str())
}

/// Names and versions of plans, then models, each once and in order.
pub(super) fn groups<'a>(used: Used<'a>) -> Vec<(&'a Paper, String)> {
    let models = |paper: &Paper| -> BTreeSet<String> {
        let own = used.records.iter().filter(|record| record.price_version.as_str() == paper.id());
        own.map(|record| record.model.to_string()).collect()
    };
    used.papers.iter().flat_map(|paper| models(paper).into_iter().map(|model| (*paper, model))).collect()
}

fn million(tokens: u64, price: &Exact) -> Exact {
    Exact::count(tokens).times(price).over(&Exact::whole(1_000_000))
}

/// Lines of token prices and the credits that belong to them, of the billed records of some class, or of all.
pub(super) fn entries(used: Used<'_>, class: Option<&str>) -> Vec<Entry> {
    let mut entries = Vec::new();
    for (paper, model) in groups(used) {
        let is_its = |record: &&&UsageRecord| {
            record.price_version.as_str() == paper.id()
                && record.model.as_str() == model
                && is_billed(paper, record)
                && class.is_none_or(|class| record.slo.class.as_str() == class)
        };
        let own: Vec<&UsageRecord> = used.records.iter().filter(is_its).copied().collect();
        if !own.is_empty() {
            entries.extend(of_model(paper, &model, &own));
        }
    }
    entries
}

fn of_model(paper: &Paper, model: &str, own: &[&UsageRecord]) -> Vec<Entry> {
    let Some(price) = paper.price_of(model) else { return Vec::new() };
    let entry = |kind, item, quantity, exact| Entry {
        model: Some(model.to_owned()),
        version: Some(paper.id()),
        requests: u64::try_from(own.len()).expect("few"),
        quantity,
        unit: "tokens".to_owned(),
        ..Entry::new(kind, item, exact)
    };
    let count = |of: fn(&UsageRecord) -> u64| own.iter().map(|record| of(record)).sum::<u64>();
    let input = count(|record| record.prompt_tokens.get() - record.cached_prompt_tokens.get());
    let meters = [
        ("input", input, &price.input),
        ("cached_input", count(|record| record.cached_prompt_tokens.get()), &price.cached),
        ("output", count(|record| record.output_tokens.get()), &price.output),
    ];
    let mut entries: Vec<Entry> = Vec::new();
    for (item, tokens, price) in meters {
        if tokens > 0 {
            entries.push(entry("charge", item, tokens, million(tokens, price)));
        }
    }
    let late = count(|record| record.output_tokens.get() - record.tokens_in_slo.get());
    let given_back = million(late, &price.output).percent(&paper.late_tokens);
    entries.push(entry("slo_credit", "late_output", late, given_back.negated()));
    if !paper.late_requests.is_zero() {
        let missed: Vec<_> = own.iter().filter(|record| !record.slo_met).collect();
        let cost = |record: &UsageRecord| {
            let cached = record.cached_prompt_tokens.get();
            let computed = million(record.prompt_tokens.get() - cached, &price.input);
            let output = million(record.output_tokens.get(), &price.output);
            computed.plus(&million(cached, &price.cached)).plus(&output)
        };
        let shares: Vec<Exact> =
            missed.iter().map(|record| cost(record).percent(&paper.late_requests)).collect();
        let left = sum(entries.iter().map(|entry| &entry.exact));
        let given_back = sum(&shares).min(left);
        let requests = u64::try_from(missed.len()).expect("few");
        let line = entry("slo_credit", "late_requests", requests, given_back.negated());
        entries.push(Entry { unit: "requests".to_owned(), ..line });
    }
    entries
}

/// What is there for information: usage that is not billed, and energy by its source.
pub(super) fn for_information(used: Used<'_>) -> Vec<Entry> {
    let mut entries = Vec::new();
    for (paper, model) in groups(used) {
        for reason in ["completed", "client_gone", "deadline", "engine_error", "crashed"] {
            let is_its = |record: &&&UsageRecord| {
                record.price_version.as_str() == paper.id()
                    && record.model.as_str() == model
                    && record.reason.as_str() == reason
                    && !is_billed(paper, record)
            };
            let own: Vec<_> = used.records.iter().filter(is_its).collect();
            let input: u64 = own.iter().map(|record| record.prompt_tokens.get()).sum();
            let output: u64 = own.iter().map(|record| record.output_tokens.get()).sum();
            let entry = |item, quantity| Entry {
                model: Some(model.clone()),
                version: Some(paper.id()),
                reason: Some(reason.to_owned()),
                requests: u64::try_from(own.len()).expect("few"),
                quantity,
                unit: "tokens".to_owned(),
                ..Entry::new("not_billed", item, Exact::zero())
            };
            if input > 0 || (output == 0 && !own.is_empty()) {
                entries.push(entry("input", input));
            }
            if output > 0 {
                entries.push(entry("output", output));
            }
        }
    }
    for source in ["nvml_energy", "nvml_power", "rapl", "modelled"] {
        let own: Vec<_> =
            used.records.iter().filter(|record| record.energy_source.as_str() == source).collect();
        if !own.is_empty() {
            entries.push(Entry {
                requests: u64::try_from(own.len()).expect("few"),
                quantity: own.iter().map(|record| record.energy.get()).sum(),
                unit: "millijoules".to_owned(),
                ..Entry::new("energy", source, Exact::zero())
            });
        }
    }
    entries
}
