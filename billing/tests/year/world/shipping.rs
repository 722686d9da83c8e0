//! How records of the world come to the ledger: in pieces, again, late, and once by the wrong journal.
//! Never a record that is changed on its way.
//! Run by `deeds`, and at the world's end.

use billing::ledger::LedgerError;

use super::{World, failed, usage};
use crate::{act::Act, auditor::Finding};

impl World {
    /// Gateways that were cut off write what they had.
    pub(super) fn write_late(&mut self) {
        let now = self.now;
        let (due, wait): (Vec<_>, Vec<_>) = self.late.drain(..).partition(|(at, _)| *at <= now);
        self.late = wait;
        for (_, record) in due {
            let journal = self.dice.index(self.journals.len());
            self.journals[journal].add(record);
        }
    }

    /// Brings some of a journal to the ledger, or all of it; a part of it again.
    pub(super) async fn ship(&mut self, journal: usize, is_all: bool) -> Result<(), Finding> {
        loop {
            let own = &self.journals[journal];
            let (id, done, all) = (own.id, own.shipped, own.lines.len());
            if done == all {
                return Ok(());
            }
            let first = done.saturating_sub(self.dice.index(4));
            let last = done + 1 + self.dice.index((all - done).min(20));
            let batch = self.journals[journal].lines[first..last].to_vec();
            let shipped = self.ask(|ledger| {
                let batch = batch.clone();
                async move { ledger.ship(id, &batch).await }
            });
            shipped.await.map_err(failed("shipping"))?;
            self.journals[journal].shipped = last;
            for (journaled, _) in &batch[done - first..] {
                self.hear(&Act::Arrive { record: Box::new(journaled.record.clone()) });
            }
            self.ship_elsewhere(journal, &batch).await?;
            if !is_all && self.dice.is_one_of(500) {
                return Ok(());
            }
        }
    }

    /// A request that another journal brings again is refused.
    async fn ship_elsewhere(&mut self, journal: usize, batch: &[usage::Line]) -> Result<(), Finding> {
        let other = (journal + 1) % self.journals.len();
        let mut forged = self.journals[other].clone();
        if !self.dice.is_one_of(20) || forged.shipped != forged.lines.len() {
            return Ok(());
        }
        forged.add(batch[batch.len() - 1].0.record.clone());
        let again = &forged.lines[forged.lines.len() - 1..];
        match self.ledger.ship(forged.id, again).await {
            Err(LedgerError::RequestConflict { .. }) => Ok(()),
            other => Err(format!("a request of two journals must be refused, and came to {other:?}")),
        }
    }
}
