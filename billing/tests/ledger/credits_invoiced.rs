//! Credit and invoices: overdrafts that an invoice takes over, what grants paid, what is given back.
//! Never an amount that is not proved again from the raw records.
//! Run on both databases.

use billing::{
    invoice,
    ledger::{BillingMode, CreditTerms, GrantKind, NewGrant, Overage, Tenant, TenantTerms},
};
use domain::{EndReason, Nanos, Tokens, UsageRecord};

use crate::{
    credits::{DOLLAR, charged, dollars, later, names, ship, standing},
    records::{Chain, NOW, at, november, tenant},
};

on_each_database! {
    async fn credit_may_be_overdrawn_as_agreed_until_an_invoice_has_it(database: &Database) {
        let ledger = &database.ledger;
        let acme = tenant(ledger, "acme", "UTC").await;
        ledger.set_tenant_terms(acme.id, TenantTerms { billing: BillingMode::Prepaid, ..TenantTerms::default() }).await.expect("set");
        let limits = || async {
            let snapshot = ledger.access_snapshot().await.expect("a snapshot");
            let rules = snapshot.tenants[0].balance.clone();
            rules.iter().map(|rule| (rule.except.len(), rule.limit_nanos)).collect::<Vec<_>>()
        };
        assert_eq!(limits().await, [(0, 0)], "nothing granted, nothing served");
        let terms = |overage| CreditTerms { overage, recharge_below: None };
        ledger.set_credit_terms(acme.id, terms(Overage::Allow(Some(Nanos::new(5)))), NOW).await.expect("set");
        assert_eq!(limits().await, [(0, 5)]);
        let demo = names(&["demo"]);
        ledger.add_grant(acme.id, &NewGrant { models: Some(&demo), ..NewGrant::paid(dollars("0.00000001"), "k", "") }, NOW).await.expect("granted");
        assert_eq!(limits().await, [(0, 15), (1, 5)]);
        let mut chain = Chain::new();
        let spent = UsageRecord { reason: EndReason::Completed, ..charged(&acme, "demo", NOW, 13) };
        ship(ledger, &mut chain, [spent]).await;
        // What is left moves with what was spent: gateways need not look again.
        assert_eq!(limits().await, [(0, 15)]);
        assert_eq!(standing(ledger, &acme).await, ["-0.000000003", "0.00", "0.000000003"]);
        invoice::issue(ledger, &acme, &november("UTC"), at("2026-12-01T00:00:00Z")).await.expect("issued");
        assert_eq!(standing(ledger, &acme).await[2], "0.00", "it is owed by invoice now");
        // What grants paid for an invoice of 0.00 is theirs again.
        assert_eq!(limits().await, [(0, 28)]);
        ledger.set_credit_terms(acme.id, terms(Overage::Allow(None)), NOW).await.expect("set");
        assert_eq!(limits().await, [(0, i64::MAX)]);
        ledger.set_credit_terms(acme.id, terms(Overage::Refuse), NOW).await.expect("set");
        assert_eq!(limits().await, [(0, 23)]);
        ledger.prove_credits(acme.id).await.expect("proved");
    }

    async fn an_invoice_says_what_grants_paid_and_gives_back_what_was_too_much(database: &Database) {
        let ledger = &database.ledger;
        let acme = tenant(ledger, "acme", "UTC").await;
        let zeta = tenant(ledger, "zeta", "UTC").await;
        ledger.add_grant(acme.id, &NewGrant::paid(dollars("1"), "order 7", "order 7"), NOW).await.expect("granted");
        let gift = NewGrant { kind: GrantKind::Promotional, ..NewGrant::paid(dollars("100"), "gift", "") };
        ledger.add_grant(acme.id, &gift, later(1)).await.expect("granted");
        ledger.add_grant(zeta.id, &NewGrant::paid(dollars("0.25"), "one", ""), NOW).await.expect("granted");
        // 10,000,000 output tokens at 0.60 a million are 6.00; half of what came late is given back.
        let long = |tenant: &Tenant, late: u64| UsageRecord {
            reason: EndReason::Completed,
            prompt_tokens: Tokens::ZERO,
            cached_prompt_tokens: Tokens::ZERO,
            output_tokens: Tokens::new(10_000_000),
            reasoning_tokens: Tokens::ZERO,
            tokens_in_slo: Tokens::new(10_000_000 - late),
            ..charged(tenant, "demo", NOW, 6 * DOLLAR)
        };
        let mut chain = Chain::new();
        ship(ledger, &mut chain, [long(&acme, 1_000_000), long(&zeta, 0)]).await;
        let end = at("2026-12-01T00:00:00Z");
        let draft = invoice::preview(ledger, &acme, &november("UTC"), NOW).await.expect("a draft");
        let issued = invoice::issue(ledger, &acme, &november("UTC"), end).await.expect("issued");
        assert_eq!((draft.amount_due.as_deref(), issued.total.as_str(), issued.amount_due.as_deref()), (Some("0.00"), "5.70", Some("0.00")));
        let paid: Vec<_> = issued.payments.iter().map(|payment| (payment.kind.as_str(), payment.displayed.as_str(), payment.description.as_str())).collect();
        assert_eq!(paid, [("paid", "1.00", "Paid from prepaid credit: order 7"), ("promotional", "4.70", "Paid from promotional credit")]);
        let grants = ledger.grants(acme.id).await.expect("grants");
        let refund = grants.last().expect("a refund");
        assert_eq!((refund.kind, refund.amount, refund.idempotency_key.as_str()), (GrantKind::Refund, dollars("0.30"), "invoice TG-000001"));
        assert_eq!(standing(ledger, &acme).await[0], "95.30");
        // Again, nothing is given again.
        assert_eq!(invoice::issue(ledger, &acme, &november("UTC"), end).await.expect("the same"), issued);
        assert_eq!(ledger.grants(acme.id).await.expect("grants").len(), 3);
        let owed = invoice::issue(ledger, &zeta, &november("UTC"), end).await.expect("issued");
        assert_eq!((owed.total.as_str(), owed.amount_due.as_deref()), ("6.00", Some("5.75")));
        assert!(owed.to_text().contains("AMOUNT DUE USD"), "{}", owed.to_text());
        assert!(owed.to_html().expect("a page").contains("Amount due USD"));
        // What came late is on the next invoice, and so is who paid for it: once.
        ship(ledger, &mut chain, [long(&acme, 0)]).await;
        let months = [("2026-12", "2027-01-01T00:00:00Z", "6.00", 1), ("2027-01", "2027-02-01T00:00:00Z", "0.00", 0)];
        for (month, end, total, payments) in months {
            let period = domain::Period::month(month, "UTC").expect("a month");
            let next = invoice::issue(ledger, &acme, &period, at(end)).await.expect("issued");
            let due = next.amount_due.as_deref().unwrap_or("0.00");
            assert_eq!((next.total.as_str(), due, next.payments.len()), (total, "0.00", payments), "{month}");
        }
        for tenant in [&acme, &zeta] {
            ledger.prove_credits(tenant.id).await.expect("proved");
        }
    }
}
