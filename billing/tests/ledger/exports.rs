//! Exports over real usage: every record and line once, filtered as asked, adding up, in bounded memory.
//! Never the formats' own rules; those are tested beside the code.
//! Run on both databases.

use std::collections::BTreeSet;

use billing::{
    export::{Dataset, Export, ExportError, FocusVersion, Format, Request, Whose},
    invoice,
    ledger::{Ledger, RecordFilter, Tenant},
    plan::Plan,
    verify::verify,
};
use domain::{EndReason, Timestamp, UsageRecord};

use crate::records::{Chain, HOUR_US, NOW, at, november, record, some_records, tenant};

async fn ship(ledger: &Ledger, records: Vec<UsageRecord>) {
    let mut chain = Chain::new();
    for batch in chain.add_all(records).chunks(1_000) {
        ledger.ship(chain.journal_id, batch).await.expect("shipped");
    }
}

pub(crate) fn request(dataset: Dataset, format: Format, tenant: &Tenant) -> Request {
    Request {
        dataset,
        format,
        whose: Whose::Tenant(Box::new(tenant.clone()), november(&tenant.zone)),
        filter: RecordFilter::default(),
        provider: "Tallygate".to_owned(),
    }
}

/// All of an export, its largest piece, and the most rows that were held.
pub(crate) async fn all(ledger: &Ledger, request: Request) -> (Vec<u8>, usize, usize) {
    let mut export = Export::new(ledger.clone(), request).expect("an export");
    let (mut bytes, mut largest) = (Vec::new(), 0);
    while let Some(piece) = export.next().await.expect("a piece") {
        assert!(!piece.is_empty());
        largest = largest.max(piece.len());
        bytes.extend(piece);
    }
    (bytes, largest, export.rows_held_max())
}

async fn lines(ledger: &Ledger, request: Request) -> Vec<String> {
    let (bytes, _, _) = all(ledger, request).await;
    String::from_utf8(bytes).expect("text").lines().map(ToOwned::to_owned).collect()
}

on_each_database! {
    async fn every_record_is_exported_once_and_verifies(database: &Database) {
        let ledger = &database.ledger;
        let acme = tenant(ledger, "acme", "UTC").await;
        let other = tenant(ledger, "other", "UTC").await;
        ship(ledger, some_records(&acme, 1_234)).await;
        ship(ledger, some_records(&other, 77)).await;
        let period = november("UTC");
        let issued = invoice::issue(ledger, &acme, &period, period.end()).await.expect("issued");
        let (jsonl, _, _) = all(ledger, request(Dataset::Usage, Format::JsonLines, &acme)).await;
        let plans = vec![Plan::demo().expect("a plan")];
        let verified = verify(&issued.to_json().expect("json"), jsonl.as_slice(), plans, None).expect("good");
        assert_eq!(verified.records, 1_234);
        let csv = lines(ledger, request(Dataset::Usage, Format::Csv, &acme)).await;
        assert!(csv[0].starts_with("request_id,key_id,model,backend,"), "{}", csv[0]);
        let ids: BTreeSet<_> = csv[1..].iter().map(|line| line.split(',').next().expect("an id")).collect();
        assert_eq!((csv.len(), ids.len()), (1_235, 1_234));
        let (parquet, _, _) = all(ledger, request(Dataset::Usage, Format::Parquet, &acme)).await;
        assert!(parquet.starts_with(b"PAR1") && parquet.ends_with(b"PAR1"));
        // All tenants, each in its own zone.
        let whose = Whose::All("2026-11".to_owned());
        let everybody = Request { whose, ..request(Dataset::Usage, Format::Csv, &acme) };
        assert_eq!(lines(ledger, everybody).await.len(), 1 + 1_234 + 77);
        // The same once more is the same to the byte.
        let again = all(ledger, request(Dataset::Usage, Format::Parquet, &acme)).await.0;
        assert_eq!(again, parquet);
    }

    async fn filters_keep_to_what_is_asked(database: &Database) {
        let ledger = &database.ledger;
        let acme = tenant(ledger, "acme", "UTC").await;
        let records = some_records(&acme, 300);
        ship(ledger, records.clone()).await;
        let counted = |is_it: &dyn Fn(&UsageRecord) -> bool| records.iter().filter(|record| is_it(record)).count();
        let key = RecordFilter { key: Some("key1".parse().expect("an id")), ..RecordFilter::default() };
        let model = RecordFilter { model: Some("demo".parse().expect("a model")), ..RecordFilter::default() };
        let none = RecordFilter { model: Some("none".parse().expect("a model")), ..RecordFilter::default() };
        let project = RecordFilter { project: Some(crate::records::project(1)), ..RecordFilter::default() };
        let rows = [
            (RecordFilter::default(), 300),
            (key, counted(&|record| record.key_id.as_str() == "key1")),
            (model, 300),
            (none, 0),
            // These projects are in no ledger, so that nothing is below them.
            (project, 0),
        ];
        for (filter, expected) in rows {
            let request = Request { filter: filter.clone(), ..request(Dataset::Usage, Format::Csv, &acme) };
            assert_eq!(lines(ledger, request).await.len(), expected + 1, "{filter:?}");
        }
        let filter = RecordFilter { key: Some("key1".parse().expect("an id")), ..RecordFilter::default() };
        let request = Request { filter, ..request(Dataset::InvoiceLines, Format::Csv, &acme) };
        assert!(matches!(Export::new(ledger.clone(), request), Err(ExportError::NotForInvoices)));
    }

    async fn lines_and_focus_add_up_to_what_is_owed(database: &Database) {
        let ledger = &database.ledger;
        let acme = tenant(ledger, "acme", "Asia/Kolkata").await;
        ship(ledger, some_records(&acme, 500)).await;
        let period = november("Asia/Kolkata");
        let issued = invoice::issue(ledger, &acme, &period, period.end()).await.expect("issued");
        // Another month is another export.
        let october = domain::Period::month("2026-10", "Asia/Kolkata").expect("a month");
        ship(ledger, vec![record(&acme, 5, at("2026-10-05T00:00:00Z"))]).await;
        invoice::issue(ledger, &acme, &october, period.end()).await.expect("issued");
        let datasets =
            [Dataset::InvoiceLines, Dataset::Focus(FocusVersion::V1_0), Dataset::Focus(FocusVersion::V1_2)];
        for (dataset, column) in datasets.into_iter().zip(["displayed", "BilledCost", "BilledCost"]) {
            let lines = lines(ledger, request(dataset, Format::JsonLines, &acme)).await;
            assert_eq!(lines.len(), issued.lines.len(), "{dataset:?}");
            let amounts = lines.iter().map(|line| {
                let row: serde_json::Value = serde_json::from_str(line).expect("JSON");
                row[column].as_str().expect("decimal text").parse::<bigdecimal::BigDecimal>().expect("a decimal")
            });
            let total: bigdecimal::BigDecimal = issued.total.parse().expect("a decimal");
            assert_eq!(amounts.sum::<bigdecimal::BigDecimal>(), total, "{dataset:?}");
            let (parquet, _, _) = all(ledger, request(dataset, Format::Parquet, &acme)).await;
            assert!(parquet.ends_with(b"PAR1"));
        }
    }

    async fn memory_does_not_grow_with_the_export(database: &Database) {
        let ledger = &database.ledger;
        let acme = tenant(ledger, "acme", "UTC").await;
        let first = at("2026-11-02T00:00:00Z").unix_micros();
        let mut chain = Chain::new();
        let mut seen = Vec::new();
        for part in 0..3_u64 {
            let records = (0..4_000_u64).map(|number| {
                let step = i64::try_from(part * 4_000 + number).expect("small");
                let finished = Timestamp::from_unix_micros(first + step * HOUR_US / 40);
                UsageRecord { reason: EndReason::Completed, ..record(&acme, number, finished) }
            });
            for batch in chain.add_all(records.collect::<Vec<_>>()).chunks(1_000) {
                ledger.ship(chain.journal_id, batch).await.expect("shipped");
            }
            for format in [Format::Csv, Format::JsonLines, Format::Parquet] {
                let (bytes, largest, held) = all(ledger, request(Dataset::Usage, format, &acme)).await;
                seen.push((part, format, bytes.len(), largest, held));
            }
        }
        for (part, format, bytes, largest, held) in &seen {
            // One page of a thousand, and for Parquet at most one row group beside it.
            let most = if *format == Format::Parquet { 11_000 } else { 1_000 };
            assert!(*held <= most, "{part} {format:?}: {held} rows");
            if *format != Format::Parquet {
                assert!(*largest < 1_200_000 && *bytes >= *largest, "{part} {format:?}: {largest} of {bytes} bytes");
            }
        }
        let of = |part: u64, format: Format| {
            let found = seen.iter().find(|row| row.0 == part && row.1 == format).expect("measured");
            (found.2, found.3)
        };
        // Three times as much, in pieces of the same size.
        let ((small, piece), (large, same)) = (of(0, Format::JsonLines), of(2, Format::JsonLines));
        assert!(large > small * 5 / 2 && same < piece + piece / 10, "{small} {large} {piece} {same}");
        assert_eq!(NOW.unix_micros() % HOUR_US, 0);
    }
}
