//! Proves a tenant's books from the raw records and the grants: every transfer is made again and compared.
//! Never a change and never a sum that is trusted: charges come from the records themselves.
//! Called by `tallygate balance verify`, and by tests after every kind of trouble.

use std::collections::BTreeMap;

use domain::{GrantId, Nanos, TenantId, Timestamp};

use super::{Cause, GrantRow, StoredTransfer, sql, views};
use crate::{
    credit::{Account, Book, Debit, DebitPlace, OpenGrant, Transfer},
    ledger::{Ledger, LedgerError, Transaction, Value, walk::count_detached},
};

/// Transfers read at once.
const PAGE_TRANSFERS: usize = 1_000;

/// What was looked at, all of it good.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CreditProof {
    /// Transfers that were made again.
    pub transfers: u64,
    /// Records whose charges they pay.
    pub records: u64,
    /// What those records were charged. Unit: billionths of the tenant's currency.
    pub charged: Nanos,
    /// Of the transfers, those whose records were detached: they were taken as booked.
    pub taken: u64,
}

/// The books as they come out of the events.
struct Replay {
    tenant: TenantId,
    book: Book,
    grants: BTreeMap<GrantId, (OpenGrant, i64)>,
    balances: BTreeMap<Account, i128>,
    /// What accounts got from transfers whose records are not to be had, and what they got at the opening.
    taken: BTreeMap<Account, i128>,
    opened: BTreeMap<Account, i128>,
    proof: CreditProof,
}

impl Ledger {
    /// Makes every transfer of a tenant again from the raw records and the grants. Where records were detached, their
    /// transfers are followed as they were booked.
    ///
    /// Errors: the first transfer, account or sum that differs, named.
    pub async fn prove_credits(&self, tenant: TenantId) -> Result<CreditProof, LedgerError> {
        let mut transaction = self.pool.read().await?;
        let id = Value::Id(tenant.as_uuid());
        let rows: Vec<GrantRow> = transaction.rows(sql::EVERY_GRANT, &[id]).await?;
        let grant = |row: &GrantRow| Ok((GrantId::from_uuid(row.grant_id), (row.open()?, row.amount_nanos)));
        let grants = rows.iter().map(grant).collect::<Result<_, LedgerError>>()?;
        let (book, balances, proof) = (Book::default(), BTreeMap::new(), CreditProof::default());
        let (taken, opened) = (BTreeMap::new(), BTreeMap::new());
        let mut replay = Replay { tenant, book, grants, balances, taken, opened, proof };
        let mut posting: Vec<StoredTransfer> = Vec::new();
        let mut after = 0;
        loop {
            let page = views::page(&mut transaction, tenant, after, PAGE_TRANSFERS).await?;
            let is_last = page.len() < PAGE_TRANSFERS;
            for stored in page {
                after = stored.sequence;
                if posting.first().is_some_and(|first| first.posting != stored.posting) {
                    replay.check(&mut transaction, &std::mem::take(&mut posting)).await?;
                }
                posting.push(stored);
            }
            if is_last {
                break;
            }
        }
        if !posting.is_empty() {
            replay.check(&mut transaction, &posting).await?;
        }
        replay.finish(&mut transaction).await
    }
}

impl Replay {
    /// Makes one posting again.
    async fn check(
        &mut self,
        transaction: &mut Transaction,
        stored: &[StoredTransfer],
    ) -> Result<(), LedgerError> {
        let Some(first) = stored.first() else { return Ok(()) };
        let made = match first.cause {
            Cause::Usage => self.usage(transaction, first, stored).await?,
            Cause::Expiry => Some(self.book.expire(first.at)?),
            Cause::Grant => Some(self.grant(first.transfer.grant)?),
            Cause::TakeBack => Some(self.take_back(first.transfer.grant)?),
            // What was before the books, and what an invoice took over, comes from no record.
            Cause::Opening | Cause::Invoice => None,
        };
        if first.cause == Cause::Opening {
            add_to(&mut self.opened, stored);
        }
        if let Some(made) = made {
            let is_same = made.len() == stored.len()
                && made.iter().zip(stored).all(|(made, stored)| *made == stored.transfer);
            if !is_same {
                return Err(self.differs(first.sequence, "records and grants give other transfers"));
            }
        } else {
            self.follow(stored)?;
        }
        for stored in stored {
            let amount = i128::from(stored.transfer.amount.get());
            *self.balances.entry(stored.transfer.from.clone()).or_default() -= amount;
            *self.balances.entry(stored.transfer.to.clone()).or_default() += amount;
            self.proof.transfers += 1;
        }
        Ok(())
    }

    /// Pays for a batch's records again. `None`: some of them were detached.
    async fn usage(
        &mut self,
        transaction: &mut Transaction,
        first: &StoredTransfer,
        stored: &[StoredTransfer],
    ) -> Result<Option<Vec<Transfer>>, LedgerError> {
        let absent = || self.differs(first.sequence, "it names no records");
        let journal_id = first.journal_id.ok_or_else(absent)?;
        let spans = || stored.iter().filter_map(|stored| stored.transfer.span);
        let from = spans().map(|span| span.first).min().ok_or_else(absent)?;
        let to = spans().map(|span| span.last).max().ok_or_else(absent)?;
        let place = |sequence| i64::try_from(sequence).unwrap_or(i64::MAX);
        let values = [
            Value::Id(self.tenant.as_uuid()),
            Value::Id(journal_id.as_uuid()),
            Value::Int(place(from)),
            Value::Int(place(to)),
        ];
        let rows: Vec<(i64, String, i64, i64, i64)> =
            transaction.rows(sql::CHARGES_OF_RECORDS, &values).await?;
        let mut debits = Vec::with_capacity(rows.len());
        for (sequence, model, charge, started, finished) in rows {
            let sequence =
                u64::try_from(sequence).map_err(|error| LedgerError::corrupt("sequence", &error))?;
            let quarter = Timestamp::from_unix_micros(finished).unix_quarter();
            let debit = Debit {
                model: model.parse()?,
                charge: Nanos::from_i64(charge)?,
                started_at: Timestamp::from_unix_micros(started),
                place: Some(DebitPlace { sequence, quarter }),
            };
            self.proof.charged = self.proof.charged.checked_add(debit.charge)?;
            self.proof.records += 1;
            debits.push(debit);
        }
        if count_detached(transaction, journal_id, (from.saturating_sub(1), to)).await? == 0 {
            return Ok(Some(self.book.draw(&debits)?));
        }
        // Those that are still there are counted with all records.
        add_to(&mut self.taken, stored);
        for debit in debits {
            *self.taken.entry(Account::Consumed(debit.model)).or_default() -= i128::from(debit.charge.get());
        }
        self.proof.taken += u64::try_from(stored.len()).unwrap_or(u64::MAX);
        Ok(None)
    }

    fn grant(&mut self, id: Option<GrantId>) -> Result<Vec<Transfer>, LedgerError> {
        let Some((grant, amount)) = id.and_then(|id| self.grants.get(&id)) else { return Ok(Vec::new()) };
        Ok(self.book.issue(grant.clone(), Nanos::from_i64(*amount)?)?)
    }

    fn take_back(&mut self, id: Option<GrantId>) -> Result<Vec<Transfer>, LedgerError> {
        let Some((id, (_, amount))) = id.and_then(|id| Some((id, self.grants.get(&id)?))) else {
            return Ok(Vec::new());
        };
        Ok(self.book.take_back(Nanos::new(amount.unsigned_abs()), id)?)
    }

    /// Follows what was booked, where there is nothing to make it of.
    fn follow(&mut self, stored: &[StoredTransfer]) -> Result<(), LedgerError> {
        for StoredTransfer { sequence, transfer, .. } in stored {
            let made = match (&transfer.from, &transfer.to) {
                (Account::Issued, Account::Grant(id)) => self.grant(Some(*id))?,
                (Account::Grant(id) | Account::Breakage(id), _) => {
                    let is_lapsed = matches!(transfer.from, Account::Breakage(_));
                    let mut grants = self.book.grants().to_vec();
                    let grant = grants.iter_mut().find(|grant| grant.id == *id);
                    let place = grant.map(|grant| match is_lapsed {
                        true => &mut grant.lapsed,
                        false => &mut grant.remaining,
                    });
                    let left = place.as_ref().and_then(|place| place.checked_sub(transfer.amount));
                    let (Some(place), Some(left)) = (place, left) else {
                        return Err(self.differs(*sequence, "it takes more than there was"));
                    };
                    *place = left;
                    self.book = Book::new(grants);
                    continue;
                }
                _ => continue,
            };
            if made != [transfer.clone()] {
                return Err(self.differs(*sequence, "the grant is another"));
            }
        }
        Ok(())
    }

    /// Compares the accounts, and what they say was spent with what all records were charged.
    async fn finish(mut self, transaction: &mut Transaction) -> Result<CreditProof, LedgerError> {
        for (account, nanos) in views::accounts(transaction, self.tenant).await? {
            if self.balances.remove(&account) != Some(i128::from(nanos)) {
                return Err(self.differs(self.proof.transfers, "an account is not the sum of its transfers"));
            }
            if let Account::Consumed(model) = account {
                self.balances.insert(Account::Consumed(model), i128::from(nanos));
            }
        }
        let rows: Vec<(String, i64)> =
            transaction.rows(sql::CHARGED_BY_MODEL, &[Value::Id(self.tenant.as_uuid())]).await?;
        let mut charged = BTreeMap::new();
        for (model, nanos) in rows {
            charged.insert(Account::Consumed(model.parse()?), i128::from(nanos));
        }
        for (account, nanos) in &self.taken {
            if matches!(account, Account::Consumed(_)) && *nanos != 0 {
                *charged.entry(account.clone()).or_default() += nanos;
            }
        }
        let (has_detached,): (i64,) = transaction.row(sql::DETACHED_MONTHS, &[]).await?;
        let is_paid = match has_detached {
            0 => charged == self.balances,
            // Records from before the books may be among those that are gone.
            _ => self.is_paid_but_for_the_opening(&charged),
        };
        if self.proof.transfers > 0 && !is_paid {
            return Err(self.differs(self.proof.transfers, "a record is not paid for, or paid for twice"));
        }
        Ok(self.proof)
    }

    /// Whether each account has what was charged, or lacks no more of it than it got at the opening.
    fn is_paid_but_for_the_opening(&self, charged: &BTreeMap<Account, i128>) -> bool {
        let of = |sums: &BTreeMap<Account, i128>, account| sums.get(account).copied().unwrap_or(0);
        charged.keys().chain(self.balances.keys()).all(|account| {
            let missing = of(&self.balances, account) - of(charged, account);
            (0..=of(&self.opened, account)).contains(&missing)
        })
    }

    fn differs(&self, sequence: u64, why: &'static str) -> LedgerError {
        LedgerError::CreditsDiffer { tenant: self.tenant, sequence, why }
    }
}

/// What transfers bring to each account.
fn add_to(sums: &mut BTreeMap<Account, i128>, stored: &[StoredTransfer]) {
    for StoredTransfer { transfer, .. } in stored {
        *sums.entry(transfer.to.clone()).or_default() += i128::from(transfer.amount.get());
    }
}
