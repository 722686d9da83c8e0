//! Issuers, billing details and taxes on invoices: kept with their history, snapshotted into what is issued.
//! Never the arithmetic of a tax; that is tested beside the code.
//! Run on both databases.

use billing::{
    invoice::{self, Invoice},
    ledger::{AuditQuestion, IssuerDetails, Ledger, LedgerError, Party, Tenant, TenantBilling},
    plan::Plan,
    rate::MinorUnits,
    tax::{TaxRate, TaxStatus},
    verify,
};
use domain::{EndReason, Tokens, UsageRecord};
use serde_json::json;

use crate::records::{Chain, Entry, NOW, november, record, tenant};

pub(crate) fn party(name: &str) -> Party {
    Party {
        legal_name: name.to_owned(),
        address: vec!["Marktplatz 1".to_owned(), "10115 Berlin".to_owned()],
        country: Some("DE".to_owned()),
        tax_id: Some("DE123456789".to_owned()),
        email: Some("billing@example.com".to_owned()),
    }
}

pub(crate) fn rates(texts: &[&str]) -> Vec<TaxRate> {
    texts.iter().map(|text| text.parse().expect("a rate")).collect()
}

pub(crate) fn issuer(taxes: &[&str]) -> IssuerDetails {
    IssuerDetails {
        party: party("Gateway GmbH"),
        taxes: rates(taxes),
        reverse_charge_note: Some("Steuerschuldnerschaft des Leistungsempfängers".to_owned()),
        payment_note: Some("IBAN DE02 1203 0000 0000 2020 51".to_owned()),
        payment_days: Some(14),
    }
}

pub(crate) fn customer() -> TenantBilling {
    TenantBilling { party: party("Acme AG"), ..TenantBilling::default() }
}

/// Usage of exactly 10.00 USD.
pub(crate) fn ten_dollars(tenant: &Tenant) -> UsageRecord {
    UsageRecord {
        reason: EndReason::Completed,
        prompt_tokens: Tokens::ZERO,
        cached_prompt_tokens: Tokens::ZERO,
        output_tokens: Tokens::new(16_666_667),
        reasoning_tokens: Tokens::ZERO,
        tokens_in_slo: Tokens::new(16_666_667),
        project_id: None,
        ..record(tenant, 1, NOW)
    }
}

async fn ship(ledger: &Ledger, record: UsageRecord) -> Entry {
    let mut chain = Chain::new();
    let batch = chain.add_all([record]);
    ledger.ship(chain.journal_id, &batch).await.expect("shipped");
    batch.into_iter().next().expect("one")
}

/// One line of the tenant's own export.
pub(crate) fn exported((journaled, hash): &Entry) -> String {
    let mut line = json!(journaled);
    line["hash"] = json!(hash);
    line["project_path"] = json!(null);
    line.to_string() + "\n"
}

pub(crate) fn verified(invoice: &Invoice, usage: &str) -> Result<String, String> {
    let plan = Plan::demo().expect("the demo plan");
    let json = invoice.to_json().expect("json");
    let verified = verify::verify(&json, usage.as_bytes(), vec![plan], None);
    verified.map(|verified| verified.total).map_err(|error| error.to_string())
}

on_each_database! {
    async fn taxes_are_snapshotted_and_verified(database: &Database) {
        let ledger = &database.ledger;
        let acme = tenant(ledger, "acme", "UTC").await;
        let usage = exported(&ship(ledger, ten_dollars(&acme)).await);
        let period = november("UTC");
        let bare = invoice::preview(ledger, &acme, &period, NOW).await.expect("a preview");
        ledger.set_issuer_details(&issuer(&["VAT=19", "City tax=0.5"])).await.expect("set");
        let only_issuer = invoice::preview(ledger, &acme, &period, NOW).await.expect("a preview");
        // Nobody said how the tenant is taxed: no tax, and all else as before.
        assert_eq!((only_issuer.total.as_str(), only_issuer.taxes.is_none()), ("10.00", true));
        assert_eq!((only_issuer.lines, &only_issuer.subtotal), (bare.lines, &bare.subtotal));
        ledger.set_tenant_billing(acme.id, &customer()).await.expect("set");
        let issued = invoice::issue(ledger, &acme, &period, period.end()).await.expect("issued");
        let taxes = issued.taxes.clone().expect("taxes");
        let amounts: Vec<_> = taxes.lines.iter().map(|line| line.amount.as_str()).collect();
        assert_eq!((amounts, taxes.tax.as_str()), (vec!["1.90", "0.05"], "1.95"));
        assert_eq!((issued.subtotal.as_str(), issued.total.as_str()), ("10.00", "11.95"));
        assert_eq!(issued.due_at.as_deref(), Some("2026-12-15T00:00:00Z"));
        assert_eq!(ledger.invoices_page(acme.id, None, 9).await.expect("read")[0].total, MinorUnits::new(1_195));
        for form in [issued.to_text(), issued.to_html().expect("html")] {
            for text in ["Gateway GmbH", "Acme AG", "10115 Berlin", "VAT 19 %", "1.90", "11.95", "IBAN"] {
                assert!(form.contains(text), "{text} in {form}");
            }
        }
        assert_eq!(verified(&issued, &usage).as_deref(), Ok("11.95 USD"));
        // What was issued stays, whatever is said later.
        ledger.set_issuer_details(&IssuerDetails { party: party("Other AG"), ..issuer(&[]) }).await.expect("set");
        let again = invoice::issue(ledger, &acme, &period, period.end()).await.expect("the same");
        assert_eq!(again.to_json().expect("json"), issued.to_json().expect("json"));
        // Any word of it that is changed is noticed.
        let json = issued.to_json().expect("json");
        let changed = [("\"1.90\"", "\"1.80\""), ("\"11.95\"", "\"11.85\""), ("\"19\"", "\"18\"")];
        for (from, to) in changed {
            let forged = Invoice::from_issued(&json.replacen(from, to, 1)).expect("reads");
            assert!(verified(&forged, &usage).is_err(), "{from}");
        }
    }

    async fn each_tenant_is_taxed_in_its_own_way(database: &Database) {
        let ledger = &database.ledger;
        ledger.set_issuer_details(&issuer(&["VAT=19"])).await.expect("set");
        let exempt = TenantBilling { tax_status: TaxStatus::Exempt, tax_note: Some("Embassy".to_owned()), ..customer() };
        let reverse = TenantBilling { tax_status: TaxStatus::ReverseCharge, ..customer() };
        let own = TenantBilling { taxes: Some(rates(&["GST=10:inclusive"])), payment_days: Some(0), ..customer() };
        let untaxed = TenantBilling { taxes: Some(Vec::new()), ..customer() };
        let rows = [
            ("standard", customer(), "11.90", None, "1.90"),
            ("exempt", exempt, "10.00", Some("Embassy"), "0.00"),
            ("reverse", reverse, "10.00", Some("Steuerschuldnerschaft des Leistungsempfängers"), "0.00"),
            ("own", own, "10.00", None, "0.91"),
            ("untaxed", untaxed, "10.00", None, ""),
        ];
        for (name, billing, total, note, tax) in rows {
            let acme = tenant(ledger, name, "UTC").await;
            let usage = exported(&ship(ledger, ten_dollars(&acme)).await);
            ledger.set_tenant_billing(acme.id, &billing).await.expect("set");
            assert_eq!(ledger.tenant_billing(acme.id).await.expect("read"), Some(billing), "{name}");
            let period = november("UTC");
            let issued = invoice::issue(ledger, &acme, &period, period.end()).await.expect("issued");
            let found = issued.taxes.as_ref();
            assert_eq!(issued.total, total, "{name}");
            assert_eq!(found.and_then(|taxes| taxes.note.as_deref()), note, "{name}");
            assert_eq!(found.map_or("", |taxes| taxes.tax.as_str()), tax, "{name}");
            assert_eq!(verified(&issued, &usage), Ok(format!("{total} USD")), "{name}");
            assert!(note.is_none_or(|note| issued.to_text().contains(note)), "{name}");
        }
    }

    async fn details_are_checked_and_noted(database: &Database) {
        let ledger = &database.ledger;
        let acme = tenant(ledger, "acme", "UTC").await;
        let change = |change: fn(&mut TenantBilling)| {
            let mut billing = customer();
            change(&mut billing);
            billing
        };
        let bad = [
            change(|billing| billing.party.legal_name.clear()),
            change(|billing| billing.party.legal_name = "a\nb".to_owned()),
            change(|billing| billing.party.address = vec!["x".to_owned(); 9]),
            change(|billing| billing.party.country = Some("Germany".to_owned())),
            change(|billing| billing.party.email = Some("nobody".to_owned())),
            change(|billing| billing.tax_status = TaxStatus::Exempt),
            change(|billing| billing.payment_days = Some(366)),
            change(|billing| billing.threshold = Some(MinorUnits::ZERO)),
        ];
        for billing in bad {
            let error = ledger.set_tenant_billing(acme.id, &billing).await.expect_err("refused");
            assert!(matches!(error, LedgerError::BadText { .. }), "{error}");
        }
        let no_share = TenantBilling {
            taxes: Some(vec![TaxRate { percent: "101".to_owned(), ..rates(&["VAT=1"]).remove(0) }]),
            ..customer()
        };
        assert!(matches!(ledger.set_tenant_billing(acme.id, &no_share).await, Err(LedgerError::Tax(_))));
        assert_eq!(ledger.tenant_billing(acme.id).await.expect("read"), None);
        ledger.set_tenant_billing(acme.id, &customer()).await.expect("set");
        // Saying the same again changes nothing.
        ledger.set_tenant_billing(acme.id, &customer()).await.expect("set");
        let moved = change(|billing| billing.party.address = vec!["New place".to_owned()]);
        ledger.set_tenant_billing(acme.id, &moved).await.expect("set");
        ledger.set_issuer_details(&issuer(&[])).await.expect("set");
        let found = ledger.audit_page(&AuditQuestion::default(), 3).await.expect("entries");
        let actions: Vec<_> = found.iter().map(|entry| entry.action.as_str()).collect();
        assert_eq!(actions, ["issuer.created", "tenant_billing.changed", "tenant_billing.created"]);
        assert_eq!(found[1].tenant_id, Some(acme.id));
        let after = found[1].after.as_ref().expect("a row");
        assert_eq!(after["address"], json!("[\"New place\"]"));
    }
}
