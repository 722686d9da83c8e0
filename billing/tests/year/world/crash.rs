//! Crashes: an operation is dropped between two of its steps, the ledger opened again, and the operation asked again.
//! Never a crash that the caller hears of: what it asked for is done, once.
//! Used by the world for everything that it asks of the ledger.

use std::{future::Future, pin::pin, task::Poll};

use billing::ledger::{Ledger, LedgerError};

use super::World;

/// Steps of an operation before it is dropped. Most operations have fewer.
const STEPS_MAX: u64 = 60;

/// Runs a future for so many steps; what it has not done by then it never does.
pub(crate) async fn cut_short<F: Future>(future: F, steps: u64) -> Option<F::Output> {
    let mut future = pin!(future);
    let mut left = steps;
    let cut = std::future::poll_fn(|context| {
        if left == 0 {
            return Poll::Ready(None);
        }
        left -= 1;
        future.as_mut().poll(context).map(Some)
    });
    cut.await
}

impl World {
    /// Asks the ledger for something that is the same asked twice.
    pub(super) async fn ask<T, F>(&mut self, call: impl Fn(Ledger) -> F) -> Result<T, LedgerError>
    where
        F: Future<Output = Result<T, LedgerError>>,
    {
        if self.dice.is_one_of(self.size.crashes_per_mille) {
            self.crash(call(self.ledger.clone())).await;
        }
        call(self.ledger.clone()).await
    }

    /// Drops an operation after some steps and opens the ledger again.
    pub(super) async fn crash<F: Future>(&mut self, operation: F) {
        cut_short(operation, self.dice.below(STEPS_MAX)).await;
        self.crashes += 1;
        let opened = Ledger::connect(&self.url).await.expect("the ledger opens again");
        std::mem::replace(&mut self.ledger, opened).close().await;
    }
}
