//! The outbox to Stripe: steps written with their cause, one at a time, each by one; and what Stripe tells, once.
//! Never a connection: what came of a step is said by the test.
//! Run on both databases.

use std::collections::BTreeSet;

use billing::{
    invoice::{self, CreditRequest},
    ledger::{
        Actor, ActorKind, AuditQuestion, Collection, Granted, Ledger, LedgerError, NewPayment, SessionKind,
        StepEnd, StepKind, StepState, StripeEvent, StripeStep, Tenant, Told,
    },
    rate::MinorUnits,
};
use domain::{TenantId, Timestamp};

use crate::{
    records::{Chain, NOW, november, tenant},
    taxes::{customer, ten_dollars},
};

const SECOND_US: i64 = 1_000_000;

fn later(seconds: i64) -> Timestamp {
    Timestamp::from_unix_micros(NOW.unix_micros() + seconds * SECOND_US)
}

/// The end of November, when its invoices are issued.
fn issuing() -> Timestamp {
    november("UTC").end()
}

fn after_issuing(seconds: i64) -> Timestamp {
    Timestamp::from_unix_micros(issuing().unix_micros() + seconds * SECOND_US)
}

async fn linked(ledger: &Ledger, name: &str) -> Tenant {
    let acme = tenant(ledger, name, "UTC").await;
    ledger.link_stripe(acme.id, (Collection::Charge, None), NOW).await.expect("linked");
    acme
}

/// An issued invoice of 10.00 USD.
async fn owed(ledger: &Ledger, acme: &Tenant) -> String {
    let mut chain = Chain::new();
    let batch = chain.add_all([ten_dollars(acme)]);
    ledger.ship(chain.journal_id, &batch).await.expect("shipped");
    let period = november("UTC");
    let issued = invoice::issue(ledger, acme, &period, period.end()).await.expect("issued");
    assert_eq!(issued.total, "10.00");
    issued.number.expect("a number")
}

/// The steps of a subject, in order: what for, and how they stand.
async fn steps(ledger: &Ledger, subject: &str) -> Vec<(StepKind, StepState)> {
    let page = ledger.stripe_steps_page(None, Some((subject, 0)), 100).await.expect("read");
    let own = page.into_iter().filter(|step| step.subject == subject);
    own.map(|step| (step.kind, step.state)).collect()
}

async fn claim(ledger: &Ledger, now: Timestamp) -> Vec<StripeStep> {
    let until = Timestamp::from_unix_micros(now.unix_micros() + 60 * SECOND_US);
    ledger.claim_stripe_steps((now, until), 16).await.expect("claimed")
}

fn kinds(steps: &[StripeStep]) -> Vec<StepKind> {
    steps.iter().map(|step| step.kind).collect()
}

async fn done(ledger: &Ledger, step: &StripeStep, then: Option<StepKind>, now: Timestamp) {
    let end = StepEnd::Done { outcome: "it went well".to_owned(), then };
    ledger.end_stripe_step(step, &end, now).await.expect("ended");
}

/// Claims the one step that is due, and does it.
async fn take(ledger: &Ledger, kind: StepKind, then: Option<StepKind>, now: Timestamp) -> StripeStep {
    let claimed = claim(ledger, now).await;
    assert_eq!(kinds(&claimed), [kind]);
    done(ledger, &claimed[0], then, now).await;
    claimed.into_iter().next().expect("one")
}

async fn credit_all(ledger: &Ledger, number: &str) -> String {
    let request = CreditRequest { reason: "outage".to_owned(), lines: Vec::new() };
    ledger.issue_credit_note(number, (&request, "a"), after_issuing(9)).await.expect("issued").number
}

on_each_database! {
    async fn a_step_comes_with_its_cause_and_only_of_linked_tenants(database: &Database) {
        let ledger = &database.ledger;
        let other = tenant(ledger, "other", "UTC").await;
        let unbilled = owed(ledger, &other).await;
        ledger.void_invoice(&unbilled, "a mistake", issuing()).await.expect("void");
        assert_eq!(steps(ledger, &unbilled).await, []);
        let acme = linked(ledger, "acme").await;
        let customer_steps = steps(ledger, &acme.id.to_string()).await;
        assert_eq!(customer_steps, [(StepKind::Customer, StepState::Pending)]);
        ledger.set_tenant_billing(acme.id, &customer()).await.expect("set");
        ledger.set_tenant_billing(acme.id, &customer()).await.expect("set");
        assert_eq!(steps(ledger, &acme.id.to_string()).await.len(), 3, "its details go there as well");
        let number = owed(ledger, &acme).await;
        // An issuing that fails leaves no step behind.
        let period = november("Europe/Berlin");
        invoice::issue(ledger, &acme, &period, period.end()).await.expect_err("overlaps");
        assert_eq!(steps(ledger, &number).await, [(StepKind::Invoice, StepState::Pending)]);
        let note = credit_all(ledger, &number).await;
        let expected = [StepKind::Invoice, StepKind::CreditNote, StepKind::Settle].map(|kind| (kind, StepState::Pending));
        assert_eq!(steps(ledger, &number).await, expected, "a credit note that settles it");
        let page = ledger.stripe_steps_page(None, Some((number.as_str(), 1)), 1).await.expect("read");
        assert_eq!((page[0].detail.as_str(), page[0].tenant_id), (note.as_str(), acme.id));
        // The key says whose it is and what for, and is the same on both databases.
        let hex = acme.id.as_uuid().simple().to_string();
        assert_eq!(page[0].idempotency_key, format!("tg-{hex}-{number}-2"));
        ledger.unlink_stripe(acme.id, after_issuing(1)).await.expect("unlinked");
        ledger.set_tenant_billing(acme.id, &customer()).await.expect("set");
        assert_eq!(steps(ledger, &acme.id.to_string()).await.len(), 3, "no more");
    }

    async fn each_end_of_an_invoice_goes_to_stripe_but_what_came_from_there(database: &Database) {
        let ledger = &database.ledger;
        let ends = [
            ("void", vec![StepKind::Invoice, StepKind::Void]),
            ("written-off", vec![StepKind::Invoice, StepKind::Uncollectible]),
            ("paid-elsewhere", vec![StepKind::Invoice, StepKind::Settle]),
            ("paid-at-stripe", vec![StepKind::Invoice]),
        ];
        for (name, expected) in ends {
            let acme = linked(ledger, name).await;
            let number = owed(ledger, &acme).await;
            let pay = |reference| NewPayment { amount: MinorUnits::new(1_000), reference, note: "" };
            let at = after_issuing(1);
            match name {
                "void" => drop(ledger.void_invoice(&number, "x", at).await.expect("void")),
                "written-off" => drop(ledger.write_off_invoice(&number, "x", at).await.expect("written off")),
                "paid-elsewhere" => drop(ledger.record_payment(&number, &pay("bank"), at).await.expect("paid")),
                _ => drop(ledger.record_payment(&number, &pay("stripe:in_1"), at).await.expect("paid")),
            }
            let found: Vec<_> = steps(ledger, &number).await.into_iter().map(|(kind, _)| kind).collect();
            assert_eq!(found, expected, "{name}");
        }
    }

    async fn steps_are_taken_one_after_another_and_each_by_one(database: &Database) {
        let ledger = &database.ledger;
        let acme = linked(ledger, "acme").await;
        let number = owed(ledger, &acme).await;
        ledger.void_invoice(&number, "a mistake", issuing()).await.expect("void");
        // First the customer; nobody else gets it meanwhile, until the lease is over.
        let now = after_issuing(10);
        let first = claim(ledger, now).await;
        assert_eq!(kinds(&first), [StepKind::Customer]);
        assert_eq!(claim(ledger, after_issuing(69)).await, []);
        let second = claim(ledger, after_issuing(70)).await;
        assert_eq!((kinds(&second), second[0].attempts), (vec![StepKind::Customer], 2));
        // Who lost the lease says nothing.
        done(ledger, &first[0], None, now).await;
        assert!(!ledger.raise_stripe_generation(&first[0], 1).await.expect("asked"));
        assert!(ledger.raise_stripe_generation(&second[0], 1).await.expect("asked"));
        assert_eq!(steps(ledger, &acme.id.to_string()).await, [(StepKind::Customer, StepState::Pending)]);
        done(ledger, &second[0], None, after_issuing(71)).await;
        let made = take(ledger, StepKind::Invoice, Some(StepKind::Collect), after_issuing(80)).await;
        assert_eq!((made.subject.as_str(), made.sequence, made.generation), (number.as_str(), 1, 0));
        // What was written down before comes before what followed.
        take(ledger, StepKind::Void, None, after_issuing(81)).await;
        take(ledger, StepKind::Collect, None, after_issuing(82)).await;
        assert_eq!(claim(ledger, after_issuing(9_999)).await, []);
    }

    async fn many_gateways_share_the_steps(database: &Database) {
        let ledger = &database.ledger;
        for index in 0..24 {
            linked(ledger, &format!("tenant-{index}")).await;
        }
        let now = later(10);
        let gateways: Vec<_> = (0..8).map(|_| {
            let ledger = ledger.clone();
            tokio::spawn(async move {
                let mut taken = Vec::new();
                loop {
                    let until = Timestamp::from_unix_micros(now.unix_micros() + 60 * SECOND_US);
                    let claimed = ledger.claim_stripe_steps((now, until), 3).await.expect("claimed");
                    if claimed.is_empty() {
                        return taken;
                    }
                    taken.extend(claimed.into_iter().map(|step| step.subject));
                }
            })
        }).collect();
        let mut all = Vec::new();
        for gateway in gateways {
            all.extend(gateway.await.expect("ran"));
        }
        // A look leaves out rows that others hold: what nobody has yet is found by the next one.
        loop {
            let left = claim(ledger, now).await;
            if left.is_empty() {
                break;
            }
            all.extend(left.into_iter().map(|step| step.subject));
        }
        let apart: BTreeSet<_> = all.iter().collect();
        assert_eq!((all.len(), apart.len()), (24, 24), "each was taken, and none twice");
    }

    async fn what_failed_waits_and_what_is_parked_wants_somebody(database: &Database) {
        let ledger = &database.ledger.acting(Actor { kind: ActorKind::Operator, name: "anna".to_owned(), request_id: None });
        let acme = linked(ledger, "acme").await;
        let subject = acme.id.to_string();
        let step = claim(ledger, later(1)).await.remove(0);
        let end = StepEnd::Later { at: later(100), outcome: "Stripe did not answer".to_owned() };
        ledger.end_stripe_step(&step, &end, later(2)).await.expect("ended");
        assert_eq!(claim(ledger, later(99)).await, []);
        let step = claim(ledger, later(100)).await.remove(0);
        assert_eq!((step.attempts, step.outcome.as_str()), (2, "Stripe did not answer"));
        let reason = "it is not as it should be";
        ledger.end_stripe_step(&step, &StepEnd::Parked { outcome: reason.to_owned() }, later(101)).await.expect("ended");
        assert_eq!(claim(ledger, later(9_999)).await, []);
        let events = ledger.events_page(acme.id, None, 9).await.expect("events");
        assert_eq!((events.len(), events[0].kind.as_str(), &events[0].body["reason"]), (1, "stripe.parked", &reason.into()));
        let parked = ledger.stripe_steps_page(Some(StepState::Parked), None, 9).await.expect("read");
        assert_eq!((parked.len(), parked[0].subject.as_str()), (1, subject.as_str()));
        let going = ledger.retry_stripe_step((&subject, 1), later(200)).await.expect("set going");
        assert_eq!((going.state, going.generation), (StepState::Pending, 1), "under other keys");
        let again = ledger.retry_stripe_step((&subject, 1), later(201)).await.expect_err("it goes already").to_string();
        assert!(again.contains("is pending; only a parked one is set going again"), "{again}");
        let none = ledger.retry_stripe_step((&subject, 2), later(201)).await.expect_err("there is none");
        assert!(matches!(none, LedgerError::Missing { .. }), "{none}");
        let actions = audited(ledger).await;
        assert_eq!(actions, ["stripe_step.changed", "stripe_tenant.created"]);
    }

    async fn a_link_keeps_its_customer(database: &Database) {
        let ledger = &database.ledger;
        let (acme, other) = (linked(ledger, "acme").await, tenant(ledger, "other", "UTC").await);
        for wrong in ["", "acct_1", "cus_", "cus_a b", "cus_a'b"] {
            let error = ledger.link_stripe(other.id, (Collection::Send, Some(wrong)), NOW).await.expect_err(wrong);
            assert!(matches!(error, LedgerError::BadText { what: "customer_id", .. }), "{error}");
        }
        assert_eq!(ledger.stripe_tenant(other.id).await.expect("read"), None);
        ledger.note_stripe_customer(acme.id, "cus_1").await.expect("noted");
        ledger.note_stripe_customer(acme.id, "cus_1").await.expect("the same");
        for (tenant, id) in [(acme.id, "cus_2"), (other.id, "cus_1")] {
            let error = ledger.link_stripe(tenant, (Collection::Send, Some(id)), NOW).await.expect_err(id);
            assert!(matches!(error, LedgerError::StripeConflict { .. }), "{error}");
        }
        assert!(ledger.note_stripe_customer(acme.id, "cus_2").await.is_err());
        ledger.unlink_stripe(acme.id, later(1)).await.expect("unlinked");
        ledger.unlink_stripe(acme.id, later(2)).await.expect("again");
        let unlinked = ledger.stripe_tenant(acme.id).await.expect("read").expect("there");
        assert_eq!((unlinked.unlinked_at, unlinked.customer_id.as_deref()), (Some(later(1)), Some("cus_1")));
        let back = ledger.link_stripe(acme.id, (Collection::Send, None), later(3)).await.expect("linked");
        assert_eq!((back.unlinked_at, back.collection, back.linked_at), (None, Collection::Send, NOW));
        let nobody = ledger.unlink_stripe(other.id, NOW).await.expect_err("never linked");
        assert!(matches!(nobody, LedgerError::Missing { .. }), "{nobody}");
    }

    async fn an_object_at_stripe_is_one_of_ours_for_good(database: &Database) {
        let ledger = &database.ledger;
        let acme = linked(ledger, "acme").await;
        let number = owed(ledger, &acme).await;
        let named = (number.as_str(), acme.id);
        ledger.note_stripe_invoice(named, "in_1", NOW).await.expect("noted");
        ledger.note_stripe_invoice(named, "in_1", later(1)).await.expect("the same");
        let error = ledger.note_stripe_invoice(named, "in_2", NOW).await.expect_err("a second");
        assert!(matches!(error, LedgerError::StripeConflict { .. }), "{error}");
        ledger.note_stripe_credit_note(("TG-CN-000001", acme.id), "cn_1", NOW).await.expect("noted");
        assert_eq!(ledger.stripe_invoice(&number).await.expect("read").as_deref(), Some("in_1"));
        assert_eq!(ledger.stripe_credit_note("TG-CN-000001").await.expect("read").as_deref(), Some("cn_1"));
        assert_eq!(ledger.invoice_of_stripe("in_1").await.expect("read"), Some((number.clone(), acme.id)));
        assert_eq!(ledger.invoice_of_stripe("cn_1").await.expect("read"), None);
        let page = ledger.stripe_invoices_page(acme.id, "", 9).await.expect("read");
        assert_eq!(page, [(number.clone(), "in_1".to_owned())]);
        assert_eq!(ledger.stripe_invoices_page(acme.id, &number, 9).await.expect("read"), []);
        assert!(ledger.is_stripe_pending(&number).await.expect("read"));
    }

    async fn what_stripe_tells_counts_once(database: &Database) {
        let ledger = &database.ledger;
        let acme = tenant(ledger, "acme", "UTC").await;
        let event = |id| StripeEvent { id, kind: "invoice.paid", object_id: "in_1", made_at: NOW };
        let look = Some((acme.id, StepKind::Observe, "TG-000001"));
        let (mine, other) = (event("evt_1"), event("evt_2"));
        let tasks: Vec<_> = (0..16).map(|_| {
            let ledger = ledger.clone();
            tokio::spawn(async move { ledger.note_stripe_event(&mine, look, NOW).await.expect("noted") })
        }).collect();
        let mut new = 0;
        for task in tasks {
            new += usize::from(task.await.expect("ran") == Told::New);
        }
        assert_eq!(new, 1, "of sixteen at once");
        assert_eq!(ledger.note_stripe_event(&other, None, NOW).await.expect("noted"), Told::New);
        let claimed = claim(ledger, later(1)).await;
        let found: Vec<_> = claimed.iter().map(|step| (step.subject.as_str(), step.detail.as_str())).collect();
        assert_eq!(found, [("evt_1", "TG-000001")], "and what is about nothing of ours leads to nothing");
    }

    async fn money_paid_in_advance_is_given_once_and_taken_back_once(database: &Database) {
        let ledger = &database.ledger;
        let acme = linked(ledger, "acme").await;
        let amount = Some(MinorUnits::new(5_000));
        ledger.add_stripe_session(("cs_1", acme.id), (SessionKind::TopUp, amount), NOW).await.expect("kept");
        ledger.add_stripe_session(("cs_1", acme.id), (SessionKind::TopUp, amount), NOW).await.expect("the same");
        let granted = async || balance(ledger, acme.id).await;
        let session = async || ledger.stripe_session("cs_1").await.expect("read").expect("there");
        for (payment, expected) in [(Some("pi_1"), Granted::New), (Some("pi_1"), Granted::Already)] {
            let found = ledger.complete_stripe_session(&session().await, payment, later(1)).await.expect("given");
            assert_eq!(found, Some(expected));
        }
        assert_eq!(granted().await, "50.00");
        let paid = ledger.stripe_session_of_payment("pi_1").await.expect("read").expect("there");
        assert_eq!((paid.session_id.as_str(), paid.completed_at), ("cs_1", Some(later(1))));
        // What was refunded in all; told twice, and late.
        for (refunded, expected) in [(1_000, "40.00"), (1_000, "40.00"), (500, "40.00"), (5_000, "0.00")] {
            let refunded = MinorUnits::new(refunded);
            ledger.refund_stripe_session(&session().await, refunded, later(2)).await.expect("taken back");
            assert_eq!(granted().await, expected);
        }
        // Somebody who looked before the others takes the same step, and it counts once.
        ledger.refund_stripe_session(&paid, MinorUnits::new(1_000), later(3)).await.expect("taken back before");
        assert_eq!(granted().await, "0.00");
        let error = ledger.refund_stripe_session(&session().await, MinorUnits::new(5_001), later(3)).await;
        assert!(matches!(error, Err(LedgerError::StripeConflict { .. })));
        ledger.add_stripe_session(("cs_2", acme.id), (SessionKind::Card, None), NOW).await.expect("kept");
        let card = ledger.stripe_session("cs_2").await.expect("read").expect("there");
        assert_eq!(ledger.complete_stripe_session(&card, None, later(4)).await.expect("noted"), None);
        for (kind, amount) in [(SessionKind::Card, amount), (SessionKind::TopUp, None)] {
            assert!(ledger.add_stripe_session(("cs_3", acme.id), (kind, amount), NOW).await.is_err(), "{kind:?}");
        }
    }

    async fn sql_keeps_what_is_at_stripe(database: &Database) {
        let ledger = &database.ledger;
        let acme = linked(ledger, "acme").await;
        ledger.note_stripe_customer(acme.id, "cus_1").await.expect("noted");
        let number = owed(ledger, &acme).await;
        ledger.note_stripe_invoice((&number, acme.id), "in_1", NOW).await.expect("noted");
        ledger.add_stripe_session(("cs_1", acme.id), (SessionKind::TopUp, Some(MinorUnits::new(1))), NOW).await.expect("kept");
        let event = StripeEvent { id: "evt_1", kind: "x", object_id: "y", made_at: NOW };
        ledger.note_stripe_event(&event, None, NOW).await.expect("noted");
        take(ledger, StepKind::Customer, None, later(1)).await;
        let rows = [
            ("UPDATE stripe_tenants SET customer_id = 'cus_2'", "never changes"),
            ("DELETE FROM stripe_tenants", "never deleted"),
            ("UPDATE stripe_steps SET idempotency_key = 'x' WHERE kind = 'invoice'", "never changes"),
            ("UPDATE stripe_steps SET generation = generation - 1 WHERE kind = 'invoice'", "never changes"),
            ("UPDATE stripe_steps SET state = 'pending', ended_unix_us = NULL WHERE kind = 'customer'", "stays done"),
            ("DELETE FROM stripe_steps", "never deleted"),
            ("UPDATE stripe_objects SET stripe_id = 'in_2'", "never changes"),
            ("DELETE FROM stripe_objects", "never changes"),
            ("UPDATE stripe_sessions SET amount_minor = 2", "never changes"),
            ("DELETE FROM stripe_sessions", "never deleted"),
            ("UPDATE stripe_events SET kind = 'z'", "never changes"),
            ("DELETE FROM stripe_events", "never changes"),
        ];
        for (statement, reason) in rows {
            let error = database.raw(statement).await.expect_err(statement).to_string();
            assert!(error.contains(reason), "{statement}: {error}");
        }
    }
}

/// What was changed of links, steps and pages, newest first.
async fn audited(ledger: &Ledger) -> Vec<String> {
    let entries = ledger.audit_page(&AuditQuestion::default(), 100).await.expect("read");
    let of_stripe = entries.into_iter().filter(|entry| entry.action.starts_with("stripe_"));
    of_stripe
        .map(|entry| {
            assert_eq!(entry.actor, "anna", "{entry:?}");
            entry.action
        })
        .collect()
}

/// All that a tenant was given.
async fn balance(ledger: &Ledger, tenant: TenantId) -> String {
    ledger.balance(tenant).await.expect("read").granted.to_string()
}
