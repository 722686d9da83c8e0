//! What can be wrong with a plan file, told with file, line, column and reason.
//! Never a guess at what was meant: a plan that does not read is refused whole.
//! Returned by reading plans; shown by the command line.

use domain::Fault;

/// A plan that was refused, and where in its text the reason stands.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{file}:{line}:{column}: {problem}")]
pub struct PlanError {
    /// The file's name as given.
    pub file: String,
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// What is wrong.
    pub problem: PlanProblem,
}

impl PlanError {
    /// Which kind of failure this is.
    pub fn fault(&self) -> Fault {
        Fault::Invalid
    }
}

/// What is wrong with a plan.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlanProblem {
    /// Not TOML.
    #[error("not TOML: {0}")]
    Syntax(String),
    /// It begins as JSON and is none.
    #[error("not JSON: {0}")]
    NotJson(String),
    /// More text than any plan needs.
    #[error("a plan file has at most {0} bytes")]
    TooLong(usize),
    /// A field that means nothing here.
    #[error("unknown field `{field}` in {table}; it may have: {allowed}")]
    UnknownField {
        /// The field.
        field: String,
        /// Where it stands.
        table: &'static str,
        /// What may stand there.
        allowed: String,
    },
    /// A field that must be there.
    #[error("{table} needs the field `{field}`")]
    MissingField {
        /// The field.
        field: &'static str,
        /// Where it is missing.
        table: &'static str,
    },
    /// Another type of value.
    #[error("`{field}` must be {wanted}, not {found}")]
    WrongType {
        /// The field.
        field: String,
        /// What it must be.
        wanted: &'static str,
        /// What it is.
        found: &'static str,
    },
    /// A number where an exact decimal in quotes belongs.
    #[error("`{field}` must be a decimal in quotes, such as \"0.15\", not {found}: prices are exact")]
    UnquotedAmount {
        /// The field.
        field: String,
        /// What it is.
        found: &'static str,
    },
    /// Not a plain decimal.
    #[error("`{field}` must be a plain decimal such as \"0.15\", not {text:?}")]
    NotDecimal {
        /// The field.
        field: String,
        /// What stands there.
        text: String,
    },
    /// Below zero.
    #[error("`{field}` cannot be negative")]
    Negative {
        /// The field.
        field: String,
    },
    /// More digits than we promise to show.
    #[error("`{field}` has {decimals} decimals; at most {decimals_max} are allowed")]
    TooManyDecimals {
        /// The field.
        field: String,
        /// Digits after the point.
        decimals: usize,
        /// The bound.
        decimals_max: usize,
    },
    /// An amount in the plan's own unit that is too fine in the currency.
    #[error(
        "`{field}` comes to {amount} in the plan's currency; at most {decimals_max} decimals are allowed"
    )]
    TooFine {
        /// The field.
        field: String,
        /// The amount, converted.
        amount: String,
        /// The bound.
        decimals_max: usize,
    },
    /// A number beyond its bound.
    #[error("`{field}` must be at most {max}")]
    TooLarge {
        /// The field.
        field: String,
        /// The bound.
        max: u64,
    },
    /// A number below its bound.
    #[error("`{field}` must be at least {min}")]
    TooSmall {
        /// The field.
        field: String,
        /// The bound.
        min: u64,
    },
    /// Prices, charges and the percentages of them are beyond what caps can count.
    #[error(
        "one token or request can come to more than 10^23 currency units: its charges and percentages are too high"
    )]
    TooDear,
    /// A plan's name.
    #[error("`name` must be 1 to {0} lower-case letters, digits, - or _, not {1:?}")]
    BadName(usize, String),
    /// A currency.
    #[error("`currency` must be an ISO 4217 code of three capital letters, not {0:?}")]
    BadCurrency(String),
    /// A currency that nobody can be billed in.
    #[error("`currency` must be an ISO 4217 code that is in use, not {0:?}")]
    CurrencyOutOfUse(String),
    /// A date.
    #[error("`effective_from` must be a date such as \"2026-01-31\", not {0:?}")]
    BadDate(String),
    /// A reason requests can end with.
    #[error("{found:?} is no end reason; they are: {allowed}")]
    BadReason {
        /// What stands there.
        found: String,
        /// The reasons.
        allowed: String,
    },
    /// A reason that may never be billed.
    #[error("requests that end with {0:?} are never billed")]
    UnbillableReason(&'static str),
    /// The same entry twice.
    #[error("{what} {name:?} stands here twice")]
    Duplicate {
        /// A model, a reason.
        what: &'static str,
        /// Which one.
        name: String,
    },
    /// An SLO class.
    #[error("`class` must be interactive, standard or batch, not {0:?}")]
    BadClass(String),
    /// A model name.
    #[error("`model` must be \"*\" or 1 to 128 letters, digits and . _ : / -, not {0:?}")]
    BadModel(String),
    /// A plan that prices nothing.
    #[error("a plan needs at least one [[price]] or [[charge]]")]
    NoPrices,
    /// Too many entries.
    #[error("there may be at most {max} {what} here")]
    TooMany {
        /// Of what.
        what: &'static str,
        /// The bound.
        max: usize,
    },
    /// A word that is not one of a few.
    #[error("`{field}` must be one of {allowed}, not {found:?}")]
    BadWord {
        /// The field.
        field: String,
        /// What stands there.
        found: String,
        /// What may stand there.
        allowed: String,
    },
    /// The name of a charge or a discount.
    #[error("`name` must be 1 to {0} lower-case letters, digits, - or _, and not \"tokens\", not {1:?}")]
    BadChargeName(usize, String),
    /// A text for people.
    #[error("`{0}` must be 1 to 200 characters without line breaks")]
    BadDescription(&'static str),
    /// A size by which exact amounts would have no end.
    #[error(
        "`{field}` must have no prime factors but 2 and 5, such as 8, 1000 or 1000000: other shares have no exact decimal"
    )]
    EndlessShare {
        /// The field.
        field: String,
    },
    /// A conversion of quantities that has no end and no rounding.
    #[error("a unit of {0} counts needs `decimals` and `rounding`: its shares have no exact decimal")]
    EndlessUnit(u64),
    /// A unit of energy for something else.
    #[error(
        "{0:?} is a unit of energy; the meter {1:?} takes a table such as {{ name = \"Mtok\", counts = 1000000 }}"
    )]
    NoEnergy(String, String),
    /// A name that a meter of the gateway has.
    #[error("{0:?} is a meter of the gateway; a [[meter]] needs another name")]
    BuiltInMeter(String),
    /// The name of a meter.
    #[error("`name` must be 1 to 31 lower-case letters, digits or _, the first a letter, not {0:?}")]
    BadMeterName(String),
    /// A text that does not fit its place.
    #[error("`{field}` must be 1 to {chars_max} characters without line breaks, and no spaces around them")]
    BadText {
        /// The field.
        field: &'static str,
        /// The bound.
        chars_max: usize,
    },
    /// A place in an event's data.
    #[error(
        "`{field}` must be a JSON pointer such as \"/gpu/seconds\", or the name of a field, not {text:?}"
    )]
    BadPointer {
        /// The field.
        field: &'static str,
        /// What stands there.
        text: String,
    },
    /// A choice of requests where none are counted.
    #[error(
        "`{field}` chooses requests, and the meter {meter:?} counts events; give its [[meter]] a [[meter.filter]]"
    )]
    NoRequests {
        /// The field.
        field: &'static str,
        /// The meter.
        meter: String,
    },
    /// Tiers that are no table of rising ends.
    #[error("{0}")]
    BadTiers(String),
    /// A charge that is named and not there, or comes later.
    #[error("{0:?} is no charge before this one; there are: {1}")]
    UnknownCharge(String, String),
    /// Zero where something must be.
    #[error("`{field}` must be above zero")]
    MustBePositive {
        /// The field.
        field: String,
    },
    /// A discount that is neither or both.
    #[error("a [[discount]] needs either `amount` or `percent`")]
    AmountOrPercent,
    /// A rule for what is never billed before it is due.
    #[error(
        "`on_cancel` is for fees with timing = \"advance\": in arrears nothing is billed that could be given back"
    )]
    NothingToRefund,
    /// A credit of a charge that is not of one class.
    #[error(
        "{0:?} must count tokens or requests of exactly one of `classes` to give credit for a class's attainment"
    )]
    NotOfOneClass(String),
    /// A bound below another.
    #[error("`maximum` is below `minimum`")]
    MaximumBelowMinimum,
}
