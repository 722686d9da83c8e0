//! Exact fractions, as literal as paper: a whole number over another, brought down after each step.
//! Never a number type of the product's rating, and never a digit dropped before somebody asks for a rounding.
//! Used by the auditor alone.

use std::cmp::Ordering;

use bigdecimal::num_bigint::{BigInt, Sign};

/// A fraction; what is below the line is above zero.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Exact {
    top: BigInt,
    bottom: BigInt,
}

fn ten_to(power: u32) -> BigInt {
    BigInt::from(10).pow(power)
}

impl Exact {
    pub(crate) fn zero() -> Self {
        Self::whole(0)
    }

    pub(crate) fn whole(number: i128) -> Self {
        Self { top: BigInt::from(number), bottom: BigInt::from(1) }
    }

    pub(crate) fn count(number: u64) -> Self {
        Self::whole(i128::from(number))
    }

    /// Reads `12`, `-0.05` and the like.
    pub(crate) fn read(text: &str) -> Self {
        let (whole, decimals) = text.split_once('.').unwrap_or((text, ""));
        let top = format!("{whole}{decimals}").parse().expect("a decimal");
        Self::new(top, ten_to(u32::try_from(decimals.len()).expect("a short decimal")))
    }

    /// So many of the smallest payable unit.
    pub(crate) fn minor(number: i64, exponent: u32) -> Self {
        Self::new(BigInt::from(number), ten_to(exponent))
    }

    fn new(top: BigInt, bottom: BigInt) -> Self {
        let (mut one, mut other) = (top.clone(), bottom.clone());
        while other.sign() != Sign::NoSign {
            (one, other) = (other.clone(), one % other);
        }
        // The divisor may come out below zero; the line below stays above.
        let divisor = if one.sign() == Sign::Minus { -one } else { one };
        Self { top: top / &divisor, bottom: bottom / divisor }
    }

    pub(crate) fn plus(&self, other: &Self) -> Self {
        Self::new(&self.top * &other.bottom + &other.top * &self.bottom, &self.bottom * &other.bottom)
    }

    pub(crate) fn minus(&self, other: &Self) -> Self {
        self.plus(&other.negated())
    }

    pub(crate) fn times(&self, other: &Self) -> Self {
        Self::new(&self.top * &other.top, &self.bottom * &other.bottom)
    }

    /// A quotient; the divisor is above zero.
    pub(crate) fn over(&self, other: &Self) -> Self {
        assert!(other.top.sign() == Sign::Plus, "a divisor above zero");
        Self::new(&self.top * &other.bottom, &self.bottom * &other.top)
    }

    /// So many of a hundred of it.
    pub(crate) fn percent(&self, percent: &Self) -> Self {
        self.times(percent).over(&Self::whole(100))
    }

    pub(crate) fn negated(&self) -> Self {
        Self { top: -self.top.clone(), bottom: self.bottom.clone() }
    }

    pub(crate) fn is_zero(&self) -> bool {
        self.top.sign() == Sign::NoSign
    }

    pub(crate) fn is_above_zero(&self) -> bool {
        self.top.sign() == Sign::Plus
    }

    /// The largest whole number that is not above it.
    pub(crate) fn floor(&self) -> Self {
        let quotient = &self.top / &self.bottom;
        let is_cut_up = self.top.sign() == Sign::Minus && (&self.top % &self.bottom).sign() != Sign::NoSign;
        let whole = if is_cut_up { quotient - 1 } else { quotient };
        Self { top: whole, bottom: BigInt::from(1) }
    }

    /// The smallest whole number that is not below it.
    pub(crate) fn ceiling(&self) -> Self {
        self.negated().floor().negated()
    }

    /// The nearest whole number; a half goes away from zero.
    pub(crate) fn nearest(&self) -> Self {
        let half = Self::new(BigInt::from(1), BigInt::from(2));
        match self.top.sign() {
            Sign::Minus => self.minus(&half).ceiling(),
            Sign::NoSign | Sign::Plus => self.plus(&half).floor(),
        }
    }

    /// With so many decimals, by one of the three ways above.
    pub(crate) fn to_decimals(&self, decimals: u32, round: fn(&Self) -> Self) -> Self {
        let scale = Self { top: ten_to(decimals), bottom: BigInt::from(1) };
        round(&self.times(&scale)).over(&scale)
    }

    /// In the smallest payable unit, rounded half away from zero.
    pub(crate) fn to_minor(&self, exponent: u32) -> i64 {
        self.times(&Self::whole(10_i128.pow(exponent))).nearest().to_whole()
    }

    pub(crate) fn to_whole(&self) -> i64 {
        assert!(self.bottom == BigInt::from(1), "a whole number: {self:?}");
        i64::try_from(&self.top).expect("it fits")
    }

    /// All digits, and at least so many decimals.
    pub(crate) fn text(&self, decimals_min: u32) -> String {
        let enough = |decimals: &u32| (ten_to(*decimals) % &self.bottom).sign() == Sign::NoSign;
        let decimals = (decimals_min..500).find(enough).expect("an end in decimals");
        let digits = &self.top * (ten_to(decimals) / &self.bottom);
        let sign = if digits.sign() == Sign::Minus { "-" } else { "" };
        let digits = digits.magnitude().to_string();
        let width = usize::try_from(decimals).expect("small") + 1;
        let digits = format!("{digits:0>width$}");
        let (whole, rest) = digits.split_at(digits.len() + 1 - width);
        if rest.is_empty() { format!("{sign}{whole}") } else { format!("{sign}{whole}.{rest}") }
    }
}

impl PartialOrd for Exact {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Exact {
    fn cmp(&self, other: &Self) -> Ordering {
        (&self.top * &other.bottom).cmp(&(&other.top * &self.bottom))
    }
}

pub(crate) fn sum<'a>(all: impl IntoIterator<Item = &'a Exact>) -> Exact {
    all.into_iter().fold(Exact::zero(), |sum, one| sum.plus(one))
}

#[test]
fn fractions_are_those_of_school() {
    let rows = [("0.005", 1), ("0.0049", 0), ("-0.005", -1), ("-0.0049", 0), ("12", 1_200), ("-0.5", -50)];
    for (text, cents) in rows {
        assert_eq!(Exact::read(text).to_minor(2), cents, "{text}");
    }
    let texts = [
        ("0.1500", 2, "0.15"),
        ("-3", 0, "-3"),
        ("-3", 2, "-3.00"),
        ("0.000000001", 2, "0.000000001"),
        ("0", 0, "0"),
    ];
    for (text, decimals, expected) in texts {
        assert_eq!(Exact::read(text).text(decimals), expected);
    }
    let third = Exact::whole(10).over(&Exact::whole(3));
    assert_eq!(third.to_decimals(2, Exact::floor).text(2), "3.33");
    assert_eq!(third.to_decimals(2, Exact::ceiling).text(2), "3.34");
    assert_eq!(third.negated().to_decimals(1, Exact::floor).text(1), "-3.4");
    assert!(third > Exact::read("3.3333") && third < Exact::read("3.3334"));
}
