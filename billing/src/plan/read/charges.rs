//! Reads `[[charge]]` and `[[discount]]`: what is metered, its unit, its scheme, and money off.
//! Never lets an amount in whose shares have no end, and never a field that its scheme does not use.
//! Called by `read::terms`.

use std::{collections::BTreeSet, ops::Range};

use bigdecimal::{BigDecimal, Zero as _};
use domain::ModelName;

use super::table::{Found, Table};
use crate::plan::{
    Basis, CHARGE_NAME_LENGTH_MAX, CHARGES_MAX, Charge, Discount, DiscountAmount, Filter, Meter,
    MeterDefinition, PlanProblem, QuantityRounding, QuantityUnit, Scheme, TIERS_MAX, TOKENS_CHARGE, Tier,
    UNIT_DECIMALS_MAX, UsageCharge,
};

/// Largest quantity that a plan may name, in units.
const QUANTITY_MAX: u64 = 1_000_000_000_000_000_000;
/// Largest share that is not a discount: ten times the base.
const PERCENT_MAX: u64 = 1_000;
/// Longest text for people. Unit: characters.
const DESCRIPTION_CHARS_MAX: usize = 200;
/// Millijoules in a joule, a watt-hour and a kilowatt-hour.
const ENERGY_UNITS: [(&str, u64); 3] = [("J", 1_000), ("Wh", 3_600_000), ("kWh", 3_600_000_000)];
/// Decimals of watt-hours and kilowatt-hours, which have no end in decimals: a nano-unit is far below a millijoule's worth.
const ENERGY_DECIMALS: u32 = 9;

#[derive(Clone, Copy)]
enum SchemeWord {
    Unit,
    Package,
    Graduated,
    Volume,
    Flat,
    Percentage,
}

const SCHEMES: [(&str, SchemeWord); 6] = [
    ("unit", SchemeWord::Unit),
    ("package", SchemeWord::Package),
    ("graduated", SchemeWord::Graduated),
    ("volume", SchemeWord::Volume),
    ("flat", SchemeWord::Flat),
    ("percentage", SchemeWord::Percentage),
];

/// Fields of every charge, and of every charge for a metered quantity.
const ALWAYS: [&str; 5] = ["name", "description", "scheme", "minimum", "maximum"];
const METERED: [&str; 5] = ["meter", "models", "classes", "unit", "free"];

/// Every charge.
pub(super) fn charges(root: &Table<'_>, meters: &[MeterDefinition]) -> Found<Vec<Charge>> {
    let mut charges: Vec<Charge> = Vec::new();
    for table in root.tables("charge", "[[charge]]", CHARGES_MAX)? {
        let charge = charge(&table, &charges, meters)?;
        charges.push(charge);
    }
    Ok(charges)
}

fn charge(table: &Table<'_>, before: &[Charge], meters: &[MeterDefinition]) -> Found<Charge> {
    let scheme = table.word("scheme", &SCHEMES)?;
    let own: &[&str] = match scheme {
        SchemeWord::Unit => &["price", "per"],
        SchemeWord::Package => &["price", "size"],
        SchemeWord::Graduated | SchemeWord::Volume => &["tier"],
        SchemeWord::Flat => &["amount"],
        SchemeWord::Percentage => &["percent", "of"],
    };
    let is_metered = !matches!(scheme, SchemeWord::Flat | SchemeWord::Percentage);
    let metered: &[&str] = if is_metered { &METERED } else { &[] };
    table.allow(&[&ALWAYS, metered, own].concat())?;
    let name = name(table, |name| before.iter().any(|charge| charge.name == name))?;
    let basis = match scheme {
        SchemeWord::Flat => Basis::Flat(table.money("amount")?),
        SchemeWord::Percentage => Basis::Percentage {
            percent: table.decimal("percent", PERCENT_MAX)?,
            of: named(table, "of", before)?,
        },
        SchemeWord::Unit | SchemeWord::Package | SchemeWord::Graduated | SchemeWord::Volume => {
            Basis::Usage(usage(table, scheme, meters)?)
        }
    };
    let minimum = table.optional_money("minimum")?;
    let maximum = table.optional_money("maximum")?;
    if let (Some(minimum), Some(maximum)) = (&minimum, &maximum)
        && maximum < minimum
    {
        return Err((table.field("maximum")?.span.clone(), PlanProblem::MaximumBelowMinimum));
    }
    Ok(Charge { name, description: description(table)?, basis, minimum, maximum })
}

fn usage(table: &Table<'_>, scheme: SchemeWord, meters: &[MeterDefinition]) -> Found<UsageCharge> {
    let (meter, own) = meter(table, meters)?;
    if own.is_some()
        && let Some(field) = ["models", "classes"].into_iter().find(|field| table.has(field))
    {
        let problem = PlanProblem::NoRequests { field, meter: meter.as_str().to_owned() };
        return Err((table.field(field)?.span.clone(), problem));
    }
    let counted = own.map_or_else(|| meter.counts().unwrap_or_default().to_owned(), MeterDefinition::counted);
    let plain = match own {
        Some(own) => QuantityUnit::plain(&own.unit, own.counts_per_unit()),
        None => QuantityUnit::plain(&counted, 1),
    };
    Ok(UsageCharge {
        meter,
        filter: filter(table)?,
        unit: unit(table, meter, plain)?,
        counted,
        free: table.optional_decimal("free", QUANTITY_MAX)?.unwrap_or_else(BigDecimal::zero),
        scheme: usage_scheme(table, scheme)?,
    })
}

/// A meter of the gateway, or one of the plan's own with its definition.
fn meter<'a>(
    table: &Table<'_>,
    meters: &'a [MeterDefinition],
) -> Found<(Meter, Option<&'a MeterDefinition>)> {
    let (span, text) = table.text("meter")?;
    let built_in = Meter::BUILT_IN.into_iter().find(|meter| meter.as_str() == text);
    let own = meters.iter().find(|meter| meter.name.as_str() == text);
    match (built_in, own) {
        (Some(meter), _) => Ok((meter, None)),
        (None, Some(own)) => Ok((Meter::Custom(own.name), Some(own))),
        (None, None) => {
            let names = Meter::BUILT_IN.iter().map(Meter::as_str);
            let names: Vec<_> = names.chain(meters.iter().map(|meter| meter.name.as_str())).collect();
            let (field, found, allowed) = ("meter".to_owned(), text.to_owned(), names.join(", "));
            Err((span, PlanProblem::BadWord { field, found, allowed }))
        }
    }
}

fn usage_scheme(table: &Table<'_>, scheme: SchemeWord) -> Found<Scheme> {
    match scheme {
        SchemeWord::Package => {
            let size = table.decimal("size", QUANTITY_MAX)?;
            if size.is_zero() {
                let field = "size".to_owned();
                return Err((table.field("size")?.span.clone(), PlanProblem::MustBePositive { field }));
            }
            Ok(Scheme::Package { price: table.money("price")?, size })
        }
        SchemeWord::Graduated => Ok(Scheme::Graduated(tiers(table)?)),
        SchemeWord::Volume => Ok(Scheme::Volume(tiers(table)?)),
        SchemeWord::Unit | SchemeWord::Flat | SchemeWord::Percentage => {
            let price = table.money("price")?;
            let per = if table.has("per") { positive(table, "per")? } else { (0..0, 1) };
            match is_terminating(per.1) {
                true => Ok(Scheme::Unit { price, per: per.1 }),
                false => Err((per.0, PlanProblem::EndlessShare { field: "per".to_owned() })),
            }
        }
    }
}

fn tiers(table: &Table<'_>) -> Found<Vec<Tier>> {
    table.field("tier")?;
    let tables = table.tables("tier", "[[charge.tier]]", TIERS_MAX)?;
    let count = tables.len();
    let mut tiers: Vec<Tier> = Vec::with_capacity(count);
    for (tier, number) in tables.iter().zip(1..) {
        tier.allow(&["up_to", "price", "flat"])?;
        let up_to = tier.optional_decimal("up_to", QUANTITY_MAX)?;
        let wrong = |text: &str| (tier.span.clone(), PlanProblem::BadTiers(text.to_owned()));
        let last_end = tiers.last().and_then(|tier| tier.up_to.clone()).unwrap_or_else(BigDecimal::zero);
        match &up_to {
            None if number < count => return Err(wrong("only the last tier may have no `up_to`")),
            Some(_) if number == count => {
                return Err(wrong("the last tier must have no `up_to`: every quantity needs a price"));
            }
            Some(end) if *end <= last_end => {
                return Err(wrong("`up_to` must be above the tier before it, and above zero"));
            }
            None | Some(_) => {}
        }
        let flat = tier.optional_money("flat")?.unwrap_or_else(BigDecimal::zero);
        tiers.push(Tier { up_to, price: tier.money("price")?, flat });
    }
    match tiers.is_empty() {
        true => Err((table.span.clone(), PlanProblem::BadTiers("a charge by tiers needs a tier".to_owned()))),
        false => Ok(tiers),
    }
}

fn filter(table: &Table<'_>) -> Found<Filter> {
    let model = |(span, text): (Range<usize>, &str)| {
        ModelName::new(text).map_err(|_| (span, PlanProblem::BadModel(text.to_owned())))
    };
    let models = table.texts("models", "the model")?.into_iter().map(model);
    Ok(Filter { models: models.collect::<Found<_>>()?, classes: table.classes()? })
}

/// The unit: the meter's own, one of energy by its name, or one of the plan's making.
fn unit(table: &Table<'_>, meter: Meter, plain: QuantityUnit) -> Found<QuantityUnit> {
    if !table.has("unit") {
        return Ok(plain);
    }
    let field = table.field("unit")?;
    if let Some(name) = field.as_text() {
        let Some((_, counts)) = ENERGY_UNITS.iter().find(|(unit, _)| *unit == name) else {
            let allowed = ENERGY_UNITS.map(|(unit, _)| unit).join(", ");
            let problem = PlanProblem::BadWord { field: "unit".to_owned(), found: name.to_owned(), allowed };
            return Err((field.span.clone(), problem));
        };
        if meter != Meter::Energy {
            return Err((
                field.span.clone(),
                PlanProblem::NoEnergy(name.to_owned(), meter.as_str().to_owned()),
            ));
        }
        let rounding = (!is_terminating(*counts)).then_some((ENERGY_DECIMALS, QuantityRounding::HalfUp));
        return Ok(QuantityUnit { name: name.to_owned(), counts: *counts, rounding });
    }
    let unit = table.table("unit", "`unit`")?;
    unit.allow(&["name", "counts", "decimals", "rounding"])?;
    let (span, name) = unit.text("name")?;
    let name = printable(name, CHARGE_NAME_LENGTH_MAX).ok_or((span, PlanProblem::BadDescription("name")))?;
    let (span, counts) = positive(&unit, "counts")?;
    let rounding = match unit.has("decimals") || unit.has("rounding") {
        true => {
            let (span, decimals) = unit.integer("decimals", u64::from(UNIT_DECIMALS_MAX))?;
            let decimals = u32::try_from(decimals).map_err(|_| {
                let max = u64::from(UNIT_DECIMALS_MAX);
                (span, PlanProblem::TooLarge { field: "decimals".to_owned(), max })
            })?;
            Some((decimals, unit.word("rounding", &QuantityRounding::ALL.map(|mode| (mode.as_str(), mode)))?))
        }
        false => None,
    };
    if rounding.is_none() && !is_terminating(counts) {
        return Err((span, PlanProblem::EndlessUnit(counts)));
    }
    // What the plan counts in is the meter's unit, of which one may be many counts.
    let too_large = PlanProblem::TooLarge { field: "counts".to_owned(), max: QUANTITY_MAX / plain.counts };
    let counts = counts.checked_mul(plain.counts).filter(|counts| *counts <= QUANTITY_MAX);
    Ok(QuantityUnit { name, counts: counts.ok_or((span, too_large))?, rounding })
}

/// Every discount.
pub(super) fn discounts(root: &Table<'_>, charges: &[Charge]) -> Found<Vec<Discount>> {
    let mut discounts: Vec<Discount> = Vec::new();
    for table in root.tables("discount", "[[discount]]", CHARGES_MAX)? {
        table.allow(&["name", "description", "amount", "percent", "charges"])?;
        let name = name(&table, |name| {
            discounts.iter().any(|discount| discount.name == name)
                || charges.iter().any(|charge| charge.name == name)
        })?;
        let amount = match (table.has("amount"), table.has("percent")) {
            (true, false) => DiscountAmount::Amount(table.money("amount")?),
            (false, true) => DiscountAmount::Percent(table.decimal("percent", 100)?),
            (true, true) | (false, false) => {
                return Err((table.span, PlanProblem::AmountOrPercent));
            }
        };
        let charges = named(&table, "charges", charges)?;
        discounts.push(Discount { name, description: description(&table)?, amount, charges });
    }
    Ok(discounts)
}

/// The charges that a list names: each must be there before it, or stand for the lines of `[[price]]`.
pub(super) fn named(table: &Table<'_>, field: &'static str, charges: &[Charge]) -> Found<BTreeSet<String>> {
    let mut names = BTreeSet::new();
    for (span, name) in table.texts(field, "the charge")? {
        if name != TOKENS_CHARGE && !charges.iter().any(|charge| charge.name == name) {
            let known: Vec<&str> = [TOKENS_CHARGE]
                .into_iter()
                .chain(charges.iter().map(|charge| charge.name.as_str()))
                .collect();
            return Err((span, PlanProblem::UnknownCharge(name.to_owned(), known.join(", "))));
        }
        names.insert(name.to_owned());
    }
    Ok(names)
}

fn name(table: &Table<'_>, is_taken: impl Fn(&str) -> bool) -> Found<String> {
    let (span, name) = table.text("name")?;
    let is_allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-_".contains(&byte);
    let is_good = (1..=CHARGE_NAME_LENGTH_MAX).contains(&name.len()) && name.bytes().all(is_allowed);
    if !is_good || name == TOKENS_CHARGE {
        return Err((span, PlanProblem::BadChargeName(CHARGE_NAME_LENGTH_MAX, name.to_owned())));
    }
    match is_taken(name) {
        true => Err((span, PlanProblem::Duplicate { what: "the name", name: name.to_owned() })),
        false => Ok(name.to_owned()),
    }
}

pub(super) fn description(table: &Table<'_>) -> Found<Option<String>> {
    let Some((span, text)) = table.optional_text("description")? else { return Ok(None) };
    let text = printable(text, DESCRIPTION_CHARS_MAX);
    text.map(Some).ok_or((span, PlanProblem::BadDescription("description")))
}

/// A text that fits on a line.
pub(super) fn printable(text: &str, chars_max: usize) -> Option<String> {
    let text = text.trim();
    let is_good = (1..=chars_max).contains(&text.chars().count()) && !text.chars().any(char::is_control);
    is_good.then(|| text.to_owned())
}

/// A whole number of at least one.
fn positive(table: &Table<'_>, field: &'static str) -> Found<(Range<usize>, u64)> {
    match table.integer(field, QUANTITY_MAX)? {
        (span, 0) => Err((span, PlanProblem::TooSmall { field: field.to_owned(), min: 1 })),
        found => Ok(found),
    }
}

/// Whether every share of it is an exact decimal: it has no prime factors but 2 and 5.
fn is_terminating(mut number: u64) -> bool {
    for factor in [2, 5] {
        while number > 1 && number.is_multiple_of(factor) {
            number /= factor;
        }
    }
    number == 1
}
