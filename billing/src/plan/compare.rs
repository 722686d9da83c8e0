//! What two plan versions have in common and where they differ, term by term.
//! Never compares texts: spaces, comments and the order of fields say nothing.
//! Asked by `tallygate plan diff`.

use std::collections::{BTreeMap, BTreeSet};

use bigdecimal::BigDecimal;
use domain::Micros;

use super::{
    Aggregation, Basis, Charge, Discount, DiscountAmount, MeterDefinition, Plan, Scheme, Tier, UsageCharge,
};

/// One term that differs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TermChange {
    /// Which term, as a path: `price.demo.input_per_mtok`, `charge.seat.amount`.
    pub term: String,
    /// What it was; `None`: it was not there.
    pub before: Option<String>,
    /// What it is; `None`: it is gone.
    pub after: Option<String>,
}

/// Every term by its path, as text.
#[derive(Default)]
struct Terms(BTreeMap<String, String>);

impl Plan {
    /// Where another version's terms differ from this one's, by path. Versions themselves are no term.
    pub fn changes_to(&self, other: &Self) -> Vec<TermChange> {
        let (before, after) = (Terms::of(self).0, Terms::of(other).0);
        let paths: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
        let change = |term: &String| {
            let (before, after) = (before.get(term).cloned(), after.get(term).cloned());
            (before != after).then(|| TermChange { term: term.clone(), before, after })
        };
        paths.into_iter().filter_map(change).collect()
    }
}

impl Terms {
    fn of(plan: &Plan) -> Self {
        let mut terms = Self::default();
        terms.set("currency", &plan.currency());
        if let Some(unit) = plan.price_unit() {
            terms.set(
                "price_unit",
                &format!("{}, worth {} {}", unit.name, plain(&unit.worth), plan.currency()),
            );
        }
        terms.set(
            "effective_from",
            &plan.effective_from().map_or("publication".to_owned(), |day| day.to_string()),
        );
        let reasons: Vec<_> = plan.billed_reasons().map(|reason| reason.as_str()).collect();
        terms.set("billed_reasons", &reasons.join(", "));
        let slo = plan.slo();
        terms.set("slo.class", &slo.class);
        terms.set("slo.ttft", &target(slo.ttft));
        terms.set("slo.ttft_per_1k_prompt_tokens", &target(Some(slo.ttft_per_1k_prompt)));
        terms.set("slo.tpot", &target(slo.tpot));
        terms.set("slo_credit.late_tokens_percent", &plan.late_tokens_percent().value().to_plain_string());
        terms
            .set("slo_credit.late_requests_percent", &plan.late_requests_percent().value().to_plain_string());
        for tier in plan.attainment_tiers() {
            let classes = all_or(tier.classes.iter().map(|class| class.as_str()));
            let path = format!("slo_credit.attainment.{classes}.below {}", plain(tier.below.value()));
            let of = all_or(tier.charges.iter().map(String::as_str));
            terms.set(&path, &format!("{} % of {of}", plain(tier.percent.value())));
        }
        for price in plan.prices() {
            let mut set = |field: &str, price: &super::UnitPrice| {
                terms.set(&format!("price.{field}"), &price.per_million_tokens().to_plain_string());
            };
            let model = price.model();
            set(&format!("{model}.input_per_mtok"), &price.input);
            set(&format!("{model}.cached_input_per_mtok"), &price.cached_input);
            set(&format!("{model}.output_per_mtok"), &price.output);
        }
        for meter in plan.meters() {
            terms.meter(meter);
        }
        for charge in plan.charges() {
            terms.charge(charge);
        }
        for discount in plan.discounts() {
            terms.discount(discount);
        }
        terms.subscription(plan);
        terms
    }

    fn set(&mut self, path: &str, value: &(impl ToString + ?Sized)) {
        self.0.insert(path.to_owned(), value.to_string());
    }

    fn meter(&mut self, meter: &MeterDefinition) {
        let path = |field: &str| format!("meter.{}.{field}", meter.name);
        self.set(&path("event_type"), &meter.event_type);
        self.set(&path("unit"), &meter.unit);
        match &meter.aggregation {
            Aggregation::Count => self.set(&path("aggregation"), "count"),
            Aggregation::Sum(value) => {
                let text = format!("sum of {}, {} decimals", value.as_str(), meter.decimals);
                self.set(&path("aggregation"), &text);
            }
        }
        for filter in &meter.filters {
            let values: Vec<_> = filter.values.iter().map(String::as_str).collect();
            self.set(&path(&format!("filter {}", filter.field.as_str())), &values.join(", "));
        }
    }

    fn charge(&mut self, charge: &Charge) {
        let path = |field: &str| format!("charge.{}.{field}", charge.name);
        if let Some(description) = &charge.description {
            self.set(&path("description"), description);
        }
        for (field, bound) in [("minimum", &charge.minimum), ("maximum", &charge.maximum)] {
            if let Some(bound) = bound {
                self.set(&path(field), &plain(bound));
            }
        }
        match &charge.basis {
            Basis::Flat(amount) => self.set(&path("amount"), &plain(amount)),
            Basis::Percentage { percent, of } => {
                self.set(&path("percent"), &plain(percent));
                self.set(&path("of"), &all_or(of.iter().map(String::as_str)));
            }
            Basis::Usage(usage) => self.usage(usage, &path),
        }
    }

    fn subscription(&mut self, plan: &Plan) {
        if let Some(fee) = plan.base_fee() {
            self.set("base_fee.amount", &plain(&fee.amount));
            self.set("base_fee.timing", fee.timing.as_str());
            self.set("base_fee.proration", fee.proration.as_str());
            self.set("base_fee.on_cancel", fee.on_cancel.as_str());
            if let Some(description) = &fee.description {
                self.set("base_fee.description", description);
            }
        }
        if let Some(commitment) = plan.commitment() {
            self.set("commitment.amount", &plain(&commitment.amount));
            self.set("commitment.proration", commitment.proration.as_str());
        }
        if let Some(trial) = plan.trial() {
            self.set("trial.days", &trial.days);
            self.set("trial.usage", trial.usage.as_str());
        }
    }

    fn usage(&mut self, usage: &UsageCharge, path: &impl Fn(&str) -> String) {
        self.set(&path("meter"), &usage.meter);
        self.set(&path("models"), &all_or(usage.filter.models.iter().map(|model| model.as_str())));
        self.set(&path("classes"), &all_or(usage.filter.classes.iter().map(|class| class.as_str())));
        let unit = &usage.unit;
        let rounding = unit.rounding.map_or_else(String::new, |(decimals, mode)| {
            format!(", {decimals} decimals, rounded {}", mode.as_str())
        });
        self.set(&path("unit"), &format!("{} of {} {}{rounding}", unit.name, unit.counts, usage.counted));
        self.set(&path("free"), &plain(&usage.free));
        match &usage.scheme {
            Scheme::Unit { price, per } => {
                self.set(&path("unit_price"), &format!("{} per {per}", plain(price)));
            }
            Scheme::Package { price, size } => {
                self.set(&path("package"), &format!("{} for each begun {}", plain(price), plain(size)));
            }
            Scheme::Graduated(tiers) => self.tiers(tiers, &path("graduated")),
            Scheme::Volume(tiers) => self.tiers(tiers, &path("volume")),
        }
    }

    fn tiers(&mut self, tiers: &[Tier], path: &str) {
        for (tier, number) in tiers.iter().zip(1..) {
            let end =
                tier.up_to.as_ref().map_or("without end".to_owned(), |end| format!("up to {}", plain(end)));
            let text = format!("{end}: {} a unit, {} flat", plain(&tier.price), plain(&tier.flat));
            self.set(&format!("{path}.{number:02}"), &text);
        }
    }

    fn discount(&mut self, discount: &Discount) {
        let path = format!("discount.{}", discount.name);
        let amount = match &discount.amount {
            DiscountAmount::Amount(amount) => plain(amount),
            DiscountAmount::Percent(percent) => format!("{} %", plain(percent)),
        };
        let of = all_or(discount.charges.iter().map(String::as_str));
        self.set(&path, &format!("{amount} off {of}"));
    }
}

fn plain(number: &BigDecimal) -> String {
    number.normalized().to_plain_string()
}

fn target(span: Option<Micros>) -> String {
    span.map_or_else(|| "none".to_owned(), |span| format!("{} ms", span.to_duration().as_millis()))
}

/// The names, or that there is no choice.
fn all_or<'a>(names: impl Iterator<Item = &'a str>) -> String {
    let names: Vec<_> = names.collect();
    if names.is_empty() { "all".to_owned() } else { names.join(", ") }
}
