//! A ledger, an account at Stripe, and what works between them, at a time that a test says.
//! Never a webhook on its way: what Stripe told is handed over by the test, in the order it wants.
//! Used by the tests beside it.

use std::collections::BTreeSet;

use billing::{
    invoice,
    ledger::{
        Collection, InvoiceStanding, Ledger, Limits, NewTenant, Party, StepState, StripeStep, Tenant,
        TenantBilling, TenantTerms,
    },
    plan::Plan,
    reconcile::Report,
};
use domain::{Period, Timestamp};
use gateway::{
    config::{self, Secret},
    stripe::{self, PageFor, Stripe},
};
use serde_json::{Value, json};
use tempfile::TempDir;
use tests::harness::{FakeStripe, stripe::Visit};

/// 2001-01-01: before every month that is billed here.
pub(crate) const LONG_AGO: Timestamp = Timestamp::from_unix_micros(978_307_200_000_000);
const SECOND_US: i64 = 1_000_000;
pub(crate) const HOUR: i64 = 3_600;
pub(crate) const DAY: i64 = 24 * HOUR;
/// Turns after which everything has come to its end, or never will.
const TURNS_MAX: usize = 200;

pub(crate) struct World {
    pub(crate) fake: FakeStripe,
    pub(crate) ledger: Ledger,
    pub(crate) stripe: Stripe,
    pub(crate) now: Timestamp,
    heard: BTreeSet<String>,
    months: u32,
    _folder: TempDir,
}

pub(crate) fn settings(fake: &FakeStripe) -> config::Stripe {
    config::Stripe {
        secret_key: Some(Secret::Value(fake.secret_key().to_owned())),
        webhook_secrets: vec![Secret::Value("whsec_test".to_owned())],
        api_url: Some(fake.origin()),
        calls_per_second: 100,
        return_url: Some("https://example.com/back".to_owned()),
        ..config::Stripe::default()
    }
}

impl World {
    pub(crate) async fn new() -> Self {
        Self::with(|_| {}).await
    }

    pub(crate) async fn with(change: impl FnOnce(&mut config::Stripe)) -> Self {
        let fake = FakeStripe::start().await.expect("a fake");
        let folder = tempfile::tempdir().expect("a folder");
        let url = format!("sqlite://{}", folder.path().join("ledger.sqlite").display());
        let ledger = Ledger::connect(&url).await.expect("a ledger");
        let mut settings = settings(&fake);
        change(&mut settings);
        let stripe = Stripe::new(&settings, &ledger).expect("settings").expect("an account");
        Self { fake, ledger, stripe, now: now(), heard: BTreeSet::new(), months: 0, _folder: folder }
    }

    /// The same with another configuration.
    pub(crate) fn configured(mut self, change: impl FnOnce(&mut config::Stripe)) -> Self {
        let mut settings = settings(&self.fake);
        change(&mut settings);
        self.stripe = Stripe::new(&settings, &self.ledger).expect("settings").expect("an account");
        self
    }

    /// A tenant under a plan of its own, that charges these amounts each month.
    pub(crate) async fn tenant(&self, name: &str, currency: &str, amounts: &[&str]) -> Tenant {
        let mut text = format!("name = \"{name}\"\nversion = 1\ncurrency = \"{currency}\"\n");
        text += "[slo]\nclass = \"standard\"\n[[price]]\nmodel = \"demo\"\n";
        text += "input_per_mtok = \"1\"\noutput_per_mtok = \"1\"\n";
        for (index, amount) in amounts.iter().enumerate() {
            text += &format!("[[charge]]\nname = \"c{index}\"\nscheme = \"flat\"\namount = \"{amount}\"\n");
        }
        let plan = Plan::from_text("plan.toml", &text).expect("a plan");
        self.ledger.publish_plan(&plan, LONG_AGO).await.expect("published");
        let (limits, terms) = (Limits::default(), TenantTerms::default());
        let new = NewTenant { name, plan_name: name, zone: "UTC", limits, terms };
        self.ledger.create_tenant(&new, LONG_AGO).await.expect("a tenant")
    }

    /// A tenant of 10.00 and 2.50 USD a month that is billed through Stripe and has left a card.
    pub(crate) async fn acme(&mut self) -> Tenant {
        let acme = self.tenant("acme", "USD", &["10", "2.5"]).await;
        self.link(&acme, Collection::Charge).await;
        self.leave_card(&acme, "pm_card_visa").await;
        acme
    }

    pub(crate) async fn link(&mut self, tenant: &Tenant, collection: Collection) {
        self.ledger.link_stripe(tenant.id, (collection, None), self.now).await.expect("linked");
        let party = Party {
            legal_name: "Acme AG".to_owned(),
            address: vec!["Marktplatz 1".to_owned(), "Hof".to_owned(), "10115 Berlin".to_owned()],
            country: Some("DE".to_owned()),
            email: Some("billing@example.com".to_owned()),
            ..Party::default()
        };
        let billing = TenantBilling { party, ..TenantBilling::default() };
        self.ledger.set_tenant_billing(tenant.id, &billing).await.expect("set");
        // Set by the database's clock, which is not ours.
        self.now = self.now.max(later(now(), 1));
        self.settle().await;
    }

    pub(crate) async fn leave_card(&mut self, tenant: &Tenant, card: &str) {
        let made = self.stripe.make_page(&self.ledger, (tenant, PageFor::Card), self.now).await;
        let made = made.expect("a page");
        self.fake.visit(&made.id, &Visit::Completes(card.to_owned())).expect("left");
        self.settle().await;
    }

    /// Issues a tenant's next month.
    pub(crate) async fn issue(&mut self, tenant: &Tenant) -> String {
        self.months += 1;
        let period = Period::month(&format!("2002-{:02}", self.months), "UTC").expect("a month");
        let issued = invoice::issue(&self.ledger, tenant, &period, self.now).await.expect("issued");
        issued.number.expect("a number")
    }

    /// Does what is due now, once; says how many steps were taken.
    pub(crate) async fn work(&self) -> usize {
        self.stripe.work(self.now).await.expect("the ledger answers")
    }

    pub(crate) fn pass(&mut self, seconds: i64) {
        self.now = later(self.now, seconds);
        self.fake.advance(std::time::Duration::from_secs(seconds.unsigned_abs()));
    }

    /// What Stripe told and was not handed over yet, the oldest first.
    pub(crate) fn untold(&self) -> Vec<Value> {
        let events = self.fake.objects("event").into_iter();
        events.filter(|event| !self.heard.contains(event["id"].as_str().unwrap_or_default())).collect()
    }

    /// Hands over what Stripe told; says how much of it was new.
    pub(crate) async fn hear(&mut self, events: &[Value]) -> usize {
        let mut new = 0;
        for event in events {
            let body = event.to_string();
            let told = stripe::note(&self.stripe, body.as_bytes(), self.now).await.expect("kept");
            new += usize::from(told.expect("an event") == stripe::Told::New);
            self.heard.insert(event["id"].as_str().unwrap_or_default().to_owned());
        }
        new
    }

    /// Works, hears and lets minutes pass until nothing is left to do for an hour.
    pub(crate) async fn settle(&mut self) {
        let mut idle = 0;
        for _ in 0..TURNS_MAX {
            let untold = self.untold();
            let heard = self.hear(&untold).await;
            match self.work().await + heard {
                0 => idle += 1,
                _ => idle = 0,
            }
            if idle > 12 {
                return;
            }
            self.now = later(self.now, 300);
        }
        panic!("it does not come to an end: {:?}", self.steps(StepState::Pending).await);
    }

    pub(crate) async fn steps(&self, state: StepState) -> Vec<StripeStep> {
        self.ledger.stripe_steps_page(Some(state), None, 1_000).await.expect("read")
    }

    /// Why somebody has to look; nothing where nobody has.
    pub(crate) async fn parked(&self) -> Vec<String> {
        self.steps(StepState::Parked).await.into_iter().map(|step| step.outcome).collect()
    }

    pub(crate) async fn standing(&self, number: &str) -> InvoiceStanding {
        self.ledger.invoice_standing(number, self.now).await.expect("read").expect("there")
    }

    /// The one invoice at Stripe that has this number.
    pub(crate) fn theirs(&self, number: &str) -> Value {
        let found = self.fake.objects_with("invoice", "tallygate_number", number);
        assert_eq!(found.len(), 1, "exactly one invoice for {number}");
        found.into_iter().next().unwrap_or_default()
    }

    pub(crate) fn customer_of(&self, tenant: &Tenant) -> Value {
        let found = self.fake.objects_with("customer", "tallygate_tenant", &tenant.id.to_string());
        assert_eq!(found.len(), 1, "exactly one customer");
        found.into_iter().next().unwrap_or_default()
    }

    /// Changes something at Stripe, as somebody in its dashboard does.
    pub(crate) async fn at_stripe(&self, path: &str, form: &[(&str, &str)]) -> Value {
        let client = reqwest::Client::builder().no_proxy().build().expect("a client");
        let body: Vec<_> = form.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let asked = client
            .post(format!("{}/v1{path}", self.fake.origin()))
            .bearer_auth(self.fake.secret_key())
            .header("content-type", "application/x-www-form-urlencoded")
            .body(body.join("&"));
        let answer: Value = asked.send().await.expect("an answer").json().await.expect("JSON");
        assert!(answer["error"].is_null(), "{answer}");
        answer
    }

    /// The differences to Stripe, and how many invoices were compared.
    pub(crate) async fn reconcile(&self, tenant: &Tenant) -> (Vec<String>, u64) {
        let mut report = Report::default();
        self.stripe.reconcile(&mut report, (tenant, None), self.now).await.expect("compared");
        (report.findings.iter().map(ToString::to_string).collect(), report.compared[5])
    }
}

fn now() -> Timestamp {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970");
    Timestamp::from_unix_micros(i64::try_from(since.as_micros()).expect("a time"))
}

pub(crate) fn later(at: Timestamp, seconds: i64) -> Timestamp {
    Timestamp::from_unix_micros(at.unix_micros() + seconds * SECOND_US)
}

/// What a list of objects says of one field.
pub(crate) fn all(objects: &[Value], field: &str) -> Value {
    json!(objects.iter().map(|object| object[field].clone()).collect::<Vec<_>>())
}
