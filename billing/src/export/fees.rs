//! What time each base fee on an invoice is for, from the facts of its subscription.
//! Never an amount, and never a guess: where fees and lines do not pair up, the invoice's own period stands.
//! Called by `Export`, once for each document.

use std::collections::BTreeMap;

use domain::Timestamp;

use super::ExportError;
use crate::{
    invoice::{Invoice, Line},
    ledger::{Ledger, LedgerError},
    subscription::{Plans, fees, zone},
};

/// First instant and first instant after it, by the line's position.
pub(super) type FeePeriods = BTreeMap<u32, (Timestamp, Timestamp)>;

/// The periods of an invoice's base fees, and of what is given back of them.
///
/// Errors: facts that do not read, a database that fails.
pub(super) async fn fee_periods(ledger: &Ledger, invoice: &Invoice) -> Result<FeePeriods, ExportError> {
    let is_its_own = |line: &&Line| line.is_base_fee() && line.correction.is_none();
    let positions: Vec<u32> = invoice.lines.iter().filter(is_its_own).map(|line| line.position).collect();
    let Some(stated) = invoice.subscription.as_ref().filter(|_| !positions.is_empty()) else {
        return Ok(FeePeriods::new());
    };
    let facts = stated.to_facts();
    let facts = facts.map_err(|error| LedgerError::corrupt("subscription of an invoice", &error))?;
    let mut plans = Plans::new();
    for id in facts.plans() {
        if let Some(plan) = ledger.find_plan(id).await? {
            plans.insert(id.clone(), plan);
        }
    }
    // In the order in which the lines were made of them.
    let fees = fees(&facts, &zone(&invoice.period.zone)?, &plans)?;
    if fees.len() != positions.len() {
        return Ok(FeePeriods::new());
    }
    Ok(positions.into_iter().zip(fees).map(|(position, fee)| (position, (fee.from, fee.to))).collect())
}
