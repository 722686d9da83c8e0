//! Subscriptions in the ledger: begun, on trial, changed, paused, cancelled, billed period by period, and guarded.
//! Never a share of an amount on its own: those are tested beside the code.
//! Run on both databases.
//!
//! Long because each story runs from a first day to its invoices, and its amounts are read in order.

use billing::{
    invoice::{self, Invoice},
    ledger::{
        AuditQuestion, Ledger, LedgerError, NewSubscription, PeriodChoice, SubscriptionChange, Tenant,
        TenantBilling,
    },
    plan::Plan,
    rate::MinorUnits,
    subscription::{Cycle, PeriodKind, State},
    verify::verify,
};
use domain::{Fault, Period, SloClass, Timestamp, UsageRecord};
use serde_json::json;

use crate::{
    records::{Chain, at, new_tenant, record},
    taxes::{customer, ten_dollars},
};

pub(crate) fn plan(name: &str, version: u32, terms: &str) -> Plan {
    let source = Plan::demo().expect("the demo plan").source().to_owned();
    let source = source.replacen("name = \"demo\"", &format!("name = \"{name}\""), 1).replacen(
        "version = 1",
        &format!("version = {version}"),
        1,
    );
    Plan::from_text("t", &format!("{source}\n{terms}")).expect("a plan")
}

pub(crate) fn fee(amount: &str, timing: &str) -> String {
    format!("[base_fee]\namount = \"{amount}\"\ntiming = \"{timing}\"\n")
}

/// When everything begins.
const MADE: &str = "2026-01-31T09:00:00Z";

/// A tenant under a plan, made on the last day of January.
pub(crate) async fn tenant_of(ledger: &Ledger, plans: &[Plan], zone: &str) -> Tenant {
    for plan in plans {
        ledger.publish_plan(plan, at("2026-01-01T00:00:00Z")).await.expect("published");
    }
    let new = new_tenant("acme", plans[0].name(), zone);
    ledger.create_tenant(&new, at(MADE)).await.expect("a tenant")
}

pub(crate) async fn start(ledger: &Ledger, tenant: &Tenant, cycle: Cycle, trial_days: Option<u32>) {
    let new = NewSubscription { cycle, day: None, trial_days };
    let change = SubscriptionChange::Start(new);
    ledger.change_subscription(tenant.id, &change, at(MADE)).await.expect("started");
}

/// The period that an instant falls in.
async fn period(ledger: &Ledger, tenant: &Tenant, instant: &str) -> Period {
    ledger.billing_period(tenant, PeriodChoice::At(at(instant))).await.expect("a period")
}

/// The invoice of the period that an instant falls in, issued when it is over.
pub(crate) async fn issue(ledger: &Ledger, tenant: &Tenant, instant: &str) -> Invoice {
    let period = period(ledger, tenant, instant).await;
    invoice::issue(ledger, tenant, &period, period.end()).await.expect("issued")
}

/// First day, day after the last, and the lines of fees with their exact amounts.
fn shown(invoice: &Invoice) -> (String, String, Vec<String>) {
    let fees =
        invoice.lines.iter().filter(|line| ["base_fee", "true_up", "trial"].contains(&line.item.as_str()));
    let fees = fees.map(|line| format!("{} {}", line.description, line.exact)).collect();
    let day = |text: &str| text.chars().take(10).collect::<String>();
    (day(&invoice.period.start), day(&invoice.period.end), fees)
}

fn row(start: &str, end: &str, fees: &[&str]) -> (String, String, Vec<String>) {
    (start.to_owned(), end.to_owned(), fees.iter().map(|fee| (*fee).to_owned()).collect())
}

async fn refused(ledger: &Ledger, tenant: &Tenant, change: &SubscriptionChange, now: &str) -> String {
    let error = ledger.change_subscription(tenant.id, change, at(now)).await.expect_err("refused");
    assert!(matches!(error.fault(), Fault::Conflict | Fault::Invalid), "{error}");
    error.to_string()
}

/// The usage of a period as a tenant exports it.
async fn export(ledger: &Ledger, tenant: &Tenant, period: &Period) -> String {
    let page = ledger.records_page(tenant.id, period, None, None, 1_000).await.expect("records");
    let mut lines = String::new();
    for stored in page.records {
        let mut line = json!(stored.journaled);
        line["hash"] = json!(stored.hash);
        lines.push_str(&format!("{line}\n"));
    }
    lines
}

/// An invoice is what anybody computes from it, its usage and the plans.
async fn check_verifies(ledger: &Ledger, tenant: &Tenant, invoice: &Invoice, plans: &[Plan]) {
    let (start, end) = (invoice.period.start_unix_us, invoice.period.end_unix_us);
    let instant = Timestamp::from_unix_micros;
    let period = Period::new(instant(start), instant(end), &tenant.zone).expect("a period");
    let usage = export(ledger, tenant, &period).await;
    let json = invoice.to_json().expect("json");
    verify(&json, usage.as_bytes(), plans.to_vec(), None).expect("it is what it comes to");
    // A fee that is made larger, with all that follows from it, is found out.
    if let Some(line) = invoice.lines.iter().find(|line| line.item == "base_fee") {
        let changed = json.replacen(&format!("\"exact\": \"{}\"", line.exact), "\"exact\": \"99.00\"", 1);
        assert!(verify(&changed, usage.as_bytes(), plans.to_vec(), None).is_err());
        assert!(
            verify(&json, usage.as_bytes(), vec![], None)
                .expect_err("no plans")
                .to_string()
                .contains("--plan")
        );
    }
}

on_each_database! {
    async fn anniversaries_are_billed_ahead_from_the_31st_on(database: &Database) {
        let ledger = &database.ledger;
        let plans = [plan("silver", 1, &fee("30", "advance"))];
        let acme = tenant_of(ledger, &plans, "Europe/Berlin").await;
        start(ledger, &acme, Cycle::Anniversary, None).await;
        // The first fee is billed when it begins, with the days of January before it.
        let first = issue(ledger, &acme, "2026-01-15T00:00:00Z").await;
        assert_eq!(shown(&first), row("2026-01-01", "2026-01-31", &["Base fee, 2026-01-31 to 2026-02-28, in advance 30.00"]));
        assert_eq!((first.number.as_deref(), first.total.as_str()), (Some("TG-000001"), "30.00"));
        check_verifies(ledger, &acme, &first, &plans).await;
        let rows = [
            ("2026-02-01T12:00:00Z", row("2026-01-31", "2026-02-28", &["Base fee, 2026-02-28 to 2026-03-31, in advance 30.00"])),
            ("2026-03-01T12:00:00Z", row("2026-02-28", "2026-03-31", &["Base fee, 2026-03-31 to 2026-04-30, in advance 30.00"])),
            ("2026-04-01T12:00:00Z", row("2026-03-31", "2026-04-30", &["Base fee, 2026-04-30 to 2026-05-31, in advance 30.00"])),
        ];
        for (instant, expected) in rows {
            let invoice = issue(ledger, &acme, instant).await;
            assert_eq!(shown(&invoice), expected);
            check_verifies(ledger, &acme, &invoice, &plans).await;
        }
        // The periods are stored, one after another, with the hour that daylight saving takes from one of them.
        assert_eq!(database.number("SELECT COUNT(*) FROM subscription_periods").await, 4);
        let hours = "SELECT (end_unix_us - start_unix_us) / 3600000000 FROM subscription_periods WHERE sequence = 2";
        assert_eq!(database.number(hours).await, 31 * 24 - 1);
        // What is due is found by itself, the days before the tenant included, and nothing is due twice.
        let bert = ledger.create_tenant(&new_tenant("bert", "silver", "Europe/Berlin"), at(MADE)).await.expect("a tenant");
        start(ledger, &bert, Cycle::Anniversary, None).await;
        for issued in [3, 0] {
            let report = invoice::issue_due(ledger, at("2026-04-01T00:00:00Z"), 0).await.expect("a report");
            assert_eq!((report.issued.len(), report.failed.len()), (issued, 0), "{report:?}");
        }
        let own = ledger.invoices_page(bert.id, None, 9).await.expect("read");
        let starts: Vec<_> = own.iter().map(|invoice| invoice.period.start().to_string()).collect();
        assert_eq!(starts, ["2025-12-31T23:00:00Z", "2026-01-30T23:00:00Z", "2026-02-27T23:00:00Z"]);
        // A month is no period of theirs any more.
        let march = Period::month("2026-03", "Europe/Berlin").expect("a month");
        let error = invoice::issue(ledger, &acme, &march, march.end()).await.expect_err("refused");
        assert_eq!(error.fault(), Fault::Conflict, "{error}");
        let may = Period::month("2026-05", "Europe/Berlin").expect("a month");
        let error = invoice::preview(ledger, &acme, &may, at(MADE)).await.expect_err("refused");
        assert!(matches!(error, LedgerError::NoBillingPeriod { .. }), "{error}");
    }

    async fn months_and_days_name_periods(database: &Database) {
        let ledger = &database.ledger;
        let acme = tenant_of(ledger, &[plan("silver", 1, &fee("30", "arrears"))], "UTC").await;
        let named = async |text: &str| {
            let choice = text.parse::<PeriodChoice>().map_err(LedgerError::from);
            match choice {
                Ok(choice) => ledger.billing_period(&acme, choice).await,
                Err(error) => Err(error),
            }
        };
        let starts = async |text: &str| {
            named(text).await.map(|period| period.start().to_string().chars().take(10).collect::<String>())
        };
        assert_eq!(starts("2026-03").await.expect("a month"), "2026-03-01");
        assert_eq!(starts("2026-03-17").await.expect("a month"), "2026-03-01");
        assert!(named("9999-11").await.is_ok());
        start(ledger, &acme, Cycle::Anniversary, Some(45)).await;
        let rows = [("2026-02", "2026-01-31"), ("2026-03", "2026-03-17"), ("2026-03-17", "2026-03-17"), ("2026-03-16", "2026-01-31"), ("2026-01-30", "2026-01-01")];
        for (text, expected) in rows {
            assert_eq!(starts(text).await.expect(text), expected, "{text}");
        }
        let error = starts("2026-01").await.expect_err("two of them");
        assert!(matches!(&error, LedgerError::SeveralPeriods { .. }), "{error}");
        assert!(error.to_string().contains("on 2026-01-01, 2026-01-31 (UTC);"), "{error}");
        for text in ["2026", "2026-13", "2026-02-30", "26-01-01", "2026-1", "+026-01", "0000-01", "9999-11"] {
            assert_eq!(named(text).await.expect_err(text).fault(), Fault::Invalid, "{text}");
        }
    }

    async fn a_trial_comes_before_the_first_fee(database: &Database) {
        let ledger = &database.ledger;
        let terms = format!("{}[trial]\ndays = 14\nusage = \"free\"\n[commitment]\namount = \"100\"\n", fee("28", "advance"));
        let plans = [plan("silver", 1, &terms)];
        let acme = tenant_of(ledger, &plans, "UTC").await;
        start(ledger, &acme, Cycle::Calendar, None).await;
        let mut chain = Chain::new();
        let used = |number, instant| UsageRecord { price_version: "silver@1".parse().expect("a version"), ..record(&acme, number, at(instant)) };
        let batch = chain.add_all([used(45, "2026-02-10T00:00:00Z"), used(40, "2026-02-20T00:00:00Z")]);
        ledger.ship(chain.journal_id, &batch).await.expect("shipped");
        // Nothing was used before the tenant was made, and no fee is due yet.
        let before = period(ledger, &acme, "2026-01-05T00:00:00Z").await;
        let error = invoice::issue(ledger, &acme, &before, before.end()).await.expect_err("refused");
        assert!(matches!(error, LedgerError::PeriodBeforeTenant { .. }), "{error}");
        let trial = issue(ledger, &acme, "2026-02-10T00:00:00Z").await;
        let (start, end, fees) = shown(&trial);
        assert_eq!((start.as_str(), end.as_str(), fees.len()), ("2026-01-31", "2026-02-14", 2));
        // 15 of 28 days of February.
        assert_eq!(fees[1], "Base fee, 2026-02-14 to 2026-03-01, in advance 15.00");
        assert_eq!(trial.total, "15.00", "usage is free");
        check_verifies(ledger, &acme, &trial, &plans).await;
        let cut = issue(ledger, &acme, "2026-02-20T00:00:00Z").await;
        let (start, _, fees) = shown(&cut);
        assert_eq!((start.as_str(), fees.len()), ("2026-02-14", 2));
        assert!(fees[0].starts_with("True-up to the commitment of 53.571428571429 "), "{fees:?}");
        assert_eq!(fees[1], "Base fee, 2026-03-01 to 2026-04-01, in advance 28.00");
        check_verifies(ledger, &acme, &cut, &plans).await;
    }

    async fn a_free_trial_is_billed_in_no_part(database: &Database) {
        let ledger = &database.ledger;
        let plans = [plan("silver", 1, "[trial]\ndays = 14\nusage = \"free\"\n")];
        let acme = tenant_of(ledger, &plans, "UTC").await;
        start(ledger, &acme, Cycle::Calendar, None).await;
        let billing = TenantBilling { threshold: Some(MinorUnits::new(100)), ..customer() };
        ledger.set_tenant_billing(acme.id, &billing).await.expect("set");
        let look = async |now: &str| {
            let report = invoice::issue_thresholds(ledger, at(now)).await.expect("a report");
            assert!(report.failed.is_empty(), "{report:?}");
            report.issued
        };
        for (number, used_at, looked_at, issued) in [
            (1, "2026-02-10T00:00:00Z", "2026-02-11T00:00:00Z", vec![]),
            (2, "2026-02-20T00:00:00Z", "2026-02-21T00:00:00Z", vec!["TG-000001"]),
        ] {
            let mut chain = Chain::new();
            let price_version = "silver@1".parse().expect("a version");
            let used = UsageRecord { price_version, ..ten_dollars(&acme) };
            let used = UsageRecord { finished_at: at(used_at), ..used };
            let batch = chain.add_all([used]);
            ledger.ship(chain.journal_id, &batch).await.expect("shipped");
            assert_eq!(look(looked_at).await, issued, "{number}");
        }
        let part = ledger.find_invoice("TG-000001").await.expect("read").expect("there");
        assert_eq!(part.total.get(), 1_000);
        check_verifies(ledger, &acme, &Invoice::from_issued(&part.body).expect("reads"), &plans).await;
    }

    async fn another_plan_in_the_middle_is_credited_and_charged(database: &Database) {
        let ledger = &database.ledger;
        let plans = [plan("silver", 1, &fee("30", "advance")), plan("gold", 1, &fee("93", "advance"))];
        let acme = tenant_of(ledger, &plans, "UTC").await;
        start(ledger, &acme, Cycle::Calendar, None).await;
        issue(ledger, &acme, "2026-01-15T00:00:00Z").await;
        issue(ledger, &acme, "2026-01-31T12:00:00Z").await;
        issue(ledger, &acme, "2026-02-15T00:00:00Z").await;
        let changed = ledger.change_plan(acme.id, "gold", at("2026-03-11T10:00:00Z")).await.expect("changed");
        assert_eq!(changed.plan_name, "gold");
        let rows = ledger.subscriptions_page(acme.id, None, 9).await.expect("read");
        assert_eq!(rows[0].since, at("2026-03-11T10:00:00Z"), "since the time that the caller told");
        // A version that is published in the middle counts from the next period.
        let later = plan("gold", 2, &fee("310", "advance"));
        ledger.publish_plan(&later, at("2026-03-20T00:00:00Z")).await.expect("published");
        let march = issue(ledger, &acme, "2026-03-15T00:00:00Z").await;
        let expected = [
            "Base fee, 2026-03-11 10:00:00 to 2026-04-01, given back: another plan -20.322580645161",
            "Base fee, 2026-03-11 10:00:00 to 2026-04-01 63.00",
            "Base fee, 2026-04-01 to 2026-05-01, in advance 310.00",
        ];
        assert_eq!(shown(&march), row("2026-03-01", "2026-04-01", &expected));
        let all = [plans[0].clone(), plans[1].clone(), later];
        check_verifies(ledger, &acme, &march, &all).await;
        // Told by nobody, the database's clock counts, as for a change with another client.
        ledger.set_tenant_plan(acme.id, "silver").await.expect("set");
        let rows = ledger.subscriptions_page(acme.id, None, 9).await.expect("read");
        assert!(rows[0].since > at("2026-03-11T10:00:01Z"), "{rows:?}");
    }

    async fn a_pause_costs_nothing_and_lets_nobody_in(database: &Database) {
        let ledger = &database.ledger;
        let plans = [plan("silver", 1, &fee("30", "advance"))];
        let acme = tenant_of(ledger, &plans, "UTC").await;
        start(ledger, &acme, Cycle::Calendar, None).await;
        let state = async |now: &str| {
            let snapshot = ledger.access_snapshot().await.expect("a snapshot");
            snapshot.tenants[0].subscriptions.state_at(at(now))
        };
        assert_eq!(state("2026-02-02T00:00:00Z").await, State::Active);
        let revision = ledger.revision().await.expect("read");
        let paused = ledger.change_subscription(acme.id, &SubscriptionChange::Pause, at("2026-03-11T10:00:00Z")).await.expect("paused");
        assert_eq!(paused.state, State::Paused(at("2026-03-11T10:00:00Z")));
        assert!(ledger.revision().await.expect("read") > revision, "gateways hear of it");
        assert_eq!(state("2026-03-12T00:00:00Z").await, paused.state);
        let again = refused(ledger, &acme, &SubscriptionChange::Pause, "2026-03-12T00:00:00Z").await;
        assert_eq!(again, "the subscription cannot be paused: it is paused since 2026-03-11T10:00:00Z");
        let march = issue(ledger, &acme, "2026-03-15T00:00:00Z").await;
        let expected = ["Base fee, 2026-03-11 10:00:00 to 2026-04-01, given back: paused -20.322580645161"];
        assert_eq!(shown(&march), row("2026-03-01", "2026-04-01", &expected), "nothing is billed ahead of a pause");
        check_verifies(ledger, &acme, &march, &plans).await;
        let resumed = ledger.change_subscription(acme.id, &SubscriptionChange::Resume, at("2026-04-21T10:00:00Z")).await.expect("resumed");
        assert_eq!(resumed.state, State::Active);
        let again = refused(ledger, &acme, &SubscriptionChange::Resume, "2026-04-22T00:00:00Z").await;
        assert_eq!(again, "the subscription cannot be resumed: it is active");
        let april = issue(ledger, &acme, "2026-04-15T00:00:00Z").await;
        let expected = ["Base fee, 2026-04-21 10:00:00 to 2026-05-01 10.00", "Base fee, 2026-05-01 to 2026-06-01, in advance 30.00"];
        assert_eq!(shown(&april), row("2026-04-01", "2026-05-01", &expected));
        check_verifies(ledger, &acme, &april, &plans).await;
    }

    async fn a_cancellation_ends_fees_at_once_or_with_the_period(database: &Database) {
        let ledger = &database.ledger;
        let seat = "[[charge]]\nname = \"seat\"\nscheme = \"flat\"\namount = \"7\"\n";
        let plans = [plan("silver", 1, &format!("{}{seat}", fee("31", "advance")))];
        let acme = tenant_of(ledger, &plans, "UTC").await;
        start(ledger, &acme, Cycle::Calendar, None).await;
        // With the period, and then sooner after all.
        let planned = ledger.change_subscription(acme.id, &SubscriptionChange::CancelAtPeriodEnd, at("2026-03-05T00:00:01Z")).await.expect("planned");
        assert_eq!((planned.state, planned.term.and_then(|term| term.end)), (State::Active, Some(at("2026-04-01T00:00:00Z"))));
        let draft = period(ledger, &acme, "2026-03-15T00:00:00Z").await;
        let draft = invoice::preview(ledger, &acme, &draft, at("2026-03-15T00:00:00Z")).await.expect("a draft");
        assert_eq!(shown(&draft).2, Vec::<String>::new(), "no fee of a period that will not come");
        let again = refused(ledger, &acme, &SubscriptionChange::CancelAtPeriodEnd, "2026-03-06T00:00:01Z").await;
        assert!(again.starts_with("the subscription cannot be cancelled again"), "{again}");
        let ended = ledger.change_subscription(acme.id, &SubscriptionChange::CancelNow, at("2026-03-11T10:00:00Z")).await.expect("cancelled");
        assert_eq!(ended.state, State::Ended(at("2026-03-11T10:00:00Z")));
        let march = issue(ledger, &acme, "2026-03-10T00:00:00Z").await;
        let expected = ["Base fee, 2026-03-11 10:00:00 to 2026-04-01, given back: cancelled -21.00"];
        assert_eq!(shown(&march), row("2026-03-01", "2026-03-11", &expected));
        assert_eq!(march.total, "-14.00", "the flat charge of the period, less what is given back");
        check_verifies(ledger, &acme, &march, &plans).await;
        // Afterwards only what is used is charged: an answer that ran on, but no flat amount.
        let mut chain = Chain::new();
        let late = UsageRecord { price_version: "silver@1".parse().expect("a version"), ..record(&acme, 45, at("2026-03-11T10:00:05Z")) };
        ledger.ship(chain.journal_id, &chain.add_all([late])).await.expect("shipped");
        let rest = issue(ledger, &acme, "2026-03-11T12:00:00Z").await;
        assert_eq!((shown(&rest), rest.plan_at_end.as_deref(), rest.records), (row("2026-03-11", "2026-04-01", &[]), None, 1));
        assert!(rest.lines.iter().all(|line| line.item != "seat"), "{:?}", rest.lines);
        check_verifies(ledger, &acme, &rest, &plans).await;
        let states = [SubscriptionChange::Pause, SubscriptionChange::CancelNow, SubscriptionChange::Resume];
        for change in states {
            let told = refused(ledger, &acme, &change, "2026-03-12T00:00:00Z").await;
            assert!(told.ends_with("it ended at 2026-03-11T10:00:00Z"), "{told}");
        }
        // Another one may follow, from the next day on.
        let again = |day: Option<&str>| SubscriptionChange::Start(NewSubscription {
            cycle: Cycle::Anniversary,
            day: day.map(|day| day.parse().expect("a day")),
            trial_days: None,
        });
        let told = refused(ledger, &acme, &again(None), "2026-03-11T12:00:00Z").await;
        assert_eq!(told, "a subscription must begin on 2026-03-12 or later, at most a year ahead, not on 2026-03-11");
        let standing = ledger.change_subscription(acme.id, &again(Some("2026-04-05")), at("2026-04-03T12:00:00Z")).await.expect("planned");
        assert_eq!(standing.state, State::Ended(at("2026-03-11T10:00:00Z")));
        assert_eq!((standing.period.kind, standing.period.end), (PeriodKind::After, at("2026-04-05T00:00:00Z")));
        let april = issue(ledger, &acme, "2026-04-10T00:00:00Z").await;
        assert_eq!(shown(&april).0, "2026-04-05");
    }

    async fn a_planned_cancellation_can_be_withdrawn(database: &Database) {
        let ledger = &database.ledger;
        let plans = [plan("silver", 1, &fee("31", "advance"))];
        let acme = tenant_of(ledger, &plans, "UTC").await;
        start(ledger, &acme, Cycle::Calendar, None).await;
        let withdraw = SubscriptionChange::WithdrawCancellation;
        let told = refused(ledger, &acme, &withdraw, "2026-03-04T00:00:01Z").await;
        assert_eq!(told, "the subscription cannot be kept from a planned end: it is active");
        for day in ["2026-03-05", "2026-03-20"] {
            let cancel = SubscriptionChange::CancelAtPeriodEnd;
            let planned = ledger.change_subscription(acme.id, &cancel, at(&format!("{day}T00:00:01Z"))).await;
            assert_eq!(planned.expect("planned").term.and_then(|term| term.end), Some(at("2026-04-01T00:00:00Z")));
            let kept = ledger.change_subscription(acme.id, &withdraw, at(&format!("{day}T10:00:00Z"))).await;
            let kept = kept.expect("withdrawn");
            assert_eq!((kept.state, kept.term.and_then(|term| term.end)), (State::Active, None));
        }
        // It goes on as if nothing had happened: April is billed ahead, and begins.
        let march = issue(ledger, &acme, "2026-03-10T00:00:00Z").await;
        assert_eq!(shown(&march).2, ["Base fee, 2026-04-01 to 2026-05-01, in advance 31.00"]);
        check_verifies(ledger, &acme, &march, &plans).await;
        // What has come cannot be taken back.
        let cancel = SubscriptionChange::CancelNow;
        ledger.change_subscription(acme.id, &cancel, at("2026-04-10T00:00:00Z")).await.expect("cancelled");
        let told = refused(ledger, &acme, &withdraw, "2026-04-10T00:00:01Z").await;
        assert!(told.starts_with("the subscription cannot be kept from a planned end: it ended at"), "{told}");
        let noted = "SELECT COUNT(*) FROM audit_log WHERE object_kind LIKE 'subscription%' AND action LIKE '%created'";
        assert!(database.number(noted).await >= 5, "each step is noted");
    }

    async fn only_what_fits_is_done_and_nothing_is_dated_back(database: &Database) {
        let ledger = &database.ledger;
        let acme = tenant_of(ledger, &[plan("silver", 1, "")], "UTC").await;
        let new = |day: &str, trial_days| SubscriptionChange::Start(NewSubscription {
            cycle: Cycle::Calendar, day: Some(day.parse().expect("a day")), trial_days,
        });
        let trial = |day: &str| SubscriptionChange::TrialUntil(day.parse().expect("a day"));
        let now = "2026-02-10T12:00:00Z";
        let rows = [
            (new("2026-02-09", None), "a subscription must begin on 2026-02-10 or later, at most a year ahead, not on 2026-02-09"),
            (new("2027-02-12", None), "a subscription must begin on 2026-02-10 or later, at most a year ahead, not on 2027-02-12"),
            (new("2026-02-10", Some(367)), "a trial has at most 366 days"),
            (trial("2026-03-01"), "the subscription cannot be put on another trial: there is none"),
            (SubscriptionChange::Pause, "the subscription cannot be paused: there is none"),
            (SubscriptionChange::Resume, "the subscription cannot be resumed: there is none"),
            (SubscriptionChange::CancelNow, "the subscription cannot be cancelled: there is none"),
            (SubscriptionChange::CancelAtPeriodEnd, "the subscription cannot be cancelled: there is none"),
            (SubscriptionChange::WithdrawCancellation, "the subscription cannot be kept from a planned end: there is none"),
        ];
        for (change, expected) in rows {
            assert_eq!(refused(ledger, &acme, &change, now).await, expected);
        }
        assert_eq!(database.number("SELECT COUNT(*) FROM subscription_events").await, 0, "what is refused leaves nothing");
        let planned = ledger.change_subscription(acme.id, &new("2026-02-20", Some(10)), at(now)).await.expect("planned");
        assert_eq!(planned.state, State::Planned(at("2026-02-20T00:00:00Z")));
        assert_eq!(database.number("SELECT COUNT(*) FROM subscription_periods").await, 0, "it has not begun");
        assert!(refused(ledger, &acme, &new("2026-02-25", None), now).await.contains("it begins at 2026-02-20T00:00:00Z"));
        assert!(refused(ledger, &acme, &SubscriptionChange::Pause, now).await.contains("it begins at"));
        let on_trial = "2026-02-25T00:00:00Z";
        let rows = [
            (trial("2026-02-25"), "the first day after a trial must come on 2026-02-26 or later, at most a year ahead, not on 2026-02-25"),
            (trial("2028-01-01"), "the first day after a trial must come on 2026-02-26 or later, at most a year ahead, not on 2028-01-01"),
        ];
        for (change, expected) in rows {
            assert_eq!(refused(ledger, &acme, &change, on_trial).await, expected);
        }
        let longer = ledger.change_subscription(acme.id, &trial("2026-03-15"), at(on_trial)).await.expect("longer");
        assert_eq!(longer.state, State::Trial(at("2026-03-15T00:00:00Z")));
        // At the first instant of a period, whose fee may have been billed, a change counts from the next instant.
        let paused = ledger.change_subscription(acme.id, &SubscriptionChange::Pause, at("2026-03-15T00:00:00Z")).await.expect("paused");
        assert_eq!(paused.state, State::Active);
        let (found, first) = (ledger.subscription(&acme, at("2026-03-15T00:00:00.000001Z")).await.expect("read"), at("2026-03-15T00:00:00.000001Z"));
        assert_eq!(found.state, State::Paused(first));
        // A clock that is behind does not put events out of order.
        let resumed = ledger.change_subscription(acme.id, &SubscriptionChange::CancelNow, at("2026-03-15T00:00:00.000001Z")).await.expect("ended");
        assert_eq!(resumed.term.and_then(|term| term.end), Some(first));
        ledger.disable_tenant(acme.id, at(now)).await.expect("disabled");
        let error = ledger.change_subscription(acme.id, &new("2026-04-01", None), at("2026-03-20T00:00:00Z")).await.expect_err("disabled");
        assert!(matches!(error, LedgerError::Disabled { .. }), "{error}");
    }

    async fn what_happened_is_noted_and_never_changes(database: &Database) {
        let ledger = &database.ledger;
        let acme = tenant_of(ledger, &[plan("silver", 1, "")], "UTC").await;
        start(ledger, &acme, Cycle::Anniversary, Some(3)).await;
        ledger.change_subscription(acme.id, &SubscriptionChange::Pause, at("2026-02-10T00:00:00Z")).await.expect("paused");
        let question = AuditQuestion { tenant: Some(acme.id), ..AuditQuestion::default() };
        let entries = ledger.audit_page(&question, 100).await.expect("read");
        let own: Vec<_> = entries.iter().filter(|entry| entry.object_kind == "subscription").collect();
        assert_eq!(own.iter().map(|entry| entry.action.as_str()).collect::<Vec<_>>(), ["subscription.created"; 2]);
        let after = own[1].after.as_ref().expect("a row");
        let expected = [("kind", json!("start")), ("cycle", json!("anniversary")), ("day", json!("2026-01-31")), ("until_day", json!("2026-02-03")), ("trial_usage", json!("charged")), ("tenant_id", json!(acme.id.to_string()))];
        for (name, value) in expected {
            assert_eq!(after[name], value, "{name}");
        }
        assert_eq!(own[1].object_id, format!("{}:1", acme.id));
        let before = [database.number("SELECT COUNT(*) FROM subscription_events").await, database.number("SELECT COUNT(*) FROM subscription_periods").await];
        let statements = [
            ("UPDATE subscription_events SET at_unix_us = 0", "never changes"),
            ("DELETE FROM subscription_events", "what happened to a subscription"),
            ("INSERT INTO subscription_events SELECT tenant_id, 2, 'resume', at_unix_us, NULL, NULL, NULL, NULL, NULL, 0 FROM subscription_events WHERE sequence = 2", "only added to"),
            ("INSERT INTO subscription_events SELECT tenant_id, 9, 'resume', at_unix_us, NULL, NULL, NULL, NULL, NULL, 0 FROM subscription_events WHERE sequence = 2", "only added to"),
            ("INSERT INTO subscription_events SELECT tenant_id, 3, 'start', at_unix_us, NULL, NULL, NULL, NULL, NULL, 0 FROM subscription_events WHERE sequence = 2", "check"),
            ("INSERT INTO subscription_events SELECT tenant_id, 3, 'burn', at_unix_us, NULL, NULL, NULL, NULL, NULL, 0 FROM subscription_events WHERE sequence = 2", "check"),
            ("UPDATE subscription_periods SET end_unix_us = end_unix_us + 1", "a period never changes"),
            ("DELETE FROM subscription_periods", "a period"),
            ("INSERT INTO subscription_periods SELECT tenant_id, 9, kind, full_start_unix_us, end_unix_us, end_unix_us + 1, zone FROM subscription_periods WHERE sequence = 2", "one after another"),
            ("INSERT INTO subscription_periods SELECT tenant_id, 3, kind, full_start_unix_us, start_unix_us, end_unix_us, zone FROM subscription_periods WHERE sequence = 2", "one after another"),
            ("INSERT INTO subscription_periods SELECT tenant_id, 3, kind, full_start_unix_us, end_unix_us, end_unix_us, zone FROM subscription_periods WHERE sequence = 2", "check"),
        ];
        for (statement, reason) in statements {
            let error = database.raw(statement).await.expect_err(statement).to_string();
            assert!(error.to_lowercase().contains(reason), "{statement}: {error}");
        }
        let only: &[&str] = match database.is_sqlite() {
            true => &["INSERT OR REPLACE INTO subscription_events SELECT * FROM subscription_events WHERE sequence = 1", "DELETE FROM plan_clock"],
            false => &["TRUNCATE subscription_events", "TRUNCATE subscription_periods"],
        };
        for statement in only {
            assert!(database.raw(statement).await.is_err(), "{statement}");
        }
        let after = [database.number("SELECT COUNT(*) FROM subscription_events").await, database.number("SELECT COUNT(*) FROM subscription_periods").await];
        assert_eq!(before, after);
    }

    async fn late_requests_are_credited_from_the_records_themselves(database: &Database) {
        let ledger = &database.ledger;
        let source = Plan::demo().expect("the demo plan").source().replacen("name = \"demo\"", "name = \"late\"", 1);
        let source = source.replacen("late_tokens_percent = \"50\"", "late_requests_percent = \"50\"", 1);
        let plans = [Plan::from_text("t", &source).expect("a plan")];
        let acme = tenant_of(ledger, &plans, "Asia/Kathmandu").await;
        let records: Vec<_> = (0..40_i64).map(|number| {
            let instant = Timestamp::from_unix_micros(at("2026-03-01T00:00:00Z").unix_micros() + number * 1_800_000_000);
            let number = u64::try_from(number).expect("positive");
            UsageRecord { price_version: "late@1".parse().expect("a version"), ..record(&acme, number, instant) }
        }).collect();
        let mut chain = Chain::new();
        ledger.ship(chain.journal_id, &chain.add_all(records.clone())).await.expect("shipped");
        let invoice = issue(ledger, &acme, "2026-03-10T00:00:00Z").await;
        let is_late = |record: &&UsageRecord| {
            !record.slo_met && plans[0].is_billed(record.reason) && record.slo.class == SloClass::Interactive
        };
        let late: Vec<_> = records.iter().filter(is_late).collect();
        // In trillionths of a dollar: 0.15, 0.075 and 0.60 millionths for each token, half of it back.
        let charged: u64 = late.iter().map(|record| {
            let cached = record.cached_prompt_tokens.get();
            (record.prompt_tokens.get() - cached) * 150_000 + cached * 75_000 + record.output_tokens.get() * 600_000
        }).sum();
        let line = invoice.lines.iter().find(|line| line.item == "late_requests").expect("a line");
        let digits = line.exact.trim_start_matches("-0.");
        let found: u64 = format!("{digits:0<12}").parse().expect("digits");
        assert_eq!((line.quantity, found), (u64::try_from(late.len()).expect("few"), charged / 2));
        assert!(!late.is_empty() && line.exact.starts_with("-0."), "{}", line.exact);
        assert!(!invoice.projects.is_empty());
        check_verifies(ledger, &acme, &invoice, &plans).await;
    }
}
