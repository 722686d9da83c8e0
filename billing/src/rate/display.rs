//! Spreads a rounded subtotal over the lines it is the sum of, by largest remainder.
//! Never rounds the subtotal itself and never changes an exact amount.
//! Called by invoices, once each.

use domain::Currency;

use super::{ExactAmount, MinorUnits, RateError};

/// Displayed amounts for lines with these exact amounts, such that they add up to `subtotal`.
///
/// Each line is first taken down to whole minor units; what is then missing goes, one unit each, to
/// the lines that lost most, the earlier line first where they lost the same. So each displayed
/// amount is less than one minor unit away from its exact amount, and a line of exactly zero shows zero.
///
/// `subtotal` must be the sum of the exact amounts, rounded.
/// Errors: an amount that does not fit.
pub fn allocate_by_largest_remainder(
    exact: &[ExactAmount],
    subtotal: MinorUnits,
    currency: Currency,
) -> Result<Vec<MinorUnits>, RateError> {
    let mut floors = Vec::with_capacity(exact.len());
    let mut rests = Vec::with_capacity(exact.len());
    for amount in exact {
        let (floor, rest) = amount.split_down(currency)?;
        floors.push(floor);
        rests.push(rest);
    }
    let too_large = || RateError::TooLarge(subtotal.get().to_string());
    let taken = floors.iter().try_fold(0_i64, |sum, floor| sum.checked_add(*floor)).ok_or_else(too_large)?;
    let missing = subtotal.get().checked_sub(taken).ok_or_else(too_large)?;
    let missing = usize::try_from(missing).ok().filter(|missing| *missing <= exact.len());
    let missing = missing.ok_or_else(too_large)?;
    let mut by_rest: Vec<usize> = (0..exact.len()).collect();
    // A stable sort: equal remainders keep the order of the lines.
    by_rest.sort_by(|left, right| rests[*right].cmp(&rests[*left]));
    for index in by_rest.into_iter().take(missing) {
        floors[index] = floors[index].checked_add(1).ok_or_else(too_large)?;
    }
    Ok(floors.into_iter().map(MinorUnits::new).collect())
}
