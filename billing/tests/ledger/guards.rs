//! What SQL itself refuses: changes of usage, plan versions and issued invoices by anybody with a client.
//! Never through our own code: statements go over a plain connection.
//! Run on both databases.

use billing::invoice;

use crate::records::{Chain, NOW, at, november, record, tenant};

/// Everything that never changes, as one number.
const FINGERPRINT: [&str; 4] = [
    "SELECT CAST(COUNT(*) * 1000000 + SUM(output_tokens) + SUM(sequence) AS BIGINT) FROM usage_records",
    "SELECT CAST(COUNT(*) * 1000000 + SUM(length(body)) AS BIGINT) FROM plan_versions",
    "SELECT CAST(COUNT(*) * 1000000 + SUM(length(body)) + SUM(total_minor) AS BIGINT) FROM invoices",
    "SELECT CAST(COUNT(*) * 1000000 + SUM(quantity) + SUM(displayed_minor) AS BIGINT) FROM invoice_lines",
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
    ("UPDATE tallies_hourly SET requests = -1", "check"),
    ("UPDATE tallies_hourly SET late_tokens = late_tokens + 1", "check"),
    ("UPDATE tenants SET concurrency = 0", "check"),
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
                    finished_unix_us, price_version, project_id, usage_source, 0 FROM usage_records WHERE sequence = 2",
                "this place in the journal holds another usage record",
            ),
            ("UPDATE OR REPLACE usage_records SET sequence = 1 WHERE sequence = 2", "usage records never change"),
        ];
const ONLY_POSTGRES: &[(&str, &str)] = &[
    ("TRUNCATE usage_records", "usage records are never deleted"),
    ("TRUNCATE plan_versions CASCADE", "a plan version is never deleted"),
    ("TRUNCATE invoices CASCADE", "an issued invoice is never deleted"),
    ("TRUNCATE invoice_lines", "a line of an issued invoice is never deleted"),
];

on_each_database! {
    async fn stored_truth_cannot_be_changed(database: &Database) {
        let ledger = &database.ledger;
        let acme = tenant(ledger, "acme", "UTC").await;
        let mut chain = Chain::new();
        let batch = chain.add_all((0..20).map(|number| record(&acme, number, NOW)));
        ledger.ship(chain.journal_id, &batch).await.expect("shipped");
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
                finished_unix_us, price_version, project_id, usage_source, 0 FROM usage_records";
            database.raw(replace).await.expect("ignored");
        }
        for (query, before) in FINGERPRINT.iter().zip(before) {
            assert_eq!(database.number(query).await, before, "{query}");
        }
    }
}
