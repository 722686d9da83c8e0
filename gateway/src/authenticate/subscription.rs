//! Whether a tenant's subscription lets requests in.
//! Never a ledger: what happened is in the snapshot, and the clock says which of it counts.
//! Called for every key and token that is good.

use billing::subscription::State;
use domain::Timestamp;

use super::{AuthenticateError, Tenant};

impl Tenant {
    /// Refuses requests while the subscription is paused, and after it has ended. Without one, all are let in.
    ///
    /// Errors: which of the two.
    pub(super) fn check_subscription(&self, now: Timestamp) -> Result<(), AuthenticateError> {
        match self.subscriptions.state_at(now) {
            State::Paused(_) => Err(AuthenticateError::SubscriptionPaused),
            State::Ended(_) => Err(AuthenticateError::SubscriptionEnded),
            State::None | State::Planned(_) | State::Trial(_) | State::Active => Ok(()),
        }
    }
}
