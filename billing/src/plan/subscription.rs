//! What a plan charges for being subscribed: a base fee, a commitment, and what a trial is.
//! Never an amount of a period: `crate::subscription` works out shares, invoices put them on lines.
//! Read by `read`, asked by subscriptions and invoices.

use bigdecimal::BigDecimal;

/// Longest trial. Longer ones are a price of zero, which is a plan of its own.
pub const TRIAL_DAYS_MAX: u32 = 366;

/// How an amount for a whole period is divided when only a part of the period is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Proration {
    /// By whole days of the local calendar: a change counts from the beginning of its day.
    Day,
    /// By seconds: a change counts from the beginning of its second.
    Second,
    /// Not at all: the first plan of a period is due whole.
    None,
}

impl Proration {
    /// Every rule, with its name in plans.
    pub const ALL: [(&'static str, Self); 3] =
        [("day", Self::Day), ("second", Self::Second), ("none", Self::None)];

    /// The name in plans.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Day => "day",
            Self::Second => "second",
            Self::None => "none",
        }
    }
}

/// When a base fee is billed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FeeTiming {
    /// On the invoice of the period before.
    Advance,
    /// On the invoice of its own period.
    Arrears,
}

impl FeeTiming {
    /// Both, with their names in plans.
    pub const ALL: [(&'static str, Self); 2] = [("advance", Self::Advance), ("arrears", Self::Arrears)];

    /// The name in plans.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Advance => "advance",
            Self::Arrears => "arrears",
        }
    }
}

/// What becomes of the rest of a fee that was billed in advance when a subscription is cancelled at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnCancel {
    /// The unused part is given back, by the rule of proration.
    Refund,
    /// Nothing is given back.
    Keep,
}

impl OnCancel {
    /// Both, with their names in plans.
    pub const ALL: [(&'static str, Self); 2] = [("refund", Self::Refund), ("keep", Self::Keep)];

    /// The name in plans.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Refund => "refund",
            Self::Keep => "keep",
        }
    }
}

/// What each period of a subscription costs, whatever is used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BaseFee {
    /// For a whole period. Unit: the plan's currency.
    pub amount: BigDecimal,
    /// When it is billed.
    pub timing: FeeTiming,
    /// How it is divided.
    pub proration: Proration,
    /// What is given back of it on a cancellation at once.
    pub on_cancel: OnCancel,
    /// What an invoice says of it; without it, "Base fee".
    pub description: Option<String>,
}

/// The least that usage and charges of a period come to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Commitment {
    /// For a whole period. Unit: the plan's currency.
    pub amount: BigDecimal,
    /// How it is divided.
    pub proration: Proration,
}

/// What usage costs during a trial.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TrialUsage {
    /// Nothing.
    Free,
    /// What it always costs.
    Charged,
}

impl TrialUsage {
    /// Both, with their names in plans, SQL and answers.
    pub const ALL: [(&'static str, Self); 2] = [("free", Self::Free), ("charged", Self::Charged)];

    /// The name in plans, SQL and answers.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Free => "free",
            Self::Charged => "charged",
        }
    }
}

/// A time at the beginning of a subscription without a base fee.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trial {
    /// Days of the local calendar; at least 1.
    pub days: u32,
    /// What usage costs meanwhile.
    pub usage: TrialUsage,
}
