//! Past usage under another plan: what can be compared, and what cannot.
//! Never an amount by itself: rating is tested beside its code.
//! Run on both databases.

use billing::{invoice, ledger::LedgerError, plan::Plan};
use domain::Fault;

use crate::records::{Chain, NOW, november, record, tenant};

on_each_database! {
    async fn a_plan_of_another_currency_is_refused_by_the_tenants_name(database: &Database) {
        let ledger = &database.ledger;
        let acme = tenant(ledger, "acme", "UTC").await;
        let mut chain = Chain::new();
        ledger.ship(chain.journal_id, &chain.add_all([record(&acme, 5, NOW)])).await.expect("shipped");
        let source = Plan::demo().expect("the demo plan").source().to_owned();
        let plan = |from: &str, to: &str| Plan::from_text("t", &source.replacen(from, to, 1)).expect("a plan");
        let dearer = plan("\"0.15\"", "\"15\"");
        let simulated = invoice::simulate(ledger, &acme, &november("UTC"), &dearer, NOW).await.expect("the same currency");
        assert_eq!(simulated.difference().expect("amounts").split_once('.').map(|(_, decimals)| decimals.len()), Some(2));
        let yen = plan("\"USD\"", "\"JPY\"");
        let error = invoice::simulate(ledger, &acme, &november("UTC"), &yen, NOW).await.expect_err("another currency");
        assert!(matches!(error, LedgerError::CurrencyChange { .. }), "{error}");
        assert_eq!((error.fault(), error.to_string()), (Fault::Conflict, "tenant \"acme\" is in USD, not JPY; a currency never changes".to_owned()));
    }
}
