//! The grants of one tenant in the order in which they are used, and what happens to them.
//! Never below zero: what no grant pays for is overage.
//! Called with what the ledger has, and by its proof with the same events again.

use std::collections::HashMap;

use domain::{GrantId, ModelName, Nanos, QuantityError, Timestamp};

use super::{Account, Debit, OpenGrant, Span, Transfer, less};

/// The open grants of a tenant.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Book {
    grants: Vec<OpenGrant>,
}

/// Transfers of one act, in which those of neighbouring records become one.
#[derive(Default)]
struct Runs<'a> {
    transfers: Vec<Transfer>,
    /// The latest transfer of each model and quarter.
    latest: HashMap<(&'a ModelName, i64), usize>,
}

impl Book {
    /// The book of these grants, in any order.
    pub fn new(mut grants: Vec<OpenGrant>) -> Self {
        grants.sort_by_key(OpenGrant::order);
        Self { grants }
    }

    /// The grants, in the order in which they are used.
    pub fn grants(&self) -> &[OpenGrant] {
        &self.grants
    }

    /// What is left of all of them.
    ///
    /// Errors: overflow.
    pub fn remaining(&self) -> Result<Nanos, QuantityError> {
        self.grants.iter().try_fold(Nanos::ZERO, |sum, grant| sum.checked_add(grant.remaining))
    }

    /// Adds a grant of this amount, of which nothing is used.
    ///
    /// Errors: overflow.
    pub fn issue(&mut self, grant: OpenGrant, amount: Nanos) -> Result<Vec<Transfer>, QuantityError> {
        let id = grant.id;
        let grant = OpenGrant { remaining: grant.remaining.checked_add(amount)?, ..grant };
        let place = self.grants.partition_point(|other| other.order() < grant.order());
        self.grants.insert(place, grant);
        Ok(vec![moved(Account::Issued, Account::Grant(id), Some(id), amount)])
    }

    /// Pays for consumption, in its order: each debit from the grants that may pay for it, the rest as overage.
    ///
    /// Errors: overflow.
    pub fn draw(&mut self, debits: &[Debit]) -> Result<Vec<Transfer>, QuantityError> {
        let mut runs = Runs::default();
        for debit in debits {
            let mut rest = debit.charge;
            for grant in &mut self.grants {
                if rest.is_zero() {
                    break;
                }
                if !grant.pays_for(debit) {
                    continue;
                }
                let taken = rest.min(grant.remaining);
                grant.remaining = less(grant.remaining, taken)?;
                rest = less(rest, taken)?;
                runs.add(debit, Account::Grant(grant.id), Some(grant.id), taken)?;
                // It had not expired when the request began: what was booked as breakage meanwhile pays.
                let taken = rest.min(grant.lapsed);
                grant.lapsed = less(grant.lapsed, taken)?;
                rest = less(rest, taken)?;
                runs.add(debit, Account::Breakage(grant.id), Some(grant.id), taken)?;
            }
            runs.add(debit, Account::Overage, None, rest)?;
        }
        Ok(runs.transfers)
    }

    /// Books what is left of grants whose time is over. Again, it books nothing.
    ///
    /// Errors: overflow.
    pub fn expire(&mut self, now: Timestamp) -> Result<Vec<Transfer>, QuantityError> {
        let mut transfers = Vec::new();
        for grant in &mut self.grants {
            let is_over = grant.expires_at.is_some_and(|expires_at| expires_at <= now);
            if !is_over || grant.remaining.is_zero() {
                continue;
            }
            let (id, amount) = (grant.id, grant.remaining);
            grant.lapsed = grant.lapsed.checked_add(amount)?;
            grant.remaining = Nanos::ZERO;
            transfers.push(moved(Account::Grant(id), Account::Breakage(id), Some(id), amount));
        }
        Ok(transfers)
    }

    /// Takes money back from the grants in their order; what they do not have is owed.
    ///
    /// Errors: overflow.
    pub fn take_back(&mut self, amount: Nanos, why: GrantId) -> Result<Vec<Transfer>, QuantityError> {
        let mut transfers = Vec::new();
        let mut rest = amount;
        for grant in &mut self.grants {
            let taken = rest.min(grant.remaining);
            if taken.is_zero() {
                continue;
            }
            grant.remaining = less(grant.remaining, taken)?;
            rest = less(rest, taken)?;
            transfers.push(moved(Account::Grant(grant.id), Account::Issued, Some(why), taken));
        }
        if !rest.is_zero() {
            transfers.push(moved(Account::Overage, Account::Issued, Some(why), rest));
        }
        Ok(transfers)
    }
}

/// A transfer without records.
fn moved(from: Account, to: Account, grant: Option<GrantId>, amount: Nanos) -> Transfer {
    Transfer { from, to, grant, amount, span: None }
}

impl<'a> Runs<'a> {
    /// Adds a part of a debit: to the latest transfer of its model and quarter when that is from the same account.
    fn add(
        &mut self,
        debit: &'a Debit,
        from: Account,
        grant: Option<GrantId>,
        amount: Nanos,
    ) -> Result<(), QuantityError> {
        if amount.is_zero() {
            return Ok(());
        }
        let Some(place) = debit.place else {
            let to = Account::Consumed(debit.model.clone());
            self.transfers.push(moved(from, to, grant, amount));
            return Ok(());
        };
        let latest = self.latest.get(&(&debit.model, place.quarter)).copied();
        let latest = latest.and_then(|index| self.transfers.get_mut(index));
        if let Some(run) = latest.filter(|run| run.from == from)
            && let Some(span) = &mut run.span
        {
            run.amount = run.amount.checked_add(amount)?;
            (span.last, span.last_part) = (place.sequence, amount);
            span.records = span.records.checked_add(1).ok_or(QuantityError::Overflow { unit: "records" })?;
            return Ok(());
        }
        let span = Span {
            quarter: place.quarter,
            first: place.sequence,
            last: place.sequence,
            records: 1,
            first_part: amount,
            last_part: amount,
        };
        let to = Account::Consumed(debit.model.clone());
        self.latest.insert((&debit.model, place.quarter), self.transfers.len());
        self.transfers.push(Transfer { span: Some(span), ..moved(from, to, grant, amount) });
        Ok(())
    }
}
