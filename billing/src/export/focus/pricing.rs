//! How charges are priced: how much of what, at which price for one.
//! Never an amount that is not on the invoice: where a price for one has no end, the charge is one of itself.
//! Called by `charge`.

use bigdecimal::{BigDecimal, Zero as _};

use crate::{
    export::{ExportError, lines::decimal},
    invoice::{Line, LineKind},
};

/// How a charge is priced: how much of what, at which price for one.
pub(super) struct Pricing {
    pub(super) quantity: BigDecimal,
    pub(super) unit: String,
    pub(super) price: BigDecimal,
}

impl Pricing {
    /// `quantity × price` is the exact amount. Where a price for one has no end in decimals, the charge is one of itself.
    pub(super) fn of(line: &Line, exact: &BigDecimal) -> Result<Self, ExportError> {
        let whole =
            || Self { quantity: BigDecimal::from(1), unit: "Charge".to_owned(), price: exact.clone() };
        let counted = BigDecimal::from(line.quantity);
        let Some(price) = line.unit_price.as_deref().map(decimal).transpose()? else {
            return Ok(match line.kind {
                LineKind::NotBilled | LineKind::Energy => {
                    Self { quantity: counted, unit: unit_name(&line.unit), price: BigDecimal::zero() }
                }
                LineKind::Charge
                | LineKind::Minimum
                | LineKind::Maximum
                | LineKind::Discount
                | LineKind::SloCredit
                | LineKind::Correction
                | LineKind::Invoiced => whole(),
            });
        };
        let units = line.units.as_deref().map(decimal).transpose()?.unwrap_or(counted);
        let name = line.units_name.clone().unwrap_or_else(|| unit_name(&line.unit));
        let per = line.unit_price_per.unwrap_or(1);
        let (quantity, unit) = match per {
            1 => (units, name),
            per => (units / BigDecimal::from(per), format!("{per} {name}")),
        };
        let pricing = Self { quantity, unit, price };
        Ok(if &pricing.quantity * &pricing.price == *exact { pricing } else { whole() })
    }
}

/// Units begin with a capital letter in FOCUS; `mJ` is written as it is.
fn unit_name(unit: &str) -> String {
    match unit {
        "tokens" => "Tokens".to_owned(),
        "requests" => "Requests".to_owned(),
        "millijoules" | "mJ" => "mJ".to_owned(),
        other => other.to_owned(),
    }
}

/// A quantity in whole units: what is counted in a unit's last decimal, such as `0.001 s`, is given in the unit itself.
pub(super) fn whole_units(quantity: u64, unit: &str) -> (BigDecimal, String) {
    let step = unit.split_once(' ').and_then(|(step, name)| Some((step.parse::<BigDecimal>().ok()?, name)));
    match step {
        Some((step, name)) if unit.starts_with("0.") => (BigDecimal::from(quantity) * step, unit_name(name)),
        Some(_) | None => (BigDecimal::from(quantity), unit_name(unit)),
    }
}
