//! Reads a plan's text as a bookkeeper would: field after field, nothing checked, amounts as exact fractions.
//! Never uses the product's reader: what both read differently is a difference on an invoice.
//! Used by the auditor, and by the world to know what is for sale.

use jiff::civil::Date;
use toml::{Table, Value};

use crate::number::Exact;

/// A plan version.
#[derive(Clone, Debug)]
pub(crate) struct Paper {
    pub(crate) name: String,
    pub(crate) version: i64,
    pub(crate) effective: Option<Date>,
    pub(crate) billed: Vec<String>,
    pub(crate) late_tokens: Exact,
    pub(crate) late_requests: Exact,
    pub(crate) promises: Vec<Promise>,
    pub(crate) prices: Vec<TokenPrice>,
    pub(crate) items: Vec<Item>,
    pub(crate) discounts: Vec<Discount>,
    pub(crate) fee: Option<Fee>,
    pub(crate) commitment: Option<(Exact, String)>,
    pub(crate) trial: Option<(u32, String)>,
}

/// A tier of attainment.
#[derive(Clone, Debug)]
pub(crate) struct Promise {
    pub(crate) classes: Vec<String>,
    pub(crate) below: Exact,
    pub(crate) percent: Exact,
    pub(crate) charges: Vec<String>,
}

/// Prices of a million tokens.
#[derive(Clone, Debug)]
pub(crate) struct TokenPrice {
    pub(crate) model: String,
    pub(crate) input: Exact,
    pub(crate) cached: Exact,
    pub(crate) output: Exact,
}

/// A charge.
#[derive(Clone, Debug)]
pub(crate) struct Item {
    pub(crate) name: String,
    pub(crate) minimum: Option<Exact>,
    pub(crate) maximum: Option<Exact>,
    pub(crate) basis: Basis,
}

#[derive(Clone, Debug)]
pub(crate) enum Basis {
    Metered(Box<Metered>),
    Flat(Exact),
    Percentage { percent: Exact, of: Vec<String> },
}

/// A charge for what is counted.
#[derive(Clone, Debug)]
pub(crate) struct Metered {
    pub(crate) meter: String,
    pub(crate) models: Vec<String>,
    pub(crate) classes: Vec<String>,
    /// Counts of the meter in one unit, and how units are rounded: to how many decimals, and which way.
    pub(crate) counts: u64,
    pub(crate) rounding: Option<(u32, String)>,
    pub(crate) free: Exact,
    pub(crate) scheme: Scheme,
}

#[derive(Clone, Debug)]
pub(crate) enum Scheme {
    Unit { price: Exact, per: u64 },
    Package { price: Exact, size: Exact },
    Graduated(Vec<Step>),
    Volume(Vec<Step>),
}

/// A tier: its last unit, the price of each, and what is due once.
#[derive(Clone, Debug)]
pub(crate) struct Step {
    pub(crate) up_to: Option<Exact>,
    pub(crate) price: Exact,
    pub(crate) flat: Exact,
}

#[derive(Clone, Debug)]
pub(crate) struct Discount {
    pub(crate) name: String,
    pub(crate) amount: Option<Exact>,
    pub(crate) percent: Option<Exact>,
    pub(crate) charges: Vec<String>,
}

#[derive(Clone, Debug)]
pub(crate) struct Fee {
    pub(crate) amount: Exact,
    pub(crate) is_in_advance: bool,
    pub(crate) proration: String,
    pub(crate) is_kept: bool,
}

/// What amounts are multiplied by, where they are not in the currency.
struct Worth(Exact);

impl Worth {
    fn money(&self, table: &Table, field: &str) -> Exact {
        self.maybe(table, field).expect("an amount")
    }

    fn maybe(&self, table: &Table, field: &str) -> Option<Exact> {
        decimal(table, field).map(|amount| amount.times(&self.0))
    }
}

fn decimal(table: &Table, field: &str) -> Option<Exact> {
    table.get(field).map(|value| Exact::read(value.as_str().expect("a decimal in quotes")))
}

fn text(table: &Table, field: &str) -> Option<String> {
    table.get(field).map(|value| value.as_str().expect("a text").to_owned())
}

fn texts(table: &Table, field: &str) -> Vec<String> {
    let list = table.get(field).and_then(Value::as_array).cloned().unwrap_or_default();
    list.iter().map(|value| value.as_str().expect("a text").to_owned()).collect()
}

fn tables<'a>(table: &'a Table, field: &str) -> Vec<&'a Table> {
    let list = table.get(field).and_then(Value::as_array);
    list.into_iter().flatten().map(|value| value.as_table().expect("a table")).collect()
}

fn count(table: &Table, field: &str) -> Option<u64> {
    table
        .get(field)
        .map(|value| u64::try_from(value.as_integer().expect("a number")).expect("not below zero"))
}

impl Paper {
    pub(crate) fn read(source: &str) -> Self {
        let root: Table = toml::from_str(source).expect("a plan");
        let table = |field: &str| root.get(field).and_then(Value::as_table);
        let worth =
            Worth(table("price_unit").and_then(|unit| decimal(unit, "worth")).unwrap_or(Exact::whole(1)));
        let credit = table("slo_credit");
        let percent = |field| credit.and_then(|credit| decimal(credit, field)).unwrap_or(Exact::zero());
        let billed = match root.contains_key("billed_reasons") {
            true => texts(&root, "billed_reasons"),
            false => vec!["completed".to_owned(), "client_gone".to_owned()],
        };
        Self {
            name: text(&root, "name").expect("a name"),
            version: root["version"].as_integer().expect("a number"),
            effective: text(&root, "effective_from").map(|day| day.parse().expect("a day")),
            billed,
            late_tokens: percent("late_tokens_percent"),
            late_requests: percent("late_requests_percent"),
            promises: credit
                .into_iter()
                .flat_map(|credit| tables(credit, "attainment"))
                .map(promise)
                .collect(),
            prices: tables(&root, "price").into_iter().map(|price| token_price(price, &worth)).collect(),
            items: tables(&root, "charge").into_iter().map(|charge| item(charge, &worth)).collect(),
            discounts: tables(&root, "discount").into_iter().map(|money| discount(money, &worth)).collect(),
            fee: table("base_fee").map(|fee| Fee {
                amount: worth.money(fee, "amount"),
                is_in_advance: text(fee, "timing").expect("a timing") == "advance",
                proration: text(fee, "proration").unwrap_or_else(|| "day".to_owned()),
                is_kept: text(fee, "on_cancel").is_some_and(|what| what == "keep"),
            }),
            commitment: table("commitment").map(|least| {
                (worth.money(least, "amount"), text(least, "proration").unwrap_or_else(|| "day".to_owned()))
            }),
            trial: table("trial").map(|trial| {
                let days = u32::try_from(count(trial, "days").expect("days")).expect("few");
                (days, text(trial, "usage").expect("a usage"))
            }),
        }
    }

    pub(crate) fn id(&self) -> String {
        format!("{}@{}", self.name, self.version)
    }

    /// A model's own price, or the price of all others.
    pub(crate) fn price_of(&self, model: &str) -> Option<&TokenPrice> {
        let named = self.prices.iter().find(|price| price.model == model);
        named.or_else(|| self.prices.iter().find(|price| price.model == "*"))
    }

    /// Whether a model is for sale: it has a price, or a charge counts its tokens or its requests.
    pub(crate) fn is_for_sale(&self, model: &str) -> bool {
        let is_sold = |item: &Item| match &item.basis {
            Basis::Metered(metered) => {
                metered.meter != "energy"
                    && (metered.models.is_empty() || metered.models.iter().any(|one| one == model))
            }
            Basis::Flat(_) | Basis::Percentage { .. } => false,
        };
        self.price_of(model).is_some() || self.items.iter().any(is_sold)
    }
}

fn promise(table: &Table) -> Promise {
    let charges = match table.contains_key("charges") {
        true => texts(table, "charges"),
        false => vec!["tokens".to_owned()],
    };
    Promise {
        classes: texts(table, "classes"),
        below: decimal(table, "below").expect("a bound"),
        percent: decimal(table, "percent").expect("a share"),
        charges,
    }
}

fn token_price(table: &Table, worth: &Worth) -> TokenPrice {
    let input = worth.money(table, "input_per_mtok");
    TokenPrice {
        model: text(table, "model").expect("a model"),
        cached: worth.maybe(table, "cached_input_per_mtok").unwrap_or_else(|| input.clone()),
        input,
        output: worth.money(table, "output_per_mtok"),
    }
}

fn item(table: &Table, worth: &Worth) -> Item {
    let steps = || {
        let step = |step: &Table| Step {
            up_to: decimal(step, "up_to"),
            price: worth.money(step, "price"),
            flat: worth.maybe(step, "flat").unwrap_or(Exact::zero()),
        };
        tables(table, "tier").into_iter().map(step).collect()
    };
    let price = || worth.money(table, "price");
    let scheme = text(table, "scheme").expect("a scheme");
    let scheme = match scheme.as_str() {
        "flat" => return of(table, worth, Basis::Flat(worth.money(table, "amount"))),
        "percentage" => {
            let percent = decimal(table, "percent").expect("a share");
            return of(table, worth, Basis::Percentage { percent, of: texts(table, "of") });
        }
        "unit" => Scheme::Unit { price: price(), per: count(table, "per").unwrap_or(1) },
        "package" => Scheme::Package { price: price(), size: decimal(table, "size").expect("a size") },
        "graduated" => Scheme::Graduated(steps()),
        "volume" => Scheme::Volume(steps()),
        other => panic!("{other} is no scheme"),
    };
    let (counts, rounding) = unit(table);
    let metered = Metered {
        meter: text(table, "meter").expect("a meter"),
        models: texts(table, "models"),
        classes: texts(table, "classes"),
        counts,
        rounding,
        free: decimal(table, "free").unwrap_or(Exact::zero()),
        scheme,
    };
    of(table, worth, Basis::Metered(Box::new(metered)))
}

fn of(table: &Table, worth: &Worth, basis: Basis) -> Item {
    let (minimum, maximum) = (worth.maybe(table, "minimum"), worth.maybe(table, "maximum"));
    Item { name: text(table, "name").expect("a name"), minimum, maximum, basis }
}

/// Counts in one unit. Watt-hours have nine decimals, as the documentation says.
fn unit(table: &Table) -> (u64, Option<(u32, String)>) {
    let nine = || Some((9, "half_up".to_owned()));
    match table.get("unit") {
        None => (1, None),
        Some(Value::String(name)) => match name.as_str() {
            "J" => (1_000, None),
            "Wh" => (3_600_000, nine()),
            "kWh" => (3_600_000_000, nine()),
            other => panic!("{other} is no unit"),
        },
        Some(own) => {
            let own = own.as_table().expect("a table");
            let rounding = count(own, "decimals").map(|decimals| {
                (u32::try_from(decimals).expect("few"), text(own, "rounding").expect("a way to round"))
            });
            (count(own, "counts").expect("counts"), rounding)
        }
    }
}

fn discount(table: &Table, worth: &Worth) -> Discount {
    Discount {
        name: text(table, "name").expect("a name"),
        amount: worth.maybe(table, "amount"),
        percent: decimal(table, "percent"),
        charges: texts(table, "charges"),
    }
}
