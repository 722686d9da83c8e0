//! The ledger, its invoices and the shipper, over SQLite and over PostgreSQL.
//! Never one database alone: every test of `on_each_database!` runs on both.
//! Run by `cargo test -p billing --test ledger`; `databases` says how PostgreSQL is found.

#[cfg(test)]
#[macro_use]
mod databases;
#[cfg(test)]
mod access;
#[cfg(test)]
mod audit;
#[cfg(test)]
mod bookings;
#[cfg(test)]
mod changes;
#[cfg(test)]
mod corrections;
#[cfg(test)]
mod credentials;
#[cfg(test)]
mod credit_notes;
#[cfg(test)]
mod credits;
#[cfg(test)]
mod credits_invoiced;
#[cfg(test)]
mod exports;
#[cfg(test)]
mod grants;
#[cfg(test)]
mod guards;
#[cfg(test)]
mod idempotency;
#[cfg(test)]
mod invoices;
#[cfg(test)]
mod lifecycle;
#[cfg(test)]
mod limits;
#[cfg(test)]
mod migrations;
#[cfg(test)]
mod months;
#[cfg(test)]
mod pages;
#[cfg(test)]
mod periods;
#[cfg(test)]
mod projects;
#[cfg(test)]
mod reconcile;
#[cfg(test)]
mod records;
#[cfg(test)]
mod refunds;
#[cfg(test)]
mod replace;
#[cfg(test)]
mod responses;
#[cfg(test)]
mod restored;
#[cfg(test)]
mod roles;
#[cfg(test)]
mod shipper;
#[cfg(test)]
mod shipping;
#[cfg(test)]
mod simulate;
#[cfg(test)]
mod spending;
#[cfg(test)]
mod statements;
#[cfg(test)]
mod stripe;
#[cfg(test)]
mod subscription;
#[cfg(test)]
mod taxes;
#[cfg(test)]
mod usage_events;
#[cfg(test)]
mod webhooks;
