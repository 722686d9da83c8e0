//! The shared words of Tallygate: ids, quantities, money, usage records, latency targets, time.
//! No I/O, no clock reading but through [`Clock`], and no floating point live here.
//! Every other crate speaks in these types; this one depends on none of them.

mod access;
mod budget;
mod fault;
mod ids;
mod money;
mod period;
mod quantity;
mod slo;
mod time;
mod usage;

pub use access::{KeyScope, KeyScopes, UnknownKeyScope};
pub use budget::{BudgetPeriod, BudgetWindow, UnknownBudgetPeriod};
pub use fault::Fault;
pub use ids::{
    EndpointId, EventId, GrantId, IdError, JournalId, KeyId, ModelName, PlanVersionId, ProjectId, RequestId,
    TenantId, UserId,
};
pub use money::{Currency, Money, MoneyError};
pub use period::{Period, PeriodError};
pub use quantity::{Micros, Millijoules, Nanos, QuantityError, Tokens};
pub use slo::{Slo, SloClass};
pub use time::{Clock, ManualClock, SystemClock, Timestamp};
pub use usage::{EndReason, EnergySource, JournaledRecord, RecordHash, UsageRecord, UsageSource};
