//! What SQL itself refuses: changes of usage, plan versions, issued invoices, grants, places of projects, revoked keys,
//! the audit log and what came of requests, by anybody with a client.
//! Never through our own code: statements go over a plain connection.
//! Run on both databases.

use billing::{
    invoice,
    ledger::{Claim, IdempotencyKey, Ledger, NewGrant, NewKey, Outcome, SecretHash, StoredAnswer, Tenant},
};
use domain::{Currency, JournalId, KeyId, Money, RequestId, Timestamp};
use uuid::Uuid;

use crate::{
    projects::create,
    records::{Chain, HOUR_US, NOW, at, november, record, tenant},
};

/// Everything that never changes, as numbers.
const FINGERPRINT: [&str; 10] = [
    "SELECT CAST(COUNT(*) * 1000000 + SUM(output_tokens) + SUM(sequence) AS BIGINT) FROM usage_records",
    "SELECT CAST(COUNT(*) * 1000000 + SUM(length(body)) AS BIGINT) FROM plan_versions",
    "SELECT CAST(COUNT(*) * 1000000 + SUM(length(body)) + SUM(total_minor) AS BIGINT) FROM invoices",
    "SELECT CAST(COUNT(*) * 1000000 + SUM(quantity) + SUM(displayed_minor) AS BIGINT) FROM invoice_lines",
    "SELECT CAST(COUNT(*) * 1000000 + SUM(amount_nanos) AS BIGINT) FROM grants",
    "SELECT CAST(COUNT(*) * 1000000 + SUM(depth) AS BIGINT) FROM projects",
    "SELECT CAST(COUNT(*) * 1000000 + COUNT(revoked_unix_us) AS BIGINT) FROM api_keys",
    "SELECT CAST(COUNT(*) * 1000000 + SUM(sequence) AS BIGINT) FROM audit_log",
    "SELECT CAST(COUNT(*) * 1000000 + SUM(length(body)) + COUNT(status) AS BIGINT) FROM idempotency",
    "SELECT CAST(COUNT(*) * 1000000 + SUM(next_serial) * 1000 + SUM(next_credit_serial) AS BIGINT) FROM invoice_issuers",
];

/// Statements, and a part of the reason each is refused for.
const BOTH: &[(&str, &str)] = &[
    ("UPDATE usage_records SET output_tokens = output_tokens + 1", "usage records never change"),
    ("UPDATE usage_records SET tenant_id = tenant_id", "usage records never change"),
    ("DELETE FROM usage_records WHERE sequence = 1", "usage records"),
    ("UPDATE plan_versions SET body = 'x'", "a plan version never changes"),
    ("DELETE FROM plan_versions", "a plan version"),
    ("UPDATE plans SET currency = 'EUR'", "the currency of a plan never changes"),
    ("UPDATE tenants SET currency = 'EUR'", "the currency of a tenant never changes"),
    ("UPDATE invoices SET total_minor = 0", "an issued invoice never changes"),
    ("UPDATE invoices SET lines = lines + 1", "an issued invoice never changes"),
    ("UPDATE invoices SET body = '{}'", "an issued invoice never changes"),
    ("DELETE FROM invoices", "an issued invoice"),
    ("UPDATE invoice_lines SET displayed_minor = 0", "a line of an issued invoice never changes"),
    ("DELETE FROM invoice_lines WHERE position = 1", "a line of an issued invoice"),
    // A second invoice for a part of the period, and one that is issued before its period is over.
    (
        "INSERT INTO invoices SELECT 'TG-000009', issuer, 9, tenant_id, period_start_unix_us + 1,
                    period_end_unix_us, zone, currency, subtotal_exact, subtotal_minor, total_minor, records,
                    lines, issued_unix_us, body FROM invoices",
        "already has an issued invoice",
    ),
    (
        "INSERT INTO invoices SELECT 'TG-000009', issuer, 9, tenant_id, period_end_unix_us,
                    issued_unix_us + 1, zone, currency, subtotal_exact, subtotal_minor, total_minor, records,
                    lines, issued_unix_us, body FROM invoices",
        "check",
    ),
    // One more line at the end, lines for the whole invoice again, and a line of an invoice that is not there yet.
    (
        "INSERT INTO invoice_lines SELECT number, MAX(position) + 1, 'charge', 'output', 'demo', 'demo@1', 1, 'tokens',
                    '0.60', '9.99', 999 FROM invoice_lines GROUP BY number",
        "takes no more lines",
    ),
    (
        "INSERT INTO invoice_lines SELECT number, position + 1000, kind, item, model, price_version, quantity, unit,
                    unit_price, exact, displayed_minor FROM invoice_lines",
        "takes no more lines",
    ),
    (
        "INSERT INTO invoice_lines VALUES ('TG-000002', 1, 'charge', 'output', 'demo', 'demo@1', 1, 'tokens',
                    '0.60', '9.99', 999)",
        "takes no more lines",
    ),
    // Numbers that leave a gap, that come again, or that fit no document.
    ("UPDATE invoice_issuers SET next_serial = 50", "the next number follows the last one"),
    ("UPDATE invoice_issuers SET next_serial = next_serial + 1", "the next number follows the last one"),
    ("UPDATE invoice_issuers SET next_serial = next_serial - 1", "the next number follows the last one"),
    ("UPDATE invoice_issuers SET next_credit_serial = next_credit_serial + 1", "the next number follows the last one"),
    ("UPDATE invoice_issuers SET issuer = 'XX'", "the next number follows the last one"),
    ("INSERT INTO invoice_issuers (issuer, next_serial) VALUES ('XX', 7)", "begins at one"),
    ("DELETE FROM invoice_issuers", "a series of numbers is never deleted"),
    (
        "INSERT INTO invoices SELECT 'TG-000099', issuer, 99, tenant_id, period_end_unix_us,
                    period_end_unix_us + 1, zone, currency, subtotal_exact, subtotal_minor, total_minor, records,
                    lines, period_end_unix_us + 1, body FROM invoices",
        "invoices are numbered one after another",
    ),
    (
        "INSERT INTO invoices SELECT 'TG-000003', issuer, 2, tenant_id, period_end_unix_us,
                    period_end_unix_us + 1, zone, currency, subtotal_exact, subtotal_minor, total_minor, records,
                    lines, period_end_unix_us + 1, body FROM invoices",
        "invoices are numbered one after another",
    ),
    (
        "INSERT INTO credit_notes SELECT 'TG-CN-000002', issuer, 2, number, tenant_id, currency, 1, 1, 'x', 'z', 0, '{}'
         FROM invoices",
        "credit notes",
    ),
    ("DELETE FROM tenants", "a tenant is never deleted"),
    ("DELETE FROM plans", "a plan is never deleted"),
    ("DELETE FROM ledger_counters WHERE name = 'audit'", "a count is never forgotten"),
    ("DELETE FROM journal_cursors", "how far a journal was taken is never forgotten"),
    ("UPDATE tallies_hourly SET requests = -1", "check"),
    ("UPDATE tallies_hourly SET late_tokens = late_tokens + 1", "check"),
    ("UPDATE tenants SET concurrency = 0", "check"),
    ("UPDATE grants SET amount_nanos = amount_nanos + 1", "a grant never changes"),
    ("UPDATE grants SET note = 'x'", "a grant never changes"),
    ("DELETE FROM grants", "a grant"),
    ("UPDATE projects SET name = 'x' WHERE depth = 2", "the place of a project never changes"),
    ("UPDATE projects SET parent_id = NULL, depth = 1", "the place of a project never changes"),
    ("UPDATE projects SET tenant_id = tenant_id", "the place of a project never changes"),
    ("DELETE FROM projects WHERE depth = 2", "a project is never deleted"),
    ("UPDATE api_keys SET revoked_unix_us = NULL", "a revoked key stays revoked"),
    ("UPDATE api_keys SET revoked_unix_us = NULL, disabled_unix_us = NULL", "a revoked key stays revoked"),
    ("UPDATE api_keys SET disabled_unix_us = NULL", "a revoked key stays revoked"),
    ("DELETE FROM api_keys WHERE key_id = 'GONE'", "a key is never deleted"),
    ("DELETE FROM api_keys WHERE key_id = 'OPEN'", "a key is never deleted"),
    ("UPDATE api_keys SET key_id = 'X' WHERE key_id = 'GONE'", "the id and the secret of a key never change"),
    // A revoked key's secret under the name of one that opens.
    (
        "UPDATE api_keys SET secret_hash = (SELECT secret_hash FROM api_keys WHERE key_id = 'GONE')
         WHERE key_id = 'OPEN'",
        "the id and the secret of a key never change",
    ),
    ("UPDATE api_keys SET project_id = NULL WHERE key_id = 'OPEN'", "the project of a key never change"),
    ("UPDATE audit_log SET actor = 'nobody'", "the audit log never changes"),
    ("DELETE FROM audit_log WHERE sequence = 1", "the audit log"),
    ("UPDATE ledger_counters SET value = value - 1 WHERE name = 'audit'", "goes up by one"),
    ("UPDATE idempotency SET status = 500 WHERE state = 'stored'", "the outcome of a request never changes"),
    ("UPDATE idempotency SET asked_hash = name_hash", "the outcome of a request never changes"),
    (
        "UPDATE idempotency SET state = 'lost', status = NULL, headers = NULL, body = NULL",
        "the outcome of a request never changes",
    ),
    // It would run and be billed again, before its time is over or for longer than it was.
    (
        "UPDATE idempotency SET state = 'running', status = NULL, headers = NULL, body = NULL",
        "the outcome of a request never changes",
    ),
    ("UPDATE idempotency SET expires_unix_us = expires_unix_us + 1", "the outcome of a request never changes"),
    (
        "UPDATE idempotency SET name_hash = asked_hash WHERE state = 'running'",
        "the key of an outcome never changes",
    ),
];
const ONLY_SQLITE: &[(&str, &str)] = &[
            (
                "INSERT OR REPLACE INTO plan_versions SELECT plan_version, plan_name, version, 'x', 0
                    FROM plan_versions",
                "a plan version never changes",
            ),
            (
                "INSERT OR REPLACE INTO invoice_lines SELECT number, position, kind, item, model, price_version,
                    0, unit, unit_price, '0', 0 FROM invoice_lines",
                "a line of an issued invoice never changes",
            ),
            (
                "INSERT OR REPLACE INTO invoices SELECT number, issuer, serial, tenant_id, period_start_unix_us,
                    period_end_unix_us, zone, currency, '0', 0, 0, records, lines, issued_unix_us, '{}' FROM invoices",
                "already has an issued invoice",
            ),
            (
                "INSERT OR REPLACE INTO usage_records SELECT randomblob(16), journal_id, sequence, previous_hash,
                    record_hash, tenant_id, key_id, model, backend, slo_class, ttft_target_us,
                    ttft_target_us_per_1k_prompt, tpot_target_us, reason, prompt_tokens, 0, 0, 0, ttft_us, tpot_us,
                    slo_met, 0, energy_mj, energy_source, client_stall_us, queue_us, started_unix_us,
                    finished_unix_us, price_version, project_id, usage_source, 0, 0 FROM usage_records WHERE sequence = 2",
                "this place in the journal holds another usage record",
            ),
            ("UPDATE OR REPLACE usage_records SET sequence = 1 WHERE sequence = 2", "usage records never change"),
            (
                "INSERT OR REPLACE INTO grants (grant_id, tenant_id, amount_nanos, idempotency_key, note, created_unix_us, posting)
                    SELECT randomblob(16), tenant_id, 9, idempotency_key, '', 0, 1 FROM grants",
                "this grant is there already",
            ),
            (
                "INSERT OR REPLACE INTO projects SELECT project_id, tenant_id, parent_id, 'x', depth, 0, NULL
                    FROM projects",
                "the place of a project never changes",
            ),
            // Another project in the place of one that is there.
            (
                "INSERT OR REPLACE INTO projects SELECT randomblob(16), tenant_id, parent_id, name, depth, 0, NULL
                    FROM projects WHERE depth = 2",
                "the place of a project never changes",
            ),
            (
                "INSERT OR REPLACE INTO projects SELECT randomblob(16), tenant_id, parent_id, name, depth, 0, NULL
                    FROM projects WHERE depth = 1",
                "the place of a project never changes",
            ),
            (
                "INSERT OR REPLACE INTO api_keys (key_id, tenant_id, name, secret_hash, created_unix_us)
                    SELECT key_id, tenant_id, name, secret_hash, 0 FROM api_keys WHERE key_id = 'GONE'",
                "a revoked key stays revoked",
            ),
            (
                "INSERT OR REPLACE INTO api_keys (key_id, tenant_id, name, secret_hash, created_unix_us)
                    SELECT 'NEW', tenant_id, name, secret_hash, 0 FROM api_keys WHERE key_id = 'GONE'",
                "a revoked key stays revoked",
            ),
            ("INSERT OR REPLACE INTO audit_log SELECT * FROM audit_log", "the audit log is only added to"),
            ("INSERT OR REPLACE INTO plans VALUES ('demo', 'EUR')", "the currency of a plan never changes"),
            (
                "INSERT OR REPLACE INTO tenants (tenant_id, name, plan_name, currency, zone, created_unix_us)
                    SELECT tenant_id, name, plan_name, 'EUR', zone, 0 FROM tenants",
                "this id or name is taken",
            ),
            (
                "INSERT OR REPLACE INTO api_keys (key_id, tenant_id, name, secret_hash, created_unix_us)
                    SELECT key_id, tenant_id, name, zeroblob(32), 0 FROM api_keys WHERE key_id = 'OPEN'",
                "this id or name is taken",
            ),
            ("INSERT OR REPLACE INTO ledger_counters VALUES ('audit', 0)", "a count only goes up"),
            ("INSERT OR REPLACE INTO invoice_issuers (issuer, next_serial) VALUES ('TG', 1)", "begins at one, once"),
        ];
const ONLY_POSTGRES: &[(&str, &str)] = &[
    ("TRUNCATE usage_records", "usage records are never deleted"),
    ("TRUNCATE plan_versions CASCADE", "a plan version is never deleted"),
    ("TRUNCATE invoices CASCADE", "an issued invoice is never deleted"),
    ("TRUNCATE invoice_lines", "a line of an issued invoice is never deleted"),
    ("TRUNCATE grants CASCADE", "a grant is never deleted"),
    ("TRUNCATE projects CASCADE", "is never deleted"),
    ("TRUNCATE api_keys", "a key is never deleted"),
    ("TRUNCATE audit_log", "the audit log is never shortened"),
    ("TRUNCATE invoice_issuers CASCADE", "is never deleted"),
    ("TRUNCATE tenants CASCADE", "is never deleted"),
    ("TRUNCATE plans CASCADE", "is never deleted"),
    ("TRUNCATE ledger_counters", "a count is never forgotten"),
];

/// One of everything beside usage and invoices.
async fn fill(ledger: &Ledger, acme: &Tenant) {
    let top = create(ledger, acme, None, "top").await.expect("created");
    let team = create(ledger, acme, Some(&top), "team").await.expect("created");
    let grant = NewGrant::paid(Money::parse("5", Currency::USD).expect("an amount"), "order 7", "");
    ledger.add_grant(acme.id, &grant, NOW).await.expect("granted");
    for (text, byte) in [("OPEN", 1), ("GONE", 2)] {
        let id = KeyId::new(text).expect("a key id");
        let new = NewKey {
            project_id: Some(team.id),
            ..NewKey::unlimited(id, "laptop", SecretHash::from_bytes([byte; 32]))
        };
        ledger.create_key(acme.id, &new, NOW).await.expect("a key");
    }
    ledger.revoke_key(&KeyId::new("GONE").expect("a key id"), NOW).await.expect("revoked");
    let later = |hours| Timestamp::from_unix_micros(NOW.unix_micros() + hours * HOUR_US);
    for name in [1, 2] {
        let claim = Claim {
            key: IdempotencyKey { tenant_id: acme.id, name_hash: [name; 32] },
            asked_hash: [9; 32],
            request_id: RequestId::generate(NOW),
            journal_id: JournalId::from_uuid(Uuid::from_u128(1)),
            boot_id: Uuid::from_u128(1),
            now: NOW,
            running_until: later(1),
            expires_at: later(24),
        };
        ledger.claim_idempotency(&claim).await.expect("claimed");
        if name == 1 {
            let answer = StoredAnswer { status: 200, headers: "[]".to_owned(), body: b"{}".to_vec() };
            ledger
                .store_outcome(claim.key, claim.request_id, &Outcome::Answer(answer))
                .await
                .expect("stored");
        }
    }
}

on_each_database! {
    async fn stored_truth_cannot_be_changed(database: &Database) {
        let ledger = &database.ledger;
        let acme = tenant(ledger, "acme", "UTC").await;
        let mut chain = Chain::new();
        let batch = chain.add_all((0..20).map(|number| record(&acme, number, NOW)));
        ledger.ship(chain.journal_id, &batch).await.expect("shipped");
        fill(ledger, &acme).await;
        invoice::issue(ledger, &acme, &november("UTC"), at("2026-12-01T00:00:00Z")).await.expect("issued");
        let mut before = Vec::new();
        for query in FINGERPRINT {
            before.push(database.number(query).await);
        }
        let own: &[(&str, &str)] = if database.is_sqlite() { ONLY_SQLITE } else { ONLY_POSTGRES };
        for (statement, reason) in BOTH.iter().chain(own) {
            let error = database.raw(statement).await.expect_err(statement).to_string();
            assert!(error.to_lowercase().contains(reason), "{statement}: {error}");
        }
        if database.is_sqlite() {
            // Replacing a record under its own id is not an error there, but does nothing.
            let replace = "INSERT OR REPLACE INTO usage_records SELECT request_id, journal_id, sequence,
                previous_hash, record_hash, tenant_id, key_id, model, backend, slo_class, ttft_target_us,
                ttft_target_us_per_1k_prompt, tpot_target_us, reason, prompt_tokens, 0, 0, 0, ttft_us, tpot_us,
                slo_met, 0, energy_mj, energy_source, client_stall_us, queue_us, started_unix_us,
                finished_unix_us, price_version, project_id, usage_source, 0, 0 FROM usage_records";
            database.raw(replace).await.expect("ignored");
        }
        for (query, before) in FINGERPRINT.iter().zip(before) {
            assert_eq!(database.number(query).await, before, "{query}");
        }
    }
}
