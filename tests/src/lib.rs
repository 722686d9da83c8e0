//! What tests over the real program share: starting it, talking to it, stopping it, asking its ledger.
//! Never a rule of the product: an expectation is computed by the test that states it.
//! Used by the test files of this package.

pub mod harness;
