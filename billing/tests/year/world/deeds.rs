//! What tenants and operators do on a day; each deed is told to the auditor once it is done.
//! Never a deed that the rules refuse: the auditor's own calendar says who may do what.
//! Drawn and run by the world.

use billing::ledger::{BillingMode, Limits, NewTenant, TenantTerms};

use super::{
    CURRENCIES, Client, DAY_US, PLANS, World, ZONES, failed,
    plans::{self, Wanted},
    usage::{self, Request},
};
use crate::{
    act::{Act, Instant},
    auditor::{Finding, calendar},
    dice::Dice,
};

/// Something that is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Deed {
    Arrive,
    Use,
    Ship,
    Issue,
    Threshold,
    Look,
    Pay,
    Void,
    WriteOff,
    Credit,
    Publish,
    Plan,
    Start,
    TrialUntil,
    Pause,
    Resume,
    CancelNow,
    CancelAtEnd,
    Grant,
    TakeBack,
    Terms,
    Billing,
    Issuer,
}

/// How many of a thousand days of a tenant have each.
const OFTEN: [(Deed, u64); 20] = [
    (Deed::Ship, 700),
    (Deed::Issue, 400),
    (Deed::Threshold, 250),
    (Deed::Look, 60),
    (Deed::Pay, 120),
    (Deed::Void, 15),
    (Deed::WriteOff, 5),
    (Deed::Credit, 40),
    (Deed::Publish, 15),
    (Deed::Plan, 25),
    (Deed::Start, 120),
    (Deed::TrialUntil, 60),
    (Deed::Pause, 25),
    (Deed::Resume, 200),
    (Deed::CancelNow, 8),
    (Deed::CancelAtEnd, 8),
    (Deed::Grant, 45),
    (Deed::TakeBack, 8),
    (Deed::Terms, 8),
    (Deed::Billing, 60),
];

impl Deed {
    pub(super) fn of_day(dice: &mut Dice, requests: u64) -> Vec<Self> {
        let mut deeds = vec![Self::Use; usize::try_from(dice.below(requests + 1)).expect("few")];
        deeds.extend(OFTEN.into_iter().filter(|(_, often)| dice.is_one_of(*often)).map(|(deed, _)| deed));
        if dice.is_one_of(5) {
            deeds.push(Self::Issuer);
        }
        deeds
    }
}

impl World {
    pub(super) async fn act(&mut self, client: usize, deed: Deed) -> Result<(), Finding> {
        match deed {
            Deed::Arrive => self.arrive(client).await,
            Deed::Use => {
                self.request(client);
                Ok(())
            }
            Deed::Ship => {
                let journal = self.dice.index(self.journals.len());
                self.write_late();
                self.ship(journal, false).await
            }
            Deed::Issue => self.issue(client, false).await,
            Deed::Threshold => self.threshold(client).await,
            Deed::Look => self.look(client, false).await,
            Deed::Pay => self.pay(client).await,
            Deed::Void => self.void(client).await,
            Deed::WriteOff => self.write_off(client).await,
            Deed::Credit => self.credit(client).await,
            Deed::Publish => {
                let plan = self.some_plan(client);
                self.publish(&plan, true).await
            }
            Deed::Plan => self.plan(client).await,
            Deed::Start
            | Deed::TrialUntil
            | Deed::Pause
            | Deed::Resume
            | Deed::CancelNow
            | Deed::CancelAtEnd => self.subscribe(client, deed).await,
            Deed::Grant => self.grant(client).await,
            Deed::TakeBack => self.take_back(client).await,
            Deed::Terms => self.terms(client).await,
            Deed::Billing => self.billing(client).await,
            Deed::Issuer => self.issuer().await,
        }
    }

    fn some_plan(&mut self, client: usize) -> String {
        let currency = self.clients[client].tenant.currency.to_string().to_lowercase();
        format!("{currency}-{}", self.dice.pick(&PLANS))
    }

    pub(super) async fn publish(&mut self, name: &str, is_later: bool) -> Result<(), Finding> {
        let version = self.versions.entry(name.to_owned()).or_default();
        *version += 1;
        let version = *version;
        let day = jiff::Timestamp::from_microsecond(self.now).expect("an instant");
        let day = day.to_zoned_datetime(jiff::tz::TimeZone::UTC).date();
        let effective = match is_later && self.dice.is_one_of(600) {
            true => Some(calendar::days_after(day, u32::try_from(self.dice.below(20)).expect("few"))),
            false => None,
        };
        let plan = plans::plan(&mut self.dice, &Wanted { name, version, effective });
        let now = self.clock();
        let published = self.ask(|ledger| {
            let plan = plan.clone();
            async move { ledger.publish_plan(&plan, now).await }
        });
        published.await.map_err(failed("publishing"))?;
        self.hear(&Act::Publish { text: plan.source().to_owned(), at: self.now });
        self.plans.insert(plan.id().to_string(), plan);
        Ok(())
    }

    async fn arrive(&mut self, client: usize) -> Result<(), Finding> {
        let (zone, now) = (*self.dice.pick(&ZONES), self.clock());
        let plan = format!("{}-{}", self.dice.pick(&CURRENCIES), self.dice.pick(&PLANS));
        let name = format!("tenant-{client}");
        let billing = if self.dice.is_one_of(200) { BillingMode::Prepaid } else { BillingMode::Postpaid };
        let terms = TenantTerms { billing, ..TenantTerms::default() };
        let made = self.ask(|ledger| {
            let (name, plan) = (name.clone(), plan.clone());
            async move {
                let new = NewTenant { name: &name, plan_name: &plan, zone, limits: Limits::default(), terms };
                match ledger.find_tenant(&name).await? {
                    Some(tenant) => Ok(tenant),
                    None => ledger.create_tenant(&new, now).await,
                }
            }
        });
        let tenant = made.await.map_err(failed("making a tenant"))?;
        let (id, zone) = (tenant.id, zone.to_owned());
        self.hear(&Act::Tenant { tenant: id, zone, plan, at: self.now });
        self.clients.push(Client { tenant, next_start: None });
        Ok(())
    }

    /// When a request began and ended: a while ago, or at the very instant at which something else does.
    fn while_ago(&mut self, client: usize) -> (Instant, Instant) {
        let person = self.auditor.known.person(self.clients[client].tenant.id);
        let recent = |at: &Instant| (self.now - 3 * DAY_US..self.now).contains(at);
        let turns: Vec<Instant> =
            [calendar::period_at(person, self.now).start].into_iter().filter(recent).collect();
        let ends: Vec<Instant> = person.book.expiries().filter(recent).collect();
        let mut ended = self.now;
        if !turns.is_empty() && self.dice.is_one_of(100) {
            ended = self.dice.pick(&turns) - self.dice.span(2);
        }
        let began = ended - self.dice.span(3_600_000_000);
        if !ends.is_empty() && self.dice.is_one_of(400) {
            // A grant does not pay for what begins with its end.
            let end = *self.dice.pick(&ends);
            return (end.min(ended) - self.dice.span(2), ended);
        }
        (began, ended)
    }

    /// A request of now, under the plan that was in force when it began.
    fn request(&mut self, client: usize) {
        let tenant = self.clients[client].tenant.id;
        let (began, ended) = self.while_ago(client);
        let known = &self.auditor.known;
        let person = known.person(tenant);
        if began < person.created || !calendar::is_served(person, began) {
            return;
        }
        let paper = calendar::in_force(known, tenant, began).expect("a plan from the first day on");
        let models = ["alpha", "beta", "gamma"];
        let for_sale: Vec<_> = models.into_iter().filter(|model| paper.is_for_sale(model)).collect();
        if for_sale.is_empty() {
            return;
        }
        let model = *self.dice.pick(&for_sale);
        let plan = &self.plans[&paper.id()];
        let record = usage::record(&mut self.dice, &Request { tenant, plan, model, began, ended });
        if self.dice.is_one_of(60) {
            let wait = self.dice.span(50) * DAY_US;
            self.late.push((self.now + wait, record));
        } else {
            let journal = self.dice.index(self.journals.len());
            self.journals[journal].add(record);
        }
    }

    async fn plan(&mut self, client: usize) -> Result<(), Finding> {
        let (plan, now) = (self.some_plan(client), self.clock());
        let tenant = self.clients[client].tenant.id;
        if self.is_at_start(client) {
            return Ok(());
        }
        let changed = self.ask(|ledger| {
            let plan = plan.clone();
            async move { ledger.change_plan(tenant, &plan, now).await }
        });
        self.clients[client].tenant = changed.await.map_err(failed("changing the plan"))?;
        self.hear(&Act::Plan { tenant, plan, at: self.now });
        Ok(())
    }
}
