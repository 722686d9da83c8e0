//! What each charge is called: its category, and how often it comes.
//! Never an amount.
//! Called by `charge`.

use crate::invoice::{Line, LineKind};

/// What a charge is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Category {
    Usage,
    Purchase,
    Credit,
    Tax,
}

impl Category {
    /// What a line is whose exact amount is above zero or not. A correction is of the category of what it corrects; but
    /// what bills a credit again is no credit.
    pub(super) fn of(line: &Line, is_above_zero: bool) -> Self {
        match kind_of(line) {
            LineKind::NotBilled | LineKind::Energy => Self::Usage,
            LineKind::Charge => Self::of_charge(line),
            LineKind::Minimum => Self::Purchase,
            LineKind::Maximum | LineKind::Discount | LineKind::SloCredit | LineKind::Invoiced
                if is_above_zero =>
            {
                Self::of_charge(line)
            }
            LineKind::Maximum | LineKind::Discount | LineKind::SloCredit | LineKind::Invoiced => Self::Credit,
            LineKind::Correction => Self::Usage,
        }
    }

    /// What counts nothing, and base fees, are due for the period itself.
    fn of_charge(line: &Line) -> Self {
        match line.unit.is_empty() || line.is_base_fee() {
            true => Self::Purchase,
            false => Self::Usage,
        }
    }

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Usage => "Usage",
            Self::Purchase => "Purchase",
            Self::Credit => "Credit",
            Self::Tax => "Tax",
        }
    }

    pub(super) const fn frequency(self) -> &'static str {
        match self {
            Self::Usage => "Usage-Based",
            Self::Purchase => "Recurring",
            Self::Credit | Self::Tax => "One-Time",
        }
    }
}

/// What kind of line it is, or corrects.
pub(super) fn kind_of(line: &Line) -> LineKind {
    line.correction.as_ref().map_or(line.kind, |correction| correction.kind)
}
