//! Shares of an amount for a whole period: what some of its days or seconds cost.
//! Never a share whose parts do not add up: each is what comes to its end less what came to its beginning.
//! Called for base fees and commitments.

use bigdecimal::{BigDecimal, Zero as _, num_bigint::BigInt};

use super::ExactAmount;

/// Decimals of a share: far below a minor unit of any currency, and a third of a month's days has no end in decimals.
const SHARE_DECIMALS: u32 = 12;
/// Decimals of an amount in a plan, as a power of ten.
const AMOUNT_DECIMALS: i64 = 9;

impl ExactAmount {
    /// What the units from one mark of a period to another cost when all `whole` units cost this much.
    ///
    /// Both marks are taken as shares to 12 decimals, a half away from zero; their difference is the amount, so the
    /// parts of a period add up to this amount, however it is divided. The amount is of a plan: not below zero, and
    /// with at most nine decimals.
    pub fn share_of_period(&self, from: u64, to: u64, whole: u64) -> Self {
        Self((self.until(to, whole) - self.until(from, whole)).normalized())
    }

    fn until(&self, mark: u64, whole: u64) -> BigDecimal {
        if whole == 0 || mark == 0 {
            return BigDecimal::zero();
        }
        let (nanos, _) = self.0.with_scale(AMOUNT_DECIMALS).into_bigint_and_scale();
        let finer = BigInt::from(10).pow(SHARE_DECIMALS) * nanos * BigInt::from(mark.min(whole));
        let divisor = BigInt::from(10).pow(9) * BigInt::from(whole);
        let rounded: BigInt = (finer * 2 + &divisor) / (divisor * 2);
        BigDecimal::new(rounded, i64::from(SHARE_DECIMALS))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn share(amount: &str, from: u64, to: u64, whole: u64) -> String {
        let amount = ExactAmount::of_decimal(amount.parse().expect("a decimal"));
        amount.share_of_period(from, to, whole).to_string()
    }

    #[test]
    fn shares_are_what_comes_to_their_end_less_what_came_before() {
        let rows = [
            // A whole period, none of it, half of it.
            (("30", 0, 30, 30), "30"),
            (("30", 7, 7, 30), "0"),
            (("30", 0, 15, 30), "15"),
            (("30", 15, 30, 30), "15"),
            // Thirds have no end: 12 decimals, and the three of them are the whole again.
            (("10", 0, 1, 3), "3.333333333333"),
            (("10", 1, 2, 3), "3.333333333334"),
            (("10", 2, 3, 3), "3.333333333333"),
            (("25", 0, 16, 31), "12.903225806452"),
            (("25", 16, 31, 31), "12.096774193548"),
            // Seconds of a month of 31 days.
            (("31", 0, 86_400, 2_678_400), "1"),
            (("0.000000001", 0, 1, 2), "0.0000000005"),
            // Marks beyond the period count as its end.
            (("30", 0, 99, 30), "30"),
            (("30", 0, 1, 0), "0"),
        ];
        for ((amount, from, to, whole), expected) in rows {
            assert_eq!(share(amount, from, to, whole), expected, "{amount}: {from} to {to} of {whole}");
        }
    }

    proptest::proptest! {
        #[test]
        fn parts_add_up_to_the_whole(nanos in 0_u64..2_000_000_000_000, whole in 1_u64..2_678_401,
            marks in proptest::collection::vec(0_u64..2_678_401, 0..9)) {
            let amount = ExactAmount::of_decimal(BigDecimal::new(nanos.into(), 9));
            let mut marks: Vec<u64> = marks.into_iter().map(|mark| mark % (whole + 1)).chain([0, whole]).collect();
            marks.sort_unstable();
            let parts = marks.windows(2).map(|pair| amount.share_of_period(pair[0], pair[1], whole));
            let parts: Vec<_> = parts.collect();
            proptest::prop_assert_eq!(ExactAmount::sum(&parts), amount);
            proptest::prop_assert!(parts.iter().all(|part| !part.is_negative()));
        }
    }
}
