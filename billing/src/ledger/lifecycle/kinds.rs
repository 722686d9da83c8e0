//! Where an issued invoice can stand, and which steps lead there.
//! Never which step may follow which: that is decided where steps are taken.
//! Used by the folder's other module and by all who show invoices.

/// Where an issued invoice stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InvoiceState {
    /// It is owed, in whole or in part.
    Issued,
    /// Nothing of it is owed any more.
    Paid,
    /// It never should have been; what it billed is billed again.
    Void,
    /// Nobody expects the money any more. It may still come.
    Uncollectible,
}

/// One step of an invoice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InvoiceEventKind {
    /// It was issued.
    Issued,
    /// Money came.
    Payment,
    /// Nothing of it is owed any more.
    Paid,
    /// It never should have been.
    Void,
    /// Nobody expects the money any more.
    Uncollectible,
}

impl InvoiceState {
    /// The name in answers.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Issued => "issued",
            Self::Paid => "paid",
            Self::Void => "void",
            Self::Uncollectible => "uncollectible",
        }
    }
}

impl InvoiceEventKind {
    const ALL: [Self; 5] = [Self::Issued, Self::Payment, Self::Paid, Self::Void, Self::Uncollectible];

    /// The name in SQL and answers.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Issued => "issued",
            Self::Payment => "payment",
            Self::Paid => "paid",
            Self::Void => "void",
            Self::Uncollectible => "uncollectible",
        }
    }
}

impl std::str::FromStr for InvoiceEventKind {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|kind| kind.as_str() == text);
        found.ok_or_else(|| format!("{text:?} happens to no invoice"))
    }
}
