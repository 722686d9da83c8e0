//! Our side of Stripe against a Stripe that keeps state and fails in every way it may: no server, and a clock of ours.
//! Never the real one, and never a wait: what is due later is asked for with a later time.
//! Run by `cargo xtask test`.

#[cfg(test)]
mod ends;
#[cfg(test)]
mod faults;
#[cfg(test)]
mod pages;
#[cfg(test)]
mod pushes;
#[cfg(test)]
mod world;
