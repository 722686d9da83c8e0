//! Stored responses: kept for their tenant alone, until they expire or are deleted.
//! Never the wire form: the ledger sees texts.
//! Run on both databases.

use billing::ledger::{EXPIRED_RESPONSES_MAX, LedgerError, RESPONSE_BYTES_MAX, StoredResponse};
use domain::{Fault, Timestamp};

use crate::records::{NOW, tenant};

fn later(seconds: i64) -> Timestamp {
    Timestamp::from_unix_micros(NOW.unix_micros() + seconds * 1_000_000)
}

fn response(id: &str, seconds: i64) -> StoredResponse {
    StoredResponse {
        id: id.to_owned(),
        body: "{\"text\":\"ü\\u0000\"}".to_owned(),
        conversation: "[]".to_owned(),
        created_at: NOW,
        expires_at: later(seconds),
    }
}

on_each_database! {
    async fn a_response_is_its_tenants_alone(database: &Database) {
        let ledger = &database.ledger;
        let (acme, zeta) = (tenant(ledger, "acme", "UTC").await.id, tenant(ledger, "zeta", "UTC").await.id);
        let kept = response("resp_1", 60);
        ledger.store_response(acme, &kept).await.expect("stored");
        // The tenant, the id, the moment, and whether it is found.
        let rows = [
            (acme, "resp_1", 0, true),
            (acme, "resp_1", 59, true),
            (acme, "resp_1", 60, false),
            (acme, "resp_2", 0, false),
            (acme, "", 0, false),
            (zeta, "resp_1", 0, false),
        ];
        for (owner, id, seconds, is_found) in rows {
            let found = ledger.find_response(owner, id, later(seconds)).await.expect("read");
            assert_eq!(found, is_found.then(|| kept.clone()), "{id} after {seconds} s");
        }
        assert!(!ledger.delete_response(zeta, "resp_1", NOW).await.expect("asked"));
        assert!(!ledger.delete_response(acme, "resp_1", later(60)).await.expect("asked"));
        assert!(ledger.delete_response(acme, "resp_1", NOW).await.expect("deleted"));
        assert!(!ledger.delete_response(acme, "resp_1", NOW).await.expect("asked"));
        assert_eq!(ledger.find_response(acme, "resp_1", NOW).await.expect("read"), None);
    }

    async fn what_does_not_fit_is_not_stored(database: &Database) {
        let ledger = &database.ledger;
        let acme = tenant(ledger, "acme", "UTC").await.id;
        let wide = "x".repeat(RESPONSE_BYTES_MAX + 1);
        let rows = [
            StoredResponse { body: wide.clone(), ..response("a", 60) },
            StoredResponse { conversation: wide.clone(), ..response("b", 60) },
            response("c", 0),
            response("d", -1),
        ];
        for row in rows {
            let refused = ledger.store_response(acme, &row).await.expect_err("refused");
            assert!(matches!(refused, LedgerError::BadResponse { .. }), "{refused}");
            assert_eq!(refused.fault(), Fault::Invalid);
        }
        let whole = StoredResponse { body: wide[1..].to_owned(), ..response("e", 60) };
        ledger.store_response(acme, &whole).await.expect("stored");
        let twice = ledger.store_response(acme, &whole).await.expect_err("refused");
        assert!(matches!(twice, LedgerError::Taken { .. }), "{twice}");
    }

    async fn the_expired_go_in_small_steps(database: &Database) {
        let ledger = &database.ledger;
        let acme = tenant(ledger, "acme", "UTC").await.id;
        let count = u64::from(EXPIRED_RESPONSES_MAX) + 3;
        for number in 0..count {
            ledger.store_response(acme, &response(&format!("old_{number}"), 5)).await.expect("stored");
        }
        ledger.store_response(acme, &response("new", 6)).await.expect("stored");
        assert_eq!(ledger.delete_expired_responses(later(4)).await.expect("asked"), 0);
        for expected in [u64::from(EXPIRED_RESPONSES_MAX), 3, 0] {
            assert_eq!(ledger.delete_expired_responses(later(5)).await.expect("deleted"), expected);
        }
        assert!(ledger.find_response(acme, "new", later(5)).await.expect("read").is_some());
    }
}
