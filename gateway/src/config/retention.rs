//! `[retention]`: how long usage records stay among those that are looked at.
//! Never a record that is not on an issued invoice: the ledger refuses to detach its month.
//! Part of `Config`; read by `cli::serve`.

use serde::Deserialize;

use super::bounded;

/// `[retention]`
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Retention {
    /// Whole months that are kept beside the running one; older ones are detached. 0: all are kept.
    #[serde(deserialize_with = "bounded::<0, 1_200, _>")]
    pub months: u32,
}
