//! Taking batches from journals: once, in order, all or nothing.
//! Never a price.
//! Run on both databases.

use billing::ledger::{
    ChainBreak, JournalCursor, Ledger, LedgerError, SHIP_RECORDS_MAX, Shipped, Tenant, UsageSum,
};
use domain::{RecordHash, Tokens};
use proptest::{
    prelude::*,
    test_runner::{Config, TestRunner},
};

use crate::{
    databases::{Database, Place},
    records::{Chain, Entry, NOW, hash_of, november, record, some_records, tenant},
};

async fn sums(ledger: &Ledger, tenant: &Tenant) -> Vec<UsageSum> {
    ledger.usage_sums(tenant.id, &november("UTC")).await.expect("sums")
}

/// The reason a batch was refused for, after making sure that it changed nothing.
async fn refused(database: &Database, tenant: &Tenant, chain: &Chain, batch: &[Entry]) -> LedgerError {
    let ledger = &database.ledger;
    let before = (sums(ledger, tenant).await, ledger.journal_cursor(chain.journal_id).await.expect("read"));
    let count = "SELECT COUNT(*) FROM usage_records";
    let records = database.number(count).await;
    let error = ledger.ship(chain.journal_id, batch).await.expect_err("refused");
    let after = (sums(ledger, tenant).await, ledger.journal_cursor(chain.journal_id).await.expect("read"));
    assert_eq!((before, records), (after, database.number(count).await), "{error}");
    error
}

fn chain_break(error: &LedgerError) -> (u64, ChainBreak) {
    let LedgerError::ChainBroken { sequence, detail, .. } = error else {
        panic!("not a broken chain: {error}");
    };
    (*sequence, detail.clone())
}

on_each_database! {
    async fn records_come_back_as_they_were(database: &Database) {
        let ledger = &database.ledger;
        let acme = tenant(ledger, "acme", "UTC").await;
        let mut chain = Chain::new();
        let batch = chain.add_all(some_records(&acme, 60));
        let shipped = ledger.ship(chain.journal_id, &batch).await.expect("shipped");
        assert_eq!(shipped, Shipped { inserted: 60, duplicates: 0 });
        for (journaled, hash) in &batch {
            let stored = ledger.find_record(journaled.record.request_id).await.expect("read").expect("there");
            assert_eq!((&stored.journaled, &stored.hash), (journaled, hash));
        }
        let cursor = ledger.journal_cursor(chain.journal_id).await.expect("read");
        assert_eq!(cursor, JournalCursor { sequence: 60, hash: batch[59].1 });
        let latest = ledger.latest_records(acme.id, 5).await.expect("read");
        let newest = batch.iter().map(|(journaled, _)| journaled.record.finished_at).max();
        assert_eq!((latest.len(), Some(latest[0].journaled.record.finished_at)), (5, newest));
        let unknown = ledger.journal_cursor(Chain::new().journal_id).await.expect("read");
        assert_eq!(unknown, JournalCursor { sequence: 0, hash: RecordHash::GENESIS });
    }

    async fn pages_follow_on_without_gap_or_repeat(database: &Database) {
        let ledger = &database.ledger;
        let acme = tenant(ledger, "acme", "UTC").await;
        let mut chain = Chain::new();
        // Groups of records that finished in the same microsecond.
        let batch = chain.add_all((0..97).map(|number| {
            record(&acme, number, domain::Timestamp::from_unix_micros(NOW.unix_micros() + i64::try_from(number / 10).expect("small")))
        }));
        ledger.ship(chain.journal_id, &batch).await.expect("shipped");
        for size in [1, 7, 10, 97, 1_000] {
            let mut seen = Vec::new();
            let mut after = None;
            loop {
                let page = ledger.records_page(acme.id, &november("UTC"), None, after, size).await.expect("a page");
                seen.extend(page.records.into_iter().map(|stored| stored.journaled));
                after = page.next;
                if after.is_none() {
                    break;
                }
            }
            let order = |journaled: &domain::JournaledRecord| (journaled.record.finished_at, journaled.record.request_id);
            let mut expected: Vec<_> = batch.iter().map(|(journaled, _)| journaled.clone()).collect();
            expected.sort_by_key(order);
            assert_eq!(seen, expected, "pages of {size}");
        }
    }

    async fn again_and_overlapping_changes_nothing(database: &Database) {
        let ledger = &database.ledger;
        let acme = tenant(ledger, "acme", "UTC").await;
        let mut chain = Chain::new();
        let batch = chain.add_all(some_records(&acme, 40));
        let rows = [(0..20, 20, 0), (0..20, 0, 20), (5..15, 0, 10), (10..30, 10, 10), (30..30, 0, 0), (0..40, 10, 30)];
        for (range, inserted, duplicates) in rows {
            let shipped = ledger.ship(chain.journal_id, &batch[range.clone()]).await.expect("shipped");
            assert_eq!(shipped, Shipped { inserted, duplicates }, "{range:?}");
        }
        let requests: u64 = sums(ledger, &acme).await.iter().map(|sum| sum.totals.requests).sum();
        assert_eq!(requests, 40);
    }

    async fn a_batch_that_breaks_the_chain_is_refused_whole(database: &Database) {
        let acme = tenant(&database.ledger, "acme", "UTC").await;
        let mut chain = Chain::new();
        let batch = chain.add_all(some_records(&acme, 10));
        let gap = refused(database, &acme, &chain, &batch[1..]).await;
        assert_eq!(chain_break(&gap), (2, ChainBreak::Gap { expected: 1 }));
        database.ledger.ship(chain.journal_id, &batch[..4]).await.expect("shipped");
        let gap = refused(database, &acme, &chain, &batch[5..]).await;
        assert_eq!(chain_break(&gap), (6, ChainBreak::Gap { expected: 5 }));
        // A gap inside, a step back, a place 0.
        let inside = [batch[4].clone(), batch[6].clone()];
        assert_eq!(chain_break(&refused(database, &acme, &chain, &inside).await), (7, ChainBreak::Gap { expected: 6 }));
        let back = [batch[4].clone(), batch[4].clone()];
        assert_eq!(chain_break(&refused(database, &acme, &chain, &back).await), (5, ChainBreak::Gap { expected: 6 }));
        // The right place, but another predecessor: at the seam and inside.
        let mut forged = batch[4].clone();
        forged.0.previous_hash = RecordHash::from_bytes([9; 32]);
        let seam = refused(database, &acme, &chain, &[forged]).await;
        let found = RecordHash::from_bytes([9; 32]);
        assert_eq!(chain_break(&seam), (5, ChainBreak::Hash { expected: batch[3].1, found }));
        let mut forged = batch[5].clone();
        forged.0.previous_hash = found;
        let inside = refused(database, &acme, &chain, &[batch[4].clone(), forged]).await;
        assert_eq!(chain_break(&inside), (6, ChainBreak::Hash { expected: batch[4].1, found }));
        // Another journal's record among ours.
        let mut other = Chain::new();
        let stranger = other.add(record(&acme, 1, NOW));
        let error = refused(database, &acme, &chain, &[stranger]).await;
        assert_eq!(chain_break(&error), (1, ChainBreak::OtherJournal(other.journal_id)));
        // A record that was taken, rewritten since.
        let mut rewritten = batch[2].clone();
        rewritten.0.record.output_tokens = Tokens::new(1_000);
        rewritten.1 = hash_of(&rewritten.0);
        let error = refused(database, &acme, &chain, &[rewritten]).await;
        assert_eq!(chain_break(&error), (3, ChainBreak::Rewritten));
    }

    async fn one_request_has_one_record(database: &Database) {
        let acme = tenant(&database.ledger, "acme", "UTC").await;
        let mut first = Chain::new();
        let taken = record(&acme, 1, NOW);
        let entry = first.add(taken.clone());
        database.ledger.ship(first.journal_id, &[entry]).await.expect("shipped");
        let mut second = Chain::new();
        let batch = second.add_all([record(&acme, 2, NOW), taken.clone()]);
        let error = refused(database, &acme, &second, &batch).await;
        assert!(matches!(error, LedgerError::RequestConflict { request_id } if request_id == taken.request_id), "{error}");
        assert!(error.to_string().contains(&taken.request_id.to_string()));
        let mut third = Chain::new();
        let twice = record(&acme, 3, NOW);
        let batch = third.add_all([twice.clone(), twice.clone()]);
        let error = refused(database, &acme, &third, &batch).await;
        assert!(matches!(error, LedgerError::RequestConflict { request_id } if request_id == twice.request_id), "{error}");
    }

    async fn impossible_records_are_refused_by_name(database: &Database) {
        let acme = tenant(&database.ledger, "acme", "UTC").await;
        let good = record(&acme, 33, NOW);
        let change: [fn(&mut domain::UsageRecord); 6] = [
            |record| record.cached_prompt_tokens = Tokens::new(record.prompt_tokens.get() + 1),
            |record| record.reasoning_tokens = Tokens::new(record.output_tokens.get() + 1),
            |record| record.tokens_in_slo = Tokens::new(record.output_tokens.get() + 1),
            |record| record.backend = "a\u{0}b".to_owned(),
            |record| record.backend = "b".repeat(201),
            |record| record.prompt_tokens = Tokens::new(u64::MAX),
        ];
        for change in change {
            let mut chain = Chain::new();
            let mut bad = good.clone();
            change(&mut bad);
            let batch = chain.add_all([record(&acme, 1, NOW), bad]);
            let error = refused(database, &acme, &chain, &batch).await;
            assert_eq!(error.fault(), domain::Fault::Invalid, "{error}");
        }
        let mut chain = Chain::new();
        let many = chain.add_all((0..=SHIP_RECORDS_MAX).map(|_| good.clone()));
        let error = refused(database, &acme, &chain, &many).await;
        assert!(matches!(error, LedgerError::BatchTooLarge { .. }), "{error}");
    }

    async fn sums_beyond_what_fits_are_refused(database: &Database) {
        let acme = tenant(&database.ledger, "acme", "UTC").await;
        let mut chain = Chain::new();
        let huge = |number: u64| {
            let most = Tokens::new(u64::try_from(i64::MAX).expect("positive"));
            domain::UsageRecord { prompt_tokens: most, ..record(&acme, number * 60, NOW) }
        };
        let first = chain.add(huge(1));
        database.ledger.ship(chain.journal_id, std::slice::from_ref(&first)).await.expect("it fits alone");
        let second = chain.add(huge(1));
        refused(database, &acme, &chain, std::slice::from_ref(&second)).await;
        let mut both = Chain::new();
        let batch = both.add_all([huge(1), huge(1)]);
        refused(database, &acme, &both, &batch).await;
    }

    async fn two_journals_ship_at_once(database: &Database) {
        let acme = tenant(&database.ledger, "acme", "UTC").await;
        let ship = |records: Vec<domain::UsageRecord>| {
            let ledger = database.ledger.clone();
            tokio::spawn(async move {
                let mut chain = Chain::new();
                let batch = chain.add_all(records);
                for part in batch.chunks(17) {
                    ledger.ship(chain.journal_id, part).await.expect("shipped");
                }
            })
        };
        let tasks: Vec<_> = (0..4).map(|_| ship(some_records(&acme, 300))).collect();
        for task in tasks {
            task.await.expect("shipped");
        }
        let requests: u64 = sums(&database.ledger, &acme).await.iter().map(|sum| sum.totals.requests).sum();
        assert_eq!((requests, database.number("SELECT COUNT(*) FROM usage_records").await), (1_200, 1_200));
        assert_eq!(sums(&database.ledger, &acme).await, independent(&database.ledger, &acme).await);
    }

    async fn one_journal_shipped_twice_at_once_counts_once(database: &Database) {
        let acme = tenant(&database.ledger, "acme", "UTC").await;
        let mut chain = Chain::new();
        let batch = std::sync::Arc::new(chain.add_all(some_records(&acme, 200)));
        let tasks: Vec<_> = (0..4).map(|_| {
            let (ledger, batch, journal_id) = (database.ledger.clone(), batch.clone(), chain.journal_id);
            tokio::spawn(async move { ledger.ship(journal_id, &batch).await.expect("shipped").inserted })
        }).collect();
        let mut inserted = 0;
        for task in tasks {
            inserted += task.await.expect("no panic");
        }
        assert_eq!(inserted, 200);
        assert_eq!(sums(&database.ledger, &acme).await, independent(&database.ledger, &acme).await);
    }
}

/// The sums of November, added up from the records one by one.
async fn independent(ledger: &Ledger, tenant: &Tenant) -> Vec<UsageSum> {
    let page = |after| ledger.records_page(tenant.id, &NOVEMBER, None, after, 1_000);
    static NOVEMBER: std::sync::LazyLock<domain::Period> = std::sync::LazyLock::new(|| november("UTC"));
    let mut records = Vec::new();
    let mut next = None;
    loop {
        let found = page(next).await.expect("a page");
        records.extend(found.records.into_iter().map(|stored| stored.journaled.record));
        next = found.next;
        if next.is_none() {
            return crate::periods::add_up(&records);
        }
    }
}

/// How a journal is cut into batches, with repeats: pairs of (records to step back, records to send).
fn cuts() -> impl Strategy<Value = Vec<(usize, usize)>> {
    proptest::collection::vec((0_usize..30, 1_usize..60), 1..12)
}

fn splitting_changes_nothing(place: impl Fn(&tokio::runtime::Runtime) -> Option<Place>, cases: u32) {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let mut runner = TestRunner::new(Config { cases, failure_persistence: None, ..Config::default() });
    let outcome = runner.run(&cuts(), |cuts| {
        let Some(place) = place(&runtime) else { return Ok(()) };
        runtime.block_on(async {
            let database = Database::open(place).await;
            let ledger = &database.ledger;
            let acme = tenant(ledger, "acme", "UTC").await;
            let (mut whole, mut split) = (Chain::new(), Chain::new());
            let records = some_records(&acme, 150);
            let twins = records.iter().cloned().map(|record| domain::UsageRecord {
                request_id: domain::RequestId::from_uuid(uuid::Uuid::new_v4()),
                ..record
            });
            let other = tenant(ledger, "other", "UTC").await;
            let twins: Vec<_> =
                twins.map(|record| domain::UsageRecord { tenant_id: other.id, ..record }).collect();
            let (whole_batch, split_batch) = (whole.add_all(records), split.add_all(twins));
            ledger.ship(whole.journal_id, &whole_batch).await.expect("shipped");
            let mut sent = 0;
            for (back, forward) in cuts.iter().copied().chain([(0, 150)]) {
                let from = sent - back.min(sent);
                let to = (from + forward).min(150).max(from);
                ledger.ship(split.journal_id, &split_batch[from..to]).await.expect("shipped");
                sent = sent.max(to);
            }
            assert_eq!(sent, 150);
            let expected = sums(ledger, &acme).await;
            assert_eq!(expected.iter().map(|sum| sum.totals.requests).sum::<u64>(), 150);
            assert_eq!(sums(ledger, &other).await, expected);
            database.remove().await;
        });
        Ok(())
    });
    outcome.expect("any split gives the same tallies");
}

#[test]
fn splitting_a_journal_anywhere_changes_nothing_on_sqlite() {
    splitting_changes_nothing(|_| Some(Place::sqlite()), 12);
}

#[test]
fn splitting_a_journal_anywhere_changes_nothing_on_postgres() {
    splitting_changes_nothing(|runtime| runtime.block_on(Place::postgres()), 4);
}
