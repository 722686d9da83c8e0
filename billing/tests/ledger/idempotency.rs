//! Idempotency-Keys: one of many claims wins, what came of it is told again, and nothing is billed twice.
//! Never HTTP.
//! Run on both databases.

use billing::ledger::{
    Claim, Claimed, EXPIRED_ROWS_MAX, IdempotencyKey, Ledger, Outcome, StoredAnswer, Tenant,
};
use domain::{EndReason, JournalId, RequestId, Timestamp, UsageRecord};
use uuid::Uuid;

use crate::records::{Chain, NOW, record, tenant};

const HOUR: i64 = 3_600;

fn later(seconds: i64) -> Timestamp {
    Timestamp::from_unix_micros(NOW.unix_micros() + seconds * 1_000_000)
}

/// A claim that runs for ten minutes at most and is kept for a day.
fn claim(tenant: &Tenant, name: u8, asked: u8, second: i64) -> Claim {
    Claim {
        key: IdempotencyKey { tenant_id: tenant.id, name_hash: [name; 32] },
        asked_hash: [asked; 32],
        request_id: RequestId::generate(later(second)),
        journal_id: JournalId::from_uuid(Uuid::from_u128(1)),
        boot_id: Uuid::from_u128(1),
        now: later(second),
        running_until: later(second + 600),
        expires_at: later(second + 24 * HOUR),
    }
}

async fn claimed(ledger: &Ledger, claim: &Claim) -> Claimed {
    ledger.claim_idempotency(claim).await.expect("an answer")
}

fn answer(body: &[u8]) -> Outcome {
    Outcome::Answer(StoredAnswer { status: 200, headers: "[]".to_owned(), body: body.to_vec() })
}

fn ended(claim: &Claim, outcome: Outcome) -> Claimed {
    Claimed::Ended { request_id: claim.request_id, outcome }
}

/// Puts the usage record of a claim's request into the ledger.
async fn ship(ledger: &Ledger, tenant: &Tenant, claim: &Claim, reason: EndReason) {
    let record = UsageRecord { request_id: claim.request_id, reason, ..record(tenant, 1, NOW) };
    let mut chain = Chain::new();
    let batch = chain.add_all([record]);
    ledger.ship(chain.journal_id, &batch).await.expect("shipped");
}

on_each_database! {
    async fn what_was_stored_is_told_byte_for_byte(database: &Database) {
        let ledger = &database.ledger;
        let (acme, zeta) = (tenant(ledger, "acme", "UTC").await, tenant(ledger, "zeta", "UTC").await);
        let first = claim(&acme, 1, 1, 0);
        assert_eq!(claimed(ledger, &first).await, Claimed::Mine);
        assert_eq!(claimed(ledger, &claim(&acme, 1, 1, 1)).await, Claimed::Running);
        assert_eq!(claimed(ledger, &claim(&acme, 1, 2, 1)).await, Claimed::Conflict);
        let outcomes = [answer(&[0, 255, b'\n', b'\'']), Outcome::TooLarge, Outcome::ClientGone, Outcome::Lost];
        for (name, outcome) in (10..).zip(outcomes) {
            let first = claim(&acme, name, 1, 0);
            assert_eq!(claimed(ledger, &first).await, Claimed::Mine);
            ledger.store_outcome(first.key, first.request_id, &outcome).await.expect("stored");
            // The first one counts.
            ledger.store_outcome(first.key, first.request_id, &answer(b"other")).await.expect("of no effect");
            ledger.free_idempotency(first.key, first.request_id).await.expect("of no effect");
            for second in [1, 700, 24 * HOUR - 1] {
                let repeat = claim(&acme, name, 1, second);
                assert_eq!(claimed(ledger, &repeat).await, ended(&first, outcome.clone()), "{second}");
                assert_eq!(claimed(ledger, &claim(&acme, name, 2, second)).await, Claimed::Conflict);
            }
            // The same key of another tenant is another key.
            assert_eq!(claimed(ledger, &claim(&zeta, name, 1, 1)).await, Claimed::Mine);
            // After a day the key is free, for anything.
            assert_eq!(claimed(ledger, &claim(&acme, name, 2, 24 * HOUR)).await, Claimed::Mine);
            assert_eq!(claimed(ledger, &claim(&acme, name, 2, 24 * HOUR)).await, Claimed::Running);
        }
    }

    async fn a_refused_request_gives_its_key_back(database: &Database) {
        let ledger = &database.ledger;
        let acme = tenant(ledger, "acme", "UTC").await;
        let first = claim(&acme, 1, 1, 0);
        assert_eq!(claimed(ledger, &first).await, Claimed::Mine);
        ledger.free_idempotency(first.key, RequestId::generate(NOW)).await.expect("not theirs");
        assert_eq!(claimed(ledger, &claim(&acme, 1, 1, 1)).await, Claimed::Running);
        ledger.free_idempotency(first.key, first.request_id).await.expect("freed");
        let second = claim(&acme, 1, 2, 2);
        assert_eq!(claimed(ledger, &second).await, Claimed::Mine);
        // What the first one still has to say is of no effect.
        ledger.store_outcome(first.key, first.request_id, &answer(b"late")).await.expect("of no effect");
        assert_eq!(claimed(ledger, &claim(&acme, 1, 2, 3)).await, Claimed::Running);
    }

    async fn one_of_many_claims_wins(database: &Database) {
        let acme = tenant(&database.ledger, "acme", "UTC").await;
        // Two gateways are two connections to one database.
        let other = Ledger::connect(database.url()).await.expect("opened");
        for name in 0..8 {
            let claims: Vec<_> = (0..8_u8)
                .map(|number| {
                    let ledger = if number % 2 == 0 { database.ledger.clone() } else { other.clone() };
                    let claim = claim(&acme, name, 1, i64::from(number));
                    tokio::spawn(async move { claimed(&ledger, &claim).await })
                })
                .collect();
            let mut won = 0;
            for claim in claims {
                let found = claim.await.expect("ended");
                won += u32::from(found == Claimed::Mine);
                assert!(matches!(found, Claimed::Mine | Claimed::Running), "{found:?}");
            }
            assert_eq!(won, 1, "key {name}");
        }
        other.close().await;
    }

    async fn a_request_runs_again_only_when_it_was_never_billed(database: &Database) {
        let ledger = &database.ledger;
        let acme = tenant(ledger, "acme", "UTC").await;
        // The reason of the record, and what a repeat finds while the first may run, and after that.
        let rows = [
            (None, Claimed::Running, Claimed::Unresolved),
            (Some(EndReason::Completed), Claimed::Running, Claimed::Mine),
            (Some(EndReason::ClientGone), Claimed::Running, Claimed::Mine),
            (Some(EndReason::Deadline), Claimed::Running, Claimed::Mine),
            (Some(EndReason::EngineError), Claimed::Running, Claimed::Mine),
            (Some(EndReason::Crashed), Claimed::Mine, Claimed::Running),
        ];
        for (name, (reason, early, late)) in (1..).zip(rows) {
            let first = claim(&acme, name, 1, 0);
            assert_eq!(claimed(ledger, &first).await, Claimed::Mine);
            if let Some(reason) = reason {
                ship(ledger, &acme, &first, reason).await;
            }
            assert_eq!(claimed(ledger, &claim(&acme, name, 2, 1)).await, Claimed::Conflict);
            assert_eq!(claimed(ledger, &claim(&acme, name, 1, 590)).await, early, "{reason:?}");
            let is_billable = matches!(
                reason,
                Some(EndReason::Completed | EndReason::ClientGone | EndReason::Deadline)
            );
            let late = if is_billable { ended(&first, Outcome::Lost) } else { late };
            assert_eq!(claimed(ledger, &claim(&acme, name, 1, 600)).await, late, "{reason:?}");
        }
    }

    async fn the_next_start_of_a_gateway_says_what_came_of_its_requests(database: &Database) {
        let ledger = &database.ledger;
        let acme = tenant(ledger, "acme", "UTC").await;
        let rows = [
            (None, Claimed::Mine),
            (Some(EndReason::Crashed), Claimed::Mine),
            (Some(EndReason::EngineError), Claimed::Mine),
            (Some(EndReason::Completed), Claimed::Conflict),
            (Some(EndReason::ClientGone), Claimed::Conflict),
            (Some(EndReason::Deadline), Claimed::Conflict),
        ];
        let (boot, journal) = (Uuid::from_u128(2), claim(&acme, 0, 0, 0).journal_id);
        let mut firsts = Vec::new();
        for (name, (reason, _)) in (1..).zip(&rows) {
            let first = claim(&acme, name, 1, 0);
            assert_eq!(claimed(ledger, &first).await, Claimed::Mine);
            if let Some(reason) = reason {
                ship(ledger, &acme, &first, *reason).await;
            }
            firsts.push(first);
        }
        // Of another gateway, and of this life of it: neither is touched.
        let foreign = Claim { journal_id: JournalId::generate(NOW), ..claim(&acme, 50, 1, 0) };
        let own = Claim { boot_id: boot, ..claim(&acme, 51, 1, 0) };
        for running in [&foreign, &own] {
            assert_eq!(claimed(ledger, running).await, Claimed::Mine);
        }
        for _ in 0..2 {
            ledger.resolve_idempotency(journal, boot).await.expect("resolved");
        }
        for (first, (reason, found)) in firsts.iter().zip(rows) {
            let repeat = Claim { request_id: RequestId::generate(later(5)), now: later(5), ..*first };
            let expected = if found == Claimed::Mine { found } else { ended(first, Outcome::Lost) };
            assert_eq!(claimed(ledger, &repeat).await, expected, "{reason:?}");
        }
        for name in [50, 51] {
            assert_eq!(claimed(ledger, &claim(&acme, name, 1, 1)).await, Claimed::Running);
        }
    }

    async fn expired_rows_go_in_bounded_batches(database: &Database) {
        let ledger = &database.ledger;
        let acme = tenant(ledger, "acme", "UTC").await;
        let rows = EXPIRED_ROWS_MAX + 20;
        for number in 0..rows {
            let mut old = claim(&acme, 0, 1, 0);
            old.key.name_hash[..4].copy_from_slice(&number.to_be_bytes());
            assert_eq!(claimed(ledger, &old).await, Claimed::Mine);
        }
        assert_eq!(claimed(ledger, &claim(&acme, 200, 1, 60)).await, Claimed::Mine);
        let removed = |second| async move {
            ledger.remove_expired_idempotency(later(second)).await.expect("removed")
        };
        assert_eq!(removed(24 * HOUR - 1).await, 0);
        assert_eq!(removed(24 * HOUR).await, u64::from(EXPIRED_ROWS_MAX));
        assert_eq!(removed(24 * HOUR).await, 20);
        assert_eq!(removed(24 * HOUR).await, 0);
        assert_eq!(database.number("SELECT COUNT(*) FROM idempotency").await, 1);
    }
}
