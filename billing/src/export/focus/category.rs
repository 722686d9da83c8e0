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
    pub(super) fn of(line: &Line) -> Self {
        // A correction is of the category of what it corrects.
        let kind = line.correction.as_ref().map_or(line.kind, |correction| correction.kind);
        match kind {
            LineKind::NotBilled | LineKind::Energy => Self::Usage,
            // What counts nothing is due for the period itself.
            LineKind::Charge if line.unit.is_empty() => Self::Purchase,
            LineKind::Charge => Self::Usage,
            LineKind::Minimum => Self::Purchase,
            LineKind::Maximum | LineKind::Discount | LineKind::SloCredit | LineKind::Invoiced => Self::Credit,
            LineKind::Correction => Self::Usage,
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
