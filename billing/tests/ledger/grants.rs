//! Grants once for each idempotency key, and what is left of them after charges.
//! Never enforced here.
//! Run on both databases.

use billing::ledger::{
    BillingMode, GRANT_NANOS_MAX, Grant, Granted, Ledger, LedgerError, NewGrant, Tenant, TenantTerms,
};
use domain::{Currency, Fault, Money, Nanos, TenantId, UsageRecord};

use crate::records::{Chain, NOW, record, tenant};

fn dollars(text: &str) -> Money {
    Money::parse(text, Currency::USD).expect("an amount")
}

async fn add(
    ledger: &Ledger,
    tenant: &Tenant,
    amount: &str,
    key: &str,
) -> Result<(Grant, Granted), LedgerError> {
    let new = NewGrant::paid(dollars(amount), key, "");
    ledger.add_grant(tenant.id, &new, NOW).await
}

async fn left(ledger: &Ledger, tenant: &Tenant) -> String {
    ledger.balance(tenant.id).await.expect("a balance").left().to_string()
}

on_each_database! {
    async fn a_balance_is_all_grants_less_all_charges(database: &Database) {
        let ledger = &database.ledger;
        let acme = tenant(ledger, "acme", "UTC").await;
        let zeta = tenant(ledger, "zeta", "UTC").await;
        assert_eq!(left(ledger, &acme).await, "0.00");
        let revision = ledger.revision().await.expect("read");
        add(ledger, &acme, "25.00", "first").await.expect("granted");
        assert!(ledger.revision().await.expect("read") > revision, "servers must see it");
        add(ledger, &acme, "0.000000001", "dust").await.expect("granted");
        add(ledger, &acme, "-5", "correction").await.expect("granted");
        add(ledger, &zeta, "7", "first").await.expect("granted: keys are each tenant's own");
        let mut chain = Chain::new();
        let charged = |tenant: &Tenant, nanos| UsageRecord { charge: Nanos::new(nanos), ..record(tenant, 1, NOW) };
        let batch = chain.add_all([charged(&acme, 1_500_000_000), charged(&acme, 2), charged(&zeta, 8_000_000_000)]);
        ledger.ship(chain.journal_id, &batch).await.expect("shipped");
        let balance = ledger.balance(acme.id).await.expect("a balance");
        assert_eq!((balance.granted, balance.charged), (dollars("20.000000001"), dollars("1.500000002")));
        assert_eq!(left(ledger, &acme).await, "18.499999999");
        assert_eq!(left(ledger, &zeta).await, "-1.00");
        let grants = ledger.grants(acme.id).await.expect("read");
        assert_eq!(grants.iter().map(|grant| grant.amount.to_string()).collect::<Vec<_>>().len(), 3);
        let snapshot = ledger.access_snapshot().await.expect("a snapshot");
        assert!(snapshot.tenants.iter().all(|tenant| tenant.balance.is_empty()), "nobody pays in advance");
        assert!(ledger.balance(TenantId::generate(NOW)).await.is_err());
    }

    async fn a_grant_given_twice_is_one(database: &Database) {
        let ledger = &database.ledger;
        let acme = tenant(ledger, "acme", "UTC").await;
        let first = add(ledger, &acme, "25.00", "order 7").await.expect("granted");
        assert_eq!(first.1, Granted::New);
        assert_eq!(add(ledger, &acme, "25", "order 7").await.expect("again"), (first.0, Granted::Already));
        let error = add(ledger, &acme, "26", "order 7").await.expect_err("another amount");
        assert!(matches!(&error, LedgerError::GrantConflict { field: "amount", .. }), "{error}");
        assert_eq!(error.fault(), Fault::Conflict);
        let noted = NewGrant::paid(dollars("25"), "order 7", "gift");
        let error = ledger.add_grant(acme.id, &noted, NOW).await.expect_err("another note");
        assert!(matches!(&error, LedgerError::GrantConflict { field: "note", .. }), "{error}");
        // Many at once are one as well.
        let adds: Vec<_> = (0..8).map(|_| {
            let (ledger, acme) = (ledger.clone(), acme.clone());
            tokio::spawn(async move { add(&ledger, &acme, "1", "order 8").await.expect("granted").1 })
        }).collect();
        let mut new = 0;
        for add in adds {
            new += usize::from(add.await.expect("no panic") == Granted::New);
        }
        assert_eq!((new, left(ledger, &acme).await.as_str()), (1, "26.00"));
    }

    async fn impossible_grants_are_refused(database: &Database) {
        let ledger = &database.ledger;
        let acme = tenant(ledger, "acme", "UTC").await;
        let revision = ledger.revision().await.expect("read");
        let grant = NewGrant::paid;
        let (one, euro) = (dollars("1"), Money::parse("1", Currency::EUR).expect("an amount"));
        let most = i128::from(GRANT_NANOS_MAX);
        let (long_key, long_note) = ("k".repeat(256), "n".repeat(501));
        let rows = [
            (grant(dollars("0"), "k", ""), Fault::Invalid),
            (grant(Money::from_nanos(most + 1, Currency::USD), "k", ""), Fault::Invalid),
            (grant(Money::from_nanos(-most - 1, Currency::USD), "k", ""), Fault::Invalid),
            (grant(Money::from_nanos(i128::MAX, Currency::USD), "k", ""), Fault::Invalid),
            (grant(one, "", ""), Fault::Invalid),
            (grant(one, "a\nb", ""), Fault::Invalid),
            (grant(one, &long_key, ""), Fault::Invalid),
            (grant(one, "k", &long_note), Fault::Invalid),
            (grant(one, "k", "a\u{0}"), Fault::Invalid),
            (grant(euro, "k", ""), Fault::Conflict),
        ];
        for (new, fault) in rows {
            let error = ledger.add_grant(acme.id, &new, NOW).await.expect_err("refused");
            assert_eq!(error.fault(), fault, "{new:?}: {error}");
        }
        assert!(ledger.add_grant(TenantId::generate(NOW), &grant(one, "k", ""), NOW).await.is_err());
        assert_eq!(ledger.grants(acme.id).await.expect("read"), []);
        assert_eq!(ledger.revision().await.expect("read"), revision, "a refusal changes nothing");
        // Nine of the largest fit together; a tenth would not.
        for number in 0..9 {
            let key = number.to_string();
            let new = NewGrant::paid(Money::from_nanos(most, Currency::USD), &key, "");
            ledger.add_grant(acme.id, &new, NOW).await.expect("granted");
        }
        let tenth = grant(Money::from_nanos(most, Currency::USD), "tenth", "");
        assert!(matches!(ledger.add_grant(acme.id, &tenth, NOW).await, Err(LedgerError::Quantity(_))));
    }

    async fn terms_are_each_tenants_own(database: &Database) {
        let ledger = &database.ledger;
        let acme = tenant(ledger, "acme", "UTC").await;
        assert_eq!(acme.terms, TenantTerms::default());
        let terms = TenantTerms { billing: BillingMode::Prepaid, allow_slo_downgrade: true, allow_stricter_slo: true };
        ledger.set_tenant_terms(acme.id, terms).await.expect("set");
        assert_eq!(ledger.find_tenant("acme").await.expect("read").expect("there").terms, terms);
        let zeta = tenant(ledger, "zeta", "UTC").await;
        assert_eq!(ledger.find_tenant("zeta").await.expect("read").expect("there"), zeta);
    }
}
