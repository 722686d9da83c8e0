//! Lines about the energy of all requests, by where the figures come from.
//! Never an amount: energy that is charged is a charge of the plan.
//! Called by `build`, last of all.

use std::collections::BTreeMap;

use domain::EnergySource;

use super::{Line, LineKind, build::Draft};
use crate::{
    ledger::{UsageSum, UsageTotals},
    rate::{ExactAmount, RateError},
};

/// One line for each source.
///
/// Errors: sums that do not fit.
pub(super) fn lines(sums: &[UsageSum]) -> Result<Vec<Draft>, RateError> {
    let mut by_source: BTreeMap<EnergySource, UsageTotals> = BTreeMap::new();
    for sum in sums {
        let totals = by_source.entry(sum.energy_source).or_default();
        *totals = totals.checked_add(&sum.totals)?;
    }
    let draft = |(source, totals): (EnergySource, UsageTotals)| {
        let line = Line {
            description: format!("Energy of all requests, {}", source_words(source)),
            requests: totals.requests,
            quantity: totals.energy.get(),
            unit: "millijoules".to_owned(),
            ..Line::blank(LineKind::Energy, source.as_str())
        };
        Draft { line, exact: ExactAmount::zero() }
    };
    Ok(by_source.into_iter().map(draft).collect())
}

fn source_words(source: EnergySource) -> &'static str {
    match source {
        EnergySource::NvmlEnergy => "from the GPU's energy counter",
        EnergySource::NvmlPower => "from the GPU's power reading",
        EnergySource::Rapl => "from the CPU's energy counter",
        EnergySource::Modelled => "modelled, not measured",
    }
}
