//! Events and their deliveries: who hears of what, told once, one lease at a time.
//! Never a connection: how a try went is said by the test.
//! Run on both databases.

use std::collections::BTreeSet;

use billing::{
    invoice,
    ledger::{
        Attempt, AttemptOutcome, Budget, DueDelivery, Endpoint, EventKind, Ledger, LimitScope, Limits,
        NewEndpoint, NewSubscription, SubscriptionChange, Tenant, WebhookSecret,
    },
    plan::Plan,
    subscription::Cycle,
};
use domain::{BudgetPeriod, EndpointId, Nanos, Timestamp, UsageRecord};

use crate::records::{Chain, HOUR_US, NOW, at, november, record, tenant};

fn secret(byte: u8) -> WebhookSecret {
    WebhookSecret::new(vec![byte; 32]).expect("long enough")
}

async fn endpoint(ledger: &Ledger, tenant: Option<&Tenant>, kinds: &[EventKind]) -> Endpoint {
    let tenant_id = tenant.map(|tenant| tenant.id);
    let new = NewEndpoint { tenant_id, url: "https://example.com/hook", kinds, secret: &secret(1) };
    ledger.add_webhook(&new, NOW).await.expect("an endpoint")
}

fn later(micros: i64) -> Timestamp {
    Timestamp::from_unix_micros(NOW.unix_micros() + micros)
}

/// What waits for an endpoint, by kind, oldest first.
async fn waiting(ledger: &Ledger, endpoint: &Endpoint) -> Vec<String> {
    let found = ledger.deliveries_page(endpoint.id, None, 100).await.expect("deliveries");
    found.into_iter().rev().map(|delivery| delivery.kind).collect()
}

/// How many missed targets are told so many microseconds later, and the tenants that could not be looked at.
async fn told(ledger: &Ledger, micros: i64) -> (usize, Vec<String>) {
    let round = invoice::tell_missed_targets(ledger, later(micros)).await.expect("looked");
    (round.told, round.failed.into_iter().map(|(tenant, _)| tenant).collect())
}

fn tried(due: &DueDelivery, outcome: AttemptOutcome, next_at: Option<Timestamp>) -> Attempt {
    let status = (outcome == AttemptOutcome::Delivered).then_some(204);
    Attempt {
        at: due.at,
        duration_ms: 7,
        status,
        outcome,
        next_at,
        disable_since: Timestamp::from_unix_micros(0),
    }
}

on_each_database! {
    async fn endpoints_hear_of_what_they_asked_for_from_then_on(database: &Database) {
        let ledger = &database.ledger;
        let (acme, zeta) = (tenant(ledger, "acme", "UTC").await, tenant(ledger, "zeta", "UTC").await);
        let all = endpoint(ledger, None, &[]).await;
        let own = endpoint(ledger, Some(&acme), &[EventKind::InvoiceIssued, EventKind::CreditLow]).await;
        let other = endpoint(ledger, Some(&acme), &[EventKind::SloBelow]).await;
        let off = endpoint(ledger, None, &[]).await;
        ledger.disable_webhook(off.id, NOW).await.expect("disabled");
        for tenant in [&acme, &zeta] {
            invoice::issue(ledger, tenant, &november("UTC"), at("2026-12-01T00:00:00Z")).await.expect("issued");
        }
        let issued = ["invoice.issued", "invoice.issued"];
        assert_eq!(waiting(ledger, &all).await, issued);
        assert_eq!(waiting(ledger, &own).await, issued[..1]);
        assert_eq!((waiting(ledger, &other).await.len(), waiting(ledger, &off).await.len()), (0, 0));
        let again = invoice::issue(ledger, &acme, &november("UTC"), at("2026-12-01T00:00:00Z")).await.expect("the same");
        assert_eq!(waiting(ledger, &own).await.len(), 1, "issued once, told once");
        let event = ledger.events_page(acme.id, None, 9).await.expect("events").remove(0);
        assert_eq!((&event.body["number"], &event.body["amount_due"]), (&"TG-000001".into(), &again.total.as_str().into()));
        let found = ledger.webhooks_page(None, 9).await.expect("endpoints");
        let made = found.iter().find(|found| found.id == own.id).expect("it is listed");
        assert_eq!((found.len(), made.kinds.len(), made.tenant_id), (4, 2, Some(acme.id)));
        assert!(ledger.webhook(EndpointId::generate(NOW)).await.is_err());
        let audited = database.number("SELECT COUNT(*) FROM audit_log WHERE object_kind = 'webhook'").await;
        assert_eq!(audited, 5, "four made, one disabled");
        let leaked = database.number("SELECT COUNT(*) FROM audit_log WHERE after LIKE '%0101010101%' OR after LIKE '%AQEBAQ%'").await;
        assert_eq!(leaked, 0);
    }

    async fn a_delivery_is_leased_to_one_and_noted_by_who_has_the_lease(database: &Database) {
        let ledger = &database.ledger;
        let acme = tenant(ledger, "acme", "UTC").await;
        let hook = endpoint(ledger, Some(&acme), &[]).await;
        ledger.rotate_webhook(hook.id, &secret(2), (NOW, at("2027-01-01T00:00:00Z"))).await.expect("rotated");
        let issued_at = at("2026-12-01T00:00:00Z");
        invoice::issue(ledger, &acme, &november("UTC"), issued_at).await.expect("issued");
        let after = move |micros: i64| Timestamp::from_unix_micros(issued_at.unix_micros() + micros);
        let claims: Vec<_> = (0..8).map(|_| {
            let ledger = ledger.clone();
            tokio::spawn(async move { ledger.claim_deliveries((after(0), after(60)), 9).await.expect("claimed") })
        }).collect();
        let mut claimed = Vec::new();
        for claim in claims {
            claimed.extend(claim.await.expect("no panic"));
        }
        assert_eq!(claimed.len(), 1, "one of many");
        let first = claimed.remove(0);
        assert_eq!(first.secrets, [secret(2), secret(1)]);
        // Its lease ends, another takes it; what the first then says of a failure changes nothing.
        let second = ledger.claim_deliveries((after(60), after(120)), 9).await.expect("claimed").remove(0);
        ledger.note_attempt(&first, &tried(&first, AttemptOutcome::TimedOut, Some(after(0)))).await.expect("noted");
        assert_eq!(ledger.claim_deliveries((after(61), after(121)), 9).await.expect("claimed").len(), 0);
        ledger.note_attempt(&second, &tried(&second, AttemptOutcome::Delivered, None)).await.expect("noted");
        // Nor after it was delivered.
        ledger.note_attempt(&first, &tried(&first, AttemptOutcome::Refused, None)).await.expect("noted");
        let found = ledger.deliveries_page(hook.id, None, 9).await.expect("deliveries").remove(0);
        assert_eq!((found.state.as_str(), found.attempts, found.log.len()), ("delivered", 1, 3), "every try is logged");
        let statements = ["UPDATE webhook_attempts SET outcome = 'x'", "DELETE FROM webhook_attempts",
            "UPDATE webhook_endpoints SET url = 'https://elsewhere.example'", "UPDATE events SET kind = 'x'", "DELETE FROM events"];
        for statement in statements {
            assert!(database.raw(statement).await.is_err(), "{statement}");
        }
    }

    async fn a_budget_tells_its_thresholds_once_in_a_window(database: &Database) {
        let ledger = &database.ledger;
        let acme = tenant(ledger, "acme", "UTC").await;
        let budget = Budget { amount: Nanos::new(1_000), period: BudgetPeriod::Day };
        let limits = Limits { budget: Some(budget), ..Limits::default() };
        ledger.set_limits(acme.id, &LimitScope::Tenant, None, limits).await.expect("set");
        assert_eq!(ledger.tell_budgets(later(HOUR_US)).await.expect("nobody listens").told, 0);
        let hook = endpoint(ledger, None, &[EventKind::BudgetThreshold]).await;
        let mut chain = Chain::new();
        let spend = |nanos, started: i64| UsageRecord { charge: Nanos::new(nanos), started_at: later(started), ..record(&acme, 1, later(started + 1)) };
        let rows = [(499, 0, None), (1, 0, Some(50)), (300, 0, Some(80)), (50, 0, None), (250, 0, Some(100)), (900, 0, None),
            // Another day; both lower shares are passed at once and told as one.
            (850, 25 * HOUR_US, Some(80)), (400, 25 * HOUR_US, Some(100))];
        let mut expected = Vec::new();
        for ((nanos, started, percent), step) in rows.into_iter().zip(1..) {
            let batch = chain.add_all([spend(nanos, started)]);
            ledger.ship(chain.journal_id, &batch).await.expect("shipped");
            for _ in 0..2 {
                ledger.tell_budgets(later(started + HOUR_US + step * 1_000)).await.expect("looked");
            }
            expected.extend(percent);
            let events = ledger.events_page(acme.id, None, 99).await.expect("events");
            let told: Vec<_> = events.iter().filter_map(|event| event.body["percent"].as_i64()).collect();
            assert_eq!(told, expected, "{nanos}");
        }
        assert_eq!(waiting(ledger, &hook).await.len(), expected.len());
    }

    async fn a_missed_target_is_told_once_in_a_billing_period(database: &Database) {
        let ledger = &database.ledger;
        let source = include_str!("../../plans/demo.toml").replace("name = \"demo\"", "name = \"strict\"");
        let source = format!("{source}\n[[slo_credit.attainment]]\nbelow = \"99\"\npercent = \"10\"\n");
        let plan = Plan::from_text("strict.toml", &source).expect("a plan");
        ledger.publish_plan(&plan, at("2026-10-01T00:00:00Z")).await.expect("published");
        let acme = ledger.create_tenant(&crate::records::new_tenant("acme", "strict", "UTC"), NOW).await.expect("a tenant");
        endpoint(ledger, Some(&acme), &[]).await;
        // One with a period of its own, and one whose usage cannot be rated; both come before the last by their ids.
        let own = NewSubscription { cycle: Cycle::Anniversary, day: None, trial_days: None };
        let made = at("2026-10-17T09:00:00Z");
        let bert = ledger.create_tenant(&crate::records::new_tenant("bert", "strict", "Asia/Kolkata"), made).await.expect("a tenant");
        ledger.change_subscription(bert.id, &SubscriptionChange::Start(own), made).await.expect("started");
        let lost = ledger.create_tenant(&crate::records::new_tenant("lost", "strict", "UTC"), made).await.expect("a tenant");
        for tenant in [&bert, &lost] {
            endpoint(ledger, Some(tenant), &[]).await;
        }
        assert_eq!(told(ledger, 0).await, (0, vec![]));
        let version: domain::PlanVersionId = "strict@1".parse().expect("a version");
        let late = |tenant: &Tenant, finished| UsageRecord { slo_met: false, price_version: version.clone(), reason: domain::EndReason::Completed, ..record(tenant, 1, finished) };
        let unknown = UsageRecord { price_version: "gone@1".parse().expect("a version"), ..late(&lost, NOW) };
        let mut chain = Chain::new();
        // Of bert's two late requests the first is of the period before the running one.
        let batch = chain.add_all([late(&bert, at("2026-11-16T00:00:00Z")), late(&bert, at("2026-11-16T19:00:00Z")), unknown, late(&acme, NOW)]);
        ledger.ship(chain.journal_id, &batch).await.expect("shipped");
        let failed = vec!["lost".to_owned()];
        assert_eq!(told(ledger, 1).await, (2, failed.clone()));
        assert_eq!(told(ledger, 2).await, (0, failed.clone()));
        let kinds: BTreeSet<_> = ledger.events_page(acme.id, None, 9).await.expect("events").into_iter().map(|event| event.kind).collect();
        assert_eq!(kinds, BTreeSet::from(["slo.below".to_owned()]));
        // Another billing period is another thing to tell of.
        assert_eq!(told(ledger, 8 * 24 * HOUR_US).await, (1, failed));
        let starts: Vec<_> = ledger.events_page(bert.id, None, 9).await.expect("events").into_iter()
            .map(|event| event.body["period_start"].as_str().map(str::to_owned)).collect();
        let starts: Vec<_> = starts.into_iter().flatten().map(|start| start.chars().take(10).collect::<String>()).collect();
        assert_eq!(starts, ["2026-10-17", "2026-11-17"]);
    }
}
