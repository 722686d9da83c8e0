//! A ledger that was restored from an old copy, and the journal that goes on: together they have every record once.
//! Never a copy by hand: SQLite by the program's own command, PostgreSQL by its own copy of a database.
//! Run on both databases.

use std::{path::Path, sync::Arc};

use billing::{
    invoice,
    journal::{Journal, JournalConfig},
    ledger::{Ledger, LedgerError},
    ship::Shipper,
};
use domain::{SystemClock, UsageRecord};

use crate::{
    databases::{Database, Place},
    records::{at, november, some_records, tenant},
    shipper::opening,
};

/// Segments of the smallest size, and as many kept as an installation keeps unless told otherwise.
fn journal(folder: &Path) -> Journal {
    let config = JournalConfig {
        segment_bytes_max: 8_192,
        retained_segments: 64,
        ..JournalConfig::new(folder.join("journal"))
    };
    Journal::open(config, Arc::new(SystemClock)).expect("a journal").0
}

async fn write(journal: &Journal, records: &[UsageRecord]) {
    for usage in records {
        journal.open_request(opening(usage)).expect("opened");
        let journaled = journal.close(usage.clone()).await.expect("durable");
        assert_eq!(journaled.record().request_id, usage.request_id);
    }
}

async fn nothing_is_lost_or_doubled(place: Place) {
    let folder = tempfile::tempdir().expect("a folder");
    let written = journal(folder.path());
    let ledger = Ledger::connect(&place.url).await.expect("a ledger");
    let acme = tenant(&ledger, "acme", "UTC").await;
    let records = some_records(&acme, 60);
    write(&written, &records[..20]).await;
    assert_eq!(Shipper::new(ledger.clone(), written.clone()).ship_all().await.expect("shipped"), 20);
    ledger.close().await;
    let copy = place.copy().await;

    // Life goes on: more records, and the month's invoice.
    let ledger = Ledger::connect(&place.url).await.expect("the ledger");
    write(&written, &records[20..]).await;
    assert_eq!(Shipper::new(ledger.clone(), written.clone()).ship_all().await.expect("shipped"), 60);
    let (period, end) = (november("UTC"), at("2026-12-01T00:00:00Z"));
    let sums = ledger.usage_sums(acme.id, &period).await.expect("sums");
    let issued = invoice::issue(&ledger, &acme, &period, end).await.expect("issued");
    ledger.close().await;
    written.shutdown().await.expect("closed");

    // The ledger is lost. A gateway starts over the copy, with the journal that it has.
    let restored = Database::open(copy).await;
    let known = restored.ledger.find_record(records[59].request_id).await.expect("read");
    assert!(known.is_none(), "the copy is old");
    let again = journal(folder.path());
    for _ in 0..2 {
        assert_eq!(
            Shipper::new(restored.ledger.clone(), again.clone()).ship_all().await.expect("shipped"),
            60
        );
        assert_eq!(restored.number("SELECT COUNT(*) FROM usage_records").await, 60);
        assert_eq!(restored.ledger.usage_sums(acme.id, &period).await.expect("sums"), sums);
    }
    for record in &records {
        let found = restored.ledger.find_record(record.request_id).await.expect("read").expect("there");
        assert_eq!(&found.journaled.record, record);
    }
    let anew = invoice::issue(&restored.ledger, &acme, &period, end).await.expect("issued");
    assert_eq!(anew, issued, "the invoice comes out the same, number and all");
    again.shutdown().await.expect("closed");
    restored.remove().await;
}

#[tokio::test]
async fn an_old_copy_and_the_journal_have_everything_once_sqlite() {
    nothing_is_lost_or_doubled(Place::sqlite()).await;
}

#[tokio::test]
async fn an_old_copy_and_the_journal_have_everything_once_postgres() {
    let Some(place) = Place::postgres().await else { return };
    nothing_is_lost_or_doubled(place).await;
}

#[tokio::test]
async fn a_backup_never_writes_over_a_file() {
    use std::os::unix::fs::PermissionsExt as _;
    let database = Database::open(Place::sqlite()).await;
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("copy.sqlite");
    database.ledger.backup(&path).await.expect("copied");
    let mode = std::fs::metadata(&path).expect("there").permissions().mode();
    assert_eq!(mode & 0o777, 0o600, "for its owner alone");
    let error = database.ledger.backup(&path).await.expect_err("there already");
    assert!(matches!(error, LedgerError::File { .. }), "{error}");
    let Some(place) = Place::postgres().await else { return };
    let database = Database::open(place).await;
    let error = database.ledger.backup(&folder.path().join("other")).await.expect_err("a server");
    assert!(matches!(error, LedgerError::OtherDatabase(_)), "{error}");
    database.remove().await;
}
