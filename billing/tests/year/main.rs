//! A simulated year of billing, from one seed, and an auditor who reckons all of it again on paper.
//! Never the real clock and never chance beside the seed, so that a difference can be looked at again.
//! Run by `cargo test -p billing --test year`; `TALLYGATE_YEAR_SEEDS` says which small worlds, such as `1..=500`,
//! `TALLYGATE_YEAR_SEED` which large one.

#[cfg(test)]
mod act;
#[cfg(test)]
mod auditor;
#[cfg(test)]
mod conserved;
#[cfg(test)]
mod crashes;
#[cfg(test)]
mod dice;
#[cfg(test)]
mod number;
#[cfg(test)]
mod reader;
#[cfg(test)]
mod world;
#[cfg(test)]
mod worlds;
