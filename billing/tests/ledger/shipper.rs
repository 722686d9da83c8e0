//! The shipper: everything arrives once, whatever fails on the way.
//! Never the gateway; sources are lists in memory or a real journal in a temporary folder.
//! Run on both databases.

use std::{
    collections::BTreeSet,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use billing::{
    journal::{Journal, JournalConfig, OpenEntry},
    ledger::Complete,
    ship::{Mark, RecordSource, ShipObserver, Shipper},
};
use domain::{
    Clock as _, Fault, JournalId, JournaledRecord, RecordHash, RequestId, SystemClock, Timestamp, UsageRecord,
};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::records::{Chain, Entry, NOW, record, some_records, tenant};

/// No test waits longer than this.
const PATIENCE: Duration = Duration::from_secs(60);

/// A journal in memory that can be made to fail.
#[derive(Clone)]
struct Memory {
    journal_id: JournalId,
    entries: Arc<Mutex<Vec<Entry>>>,
    tail: watch::Sender<u64>,
    released: Arc<AtomicU64>,
    failures_left: Arc<AtomicUsize>,
    batch_max: usize,
}

impl Memory {
    fn new(journal_id: JournalId, batch_max: usize) -> Self {
        Self {
            journal_id,
            entries: Arc::default(),
            tail: watch::Sender::new(0),
            released: Arc::default(),
            failures_left: Arc::default(),
            batch_max,
        }
    }

    fn add(&self, batch: Vec<Entry>) {
        let mut entries = self.entries.lock().expect("no panic");
        entries.extend(batch);
        self.tail.send_replace(u64::try_from(entries.len()).expect("small"));
    }
}

impl RecordSource for Memory {
    type Error = std::io::Error;

    fn journal_id(&self) -> JournalId {
        self.journal_id
    }

    fn read_after(&self, sequence: u64, records_max: usize) -> Result<Vec<Entry>, std::io::Error> {
        let failing =
            self.failures_left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
        if failing.is_ok() {
            return Err(std::io::Error::other("the disk is away"));
        }
        let start = usize::try_from(sequence).expect("small");
        let entries = self.entries.lock().expect("no panic");
        Ok(entries.iter().skip(start).take(records_max.min(self.batch_max)).cloned().collect())
    }

    fn release_through(&self, sequence: u64) -> Result<(), std::io::Error> {
        self.released.fetch_max(sequence, Ordering::SeqCst);
        Ok(())
    }

    fn tail(&self) -> watch::Receiver<u64> {
        self.tail.subscribe()
    }

    fn mark(&self) -> Mark {
        Mark { complete: Complete::Before(NOW), through: *self.tail.borrow() }
    }
}

/// A list that has one more record every time it is read.
struct Endless {
    list: Memory,
    chain: Mutex<Chain>,
    usage: UsageRecord,
}

impl RecordSource for Endless {
    type Error = std::io::Error;

    fn journal_id(&self) -> JournalId {
        self.list.journal_id
    }

    fn read_after(&self, sequence: u64, records_max: usize) -> Result<Vec<Entry>, std::io::Error> {
        let request_id = RequestId::from_uuid(uuid::Uuid::new_v4());
        let usage = UsageRecord { request_id, ..self.usage.clone() };
        self.list.add(vec![self.chain.lock().expect("no panic").add(usage)]);
        self.list.read_after(sequence, records_max)
    }

    fn release_through(&self, sequence: u64) -> Result<(), std::io::Error> {
        self.list.release_through(sequence)
    }

    fn tail(&self) -> watch::Receiver<u64> {
        self.list.tail()
    }

    fn mark(&self) -> Mark {
        self.list.mark()
    }
}

/// What the gateway would have written when this request was admitted.
pub(crate) fn opening(usage: &UsageRecord) -> OpenEntry {
    OpenEntry {
        request_id: usage.request_id,
        tenant_id: usage.tenant_id,
        key_id: usage.key_id.clone(),
        model: usage.model.clone(),
        backend: usage.backend.clone(),
        slo: usage.slo,
        prompt_tokens: usage.prompt_tokens,
        started_at: usage.started_at,
        price_version: usage.price_version.clone(),
        project_id: usage.project_id,
    }
}

/// Remembers the sequences it was told of.
#[derive(Debug, Default)]
struct Heard(Mutex<Vec<u64>>);

impl Heard {
    fn take(&self) -> Vec<u64> {
        std::mem::take(&mut *self.0.lock().expect("no panic"))
    }
}

impl ShipObserver for Heard {
    fn shipped<'a>(
        &'a self,
        batch: &'a [(JournaledRecord, RecordHash)],
    ) -> std::pin::Pin<Box<dyn Future<Output = ()> + Send + 'a>> {
        let sequences = batch.iter().map(|(journaled, _)| journaled.sequence);
        self.0.lock().expect("no panic").extend(sequences);
        Box::pin(std::future::ready(()))
    }
}

on_each_database! {
    async fn it_follows_a_growing_journal(database: &Database) {
        let acme = tenant(&database.ledger, "acme", "UTC").await;
        let mut chain = Chain::new();
        let source = Memory::new(chain.journal_id, 7);
        source.add(chain.add_all(some_records(&acme, 20)));
        source.failures_left.store(2, Ordering::SeqCst);
        let shipper = Shipper::new(database.ledger.clone(), source.clone());
        let mut status = shipper.status();
        let stop = CancellationToken::new();
        let running = tokio::spawn(shipper.run(stop.clone()));
        let failed = tokio::time::timeout(PATIENCE, status.wait_for(|status| status.failures > 0)).await;
        assert_eq!(failed.expect("in time").expect("running").fault, Some(Fault::Broken));
        let is_at = |sequence| move |status: &billing::ship::ShipStatus| status.shipped_through == Some(sequence);
        tokio::time::timeout(PATIENCE, status.wait_for(is_at(20))).await.expect("in time").expect("running");
        source.add(chain.add_all(some_records(&acme, 15)));
        let done = tokio::time::timeout(PATIENCE, status.wait_for(is_at(35))).await.expect("in time");
        assert_eq!(done.expect("running").failures, 0);
        // What comes just before the end is shipped before it ends.
        source.add(chain.add_all([record(&acme, 1, NOW)]));
        stop.cancel();
        tokio::time::timeout(PATIENCE, running).await.expect("in time").expect("no panic");
        assert_eq!(database.number("SELECT COUNT(*) FROM usage_records").await, 36);
        assert_eq!(source.released.load(Ordering::SeqCst), 36);
    }

    async fn a_new_shipper_goes_on_where_the_last_one_stopped(database: &Database) {
        let acme = tenant(&database.ledger, "acme", "UTC").await;
        let mut chain = Chain::new();
        let source = Memory::new(chain.journal_id, 1_000);
        source.add(chain.add_all(some_records(&acme, 10)));
        let first = Shipper::new(database.ledger.clone(), source.clone());
        assert_eq!(first.ship_all().await.expect("shipped"), 10);
        source.add(chain.add_all(some_records(&acme, 5)));
        source.released.store(0, Ordering::SeqCst);
        let second = Shipper::new(database.ledger.clone(), source.clone());
        assert_eq!(second.ship_all().await.expect("shipped"), 15);
        assert_eq!(second.ship_all().await.expect("shipped"), 15);
        assert_eq!(source.released.load(Ordering::SeqCst), 15);
        assert_eq!(database.number("SELECT COUNT(*) FROM usage_records").await, 15);
    }

    async fn an_observer_hears_of_every_record_once_it_is_shipped(database: &Database) {
        let acme = tenant(&database.ledger, "acme", "UTC").await;
        let mut chain = Chain::new();
        let source = Memory::new(chain.journal_id, 4);
        source.add(chain.add_all(some_records(&acme, 10)));
        let heard = Arc::new(Heard::default());
        let first = Shipper::new(database.ledger.clone(), source.clone()).observed_by(heard.clone());
        assert_eq!(first.ship_all().await.expect("shipped"), 10);
        assert_eq!(first.ship_all().await.expect("shipped"), 10);
        assert_eq!(heard.take(), (1..=10).collect::<Vec<_>>());
        // After a restart it hears of the last batch again: the process may have died before telling.
        source.add(chain.add_all(some_records(&acme, 2)));
        let second = Shipper::new(database.ledger.clone(), source.clone()).observed_by(heard.clone());
        assert_eq!(second.ship_all().await.expect("shipped"), 12);
        assert_eq!(heard.take(), (1..=12).collect::<Vec<_>>());
        // Of what the ledger refused it hears nothing.
        let mut gap = chain.add_all(some_records(&acme, 2));
        gap.remove(0);
        source.add(gap);
        let third = Shipper::new(database.ledger.clone(), source.clone()).observed_by(heard.clone());
        third.ship_all().await.expect_err("a gap");
        assert_eq!(heard.take(), (1..=12).collect::<Vec<_>>());
    }

    async fn nothing_is_released_that_the_ledger_refused(database: &Database) {
        let acme = tenant(&database.ledger, "acme", "UTC").await;
        let mut chain = Chain::new();
        let source = Memory::new(chain.journal_id, 1_000);
        let mut batch = chain.add_all(some_records(&acme, 4));
        batch.remove(1);
        source.add(batch);
        let shipper = Shipper::new(database.ledger.clone(), source.clone());
        let error = shipper.ship_all().await.expect_err("a gap");
        assert_eq!(error.fault(), Fault::Conflict, "{error}");
        assert_eq!(source.released.load(Ordering::SeqCst), 0);
        assert_eq!(database.number("SELECT COUNT(*) FROM usage_records").await, 0);
    }

    async fn a_closed_ledger_keeps_records_in_the_journal(database: &Database) {
        let acme = tenant(&database.ledger, "acme", "UTC").await;
        let mut chain = Chain::new();
        let source = Memory::new(chain.journal_id, 1_000);
        source.add(chain.add_all(some_records(&acme, 4)));
        let away = billing::ledger::Ledger::connect(database.url()).await.expect("a second door");
        away.close().await;
        let shipper = Shipper::new(away, source.clone());
        let mut status = shipper.status();
        let stop = CancellationToken::new();
        let running = tokio::spawn(shipper.run(stop.clone()));
        tokio::time::timeout(PATIENCE, status.wait_for(|status| status.failures > 1)).await.expect("in time").expect("running");
        stop.cancel();
        tokio::time::timeout(PATIENCE, running).await.expect("it ends").expect("no panic");
        assert_eq!(source.released.load(Ordering::SeqCst), 0);
        assert_eq!(Shipper::new(database.ledger.clone(), source).ship_all().await.expect("shipped"), 4);
    }

    async fn a_journal_is_complete_when_no_open_request_is_older(database: &Database) {
        let acme = tenant(&database.ledger, "acme", "UTC").await;
        let folder = tempfile::tempdir().expect("a folder");
        let config = JournalConfig::new(folder.path().join("journal"));
        let (journal, _) = Journal::open(config, Arc::new(SystemClock)).expect("a journal");
        let admitted = Timestamp::from_unix_micros(SystemClock.now().unix_micros() - 60_000_000);
        let usage = UsageRecord { request_id: RequestId::generate(admitted), ..record(&acme, 1, SystemClock.now()) };
        let complete = |journal: &Journal| {
            let Complete::Before(at) = journal.mark().complete else { panic!("{:?}", journal.mark()) };
            at
        };
        let before = SystemClock.now();
        assert!(complete(&journal) >= before, "nothing is open");
        journal.open_request(opening(&usage)).expect("opened");
        assert!(complete(&journal) <= admitted, "its record may end at any time since");
        let closed = journal.close(usage).await.expect("durable");
        assert_eq!(closed.sequence(), 1);
        assert!(complete(&journal) >= before);
        // Whatever the ledger is told, it has.
        let shipper = Shipper::new(database.ledger.clone(), journal.clone());
        let stop = CancellationToken::new();
        let running = tokio::spawn(shipper.run(stop.clone()));
        let end = Timestamp::from_unix_micros(before.unix_micros());
        let none = BTreeSet::new();
        tokio::time::timeout(PATIENCE, async {
            while database.ledger.check_complete(end, &none).await.is_err() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        }).await.expect("in time");
        journal.shutdown().await.expect("closed");
        stop.cancel();
        tokio::time::timeout(PATIENCE, running).await.expect("in time").expect("no panic");
        let state = database.ledger.journals_page(None, 2).await.expect("read");
        assert_eq!((state.len(), state[0].sequence, state[0].complete), (1, 1, Complete::ForGood));
    }

    async fn a_journal_that_never_runs_dry_is_said_to_be_complete_too(database: &Database) {
        let acme = tenant(&database.ledger, "acme", "UTC").await;
        let chain = Chain::new();
        let list = Memory::new(chain.journal_id, 10);
        let source = Endless { list, chain: Mutex::new(chain), usage: record(&acme, 1, NOW) };
        let stop = CancellationToken::new();
        let running = tokio::spawn(Shipper::new(database.ledger.clone(), source).run(stop.clone()));
        tokio::time::timeout(PATIENCE, async {
            loop {
                let state = database.ledger.journals_page(None, 1).await.expect("read");
                if state.first().is_some_and(|journal| journal.complete == Complete::Before(NOW)) {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        }).await.expect("in time");
        stop.cancel();
        tokio::time::timeout(PATIENCE, running).await.expect("in time").expect("no panic");
    }

    async fn a_real_journal_arrives_with_its_hashes(database: &Database) {
        let acme = tenant(&database.ledger, "acme", "UTC").await;
        let folder = tempfile::tempdir().expect("a folder");
        let config = JournalConfig::new(folder.path().join("journal"));
        let (journal, _) = Journal::open(config, Arc::new(SystemClock)).expect("a journal");
        let shipper = Shipper::new(database.ledger.clone(), journal.clone());
        let stop = CancellationToken::new();
        let mut status = shipper.status();
        let running = tokio::spawn(shipper.run(stop.clone()));
        let mut last = None;
        for usage in some_records(&acme, 25) {
            journal.open_request(opening(&usage)).expect("opened");
            last = Some(journal.close(usage).await.expect("durable"));
        }
        let last = last.expect("a record");
        let shipped = status.wait_for(|status| status.shipped_through == Some(last.sequence()));
        tokio::time::timeout(PATIENCE, shipped).await.expect("in time").expect("running");
        let stored = database.ledger.find_record(last.record().request_id).await.expect("read").expect("there");
        assert_eq!((&stored.journaled.record, stored.hash), (last.record(), last.hash()));
        journal.shutdown().await.expect("closed");
        stop.cancel();
        tokio::time::timeout(PATIENCE, running).await.expect("in time").expect("no panic");
        assert_eq!(database.number("SELECT COUNT(*) FROM usage_records").await, 25);
    }
}
