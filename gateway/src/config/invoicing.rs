//! `[invoicing]`: whether invoices are issued by themselves, and when.
//! Never a term of payment: that is the issuer's or the tenant's, in the ledger.
//! Part of `Config`; read by `cli::serve`.

use serde::Deserialize;

use super::bounded;

/// `[invoicing]`
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Invoicing {
    /// Whether the invoice of each period is issued by itself.
    pub automatic: bool,
    /// How long after a period's end its invoice waits for late records. Unit: hours.
    #[serde(deserialize_with = "bounded::<0, 720, _>")]
    pub grace_hours: u32,
    /// How often it is looked for what is due. Unit: seconds.
    #[serde(deserialize_with = "bounded::<1, 86_400, _>")]
    pub interval_seconds: u32,
}

impl Default for Invoicing {
    fn default() -> Self {
        Self { automatic: false, grace_hours: 24, interval_seconds: 300 }
    }
}
