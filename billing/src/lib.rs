//! From usage record to paid invoice: journal, ledger, plans, rating, invoices.
//! Never HTTP, never a device, never a float where money or tokens are counted.
//! Called by the gateway, its command line and the web pages.

pub mod credit;
pub mod export;
pub mod invoice;
pub mod journal;
pub mod ledger;
pub mod plan;
pub mod rate;
pub mod reconcile;
pub mod ship;
pub mod statement;
pub mod stripe;
pub mod subscription;
pub mod tax;
pub mod usage_event;
pub mod verify;
