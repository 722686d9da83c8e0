//! Subscriptions of the world: begun, on trial, paused, resumed, cancelled, as the calendar lets them.
//! Never a change that does not fit how things stand.
//! Run by `deeds`.

use billing::{
    ledger::{NewSubscription, SubscriptionChange},
    subscription::Cycle,
};

use super::{World, deeds::Deed, failed};
use crate::{
    act::Act,
    auditor::{
        Finding,
        calendar::{self, Span},
    },
};

impl World {
    fn period(&self, client: usize) -> Span {
        calendar::period_at(self.auditor.known.person(self.clients[client].tenant.id), self.now)
    }

    /// Nothing counts from the very first instant of a period.
    pub(super) fn is_at_start(&self, client: usize) -> bool {
        self.period(client).start == self.now
    }

    pub(super) async fn subscribe(&mut self, client: usize, deed: Deed) -> Result<(), Finding> {
        let Some((change, act)) = self.subscription_change(client, deed) else { return Ok(()) };
        let (tenant, now) = (self.clients[client].tenant.clone(), self.clock());
        let before =
            self.ledger.subscription(&tenant, now).await.map_err(failed("reading a subscription"))?.term;
        if self.dice.is_one_of(self.size.crashes_per_mille * 3) {
            let ledger = self.ledger.clone();
            self.crash(async move { ledger.change_subscription(tenant.id, &change, now).await }).await;
        }
        let tenant = self.clients[client].tenant.clone();
        let after =
            self.ledger.subscription(&tenant, now).await.map_err(failed("reading a subscription"))?.term;
        // What was done before the crash is not done again.
        if after == before {
            let changed = self.ledger.change_subscription(tenant.id, &change, now).await;
            changed.map_err(failed("changing a subscription"))?;
        }
        self.hear(&act);
        Ok(())
    }

    /// A change that fits how things stand.
    fn subscription_change(&mut self, client: usize, deed: Deed) -> Option<(SubscriptionChange, Act)> {
        let (tenant, at) = (self.clients[client].tenant.id, self.now);
        let person = self.auditor.known.person(tenant);
        let zone = person.zone.clone();
        let running = calendar::term_at(person, at).cloned();
        let today = calendar::day_of(at, &zone);
        let is_planned = person.terms.last().is_some_and(|term| at < term.start);
        let last_end = person.terms.last().map(|term| term.end);
        let is_paused = running.as_ref().is_some_and(|term| calendar::is_paused(term, at));
        let is_trial = self.period(client).kind == "trial";
        if self.is_at_start(client) {
            return None;
        }
        match (deed, running) {
            (Deed::Start, None) if !is_planned => {
                let day = calendar::days_after(today, u32::try_from(self.dice.below(9)).expect("few"));
                let day = if self.dice.is_one_of(400) { today } else { day };
                // Days that not every month has.
                let last = (0..31).map(|days| calendar::days_after(today, days)).find(|day| day.day() == 31);
                let day = last.filter(|_| self.dice.is_one_of(250)).unwrap_or(day);
                // Another one begins where the last one is over.
                if last_end.is_some_and(|end| end.is_none_or(|end| calendar::midnight(day, &zone) < end)) {
                    return None;
                }
                let is_anniversary = self.dice.is_one_of(500);
                let trial_days =
                    self.dice.is_one_of(300).then(|| u32::try_from(self.dice.below(20)).expect("few"));
                let cycle = if is_anniversary { Cycle::Anniversary } else { Cycle::Calendar };
                let new = NewSubscription { cycle, day: Some(day), trial_days };
                Some((
                    SubscriptionChange::Start(new),
                    Act::Start { tenant, day, is_anniversary, trial_days, at },
                ))
            }
            (Deed::TrialUntil, Some(term)) if is_trial && term.end.is_none() => {
                let day = calendar::days_after(today, 1 + u32::try_from(self.dice.below(30)).expect("few"));
                Some((SubscriptionChange::TrialUntil(day), Act::TrialUntil { tenant, day, at }))
            }
            (Deed::Pause, Some(_)) if !is_paused => {
                Some((SubscriptionChange::Pause, Act::Pause { tenant, at }))
            }
            (Deed::Resume, Some(_)) if is_paused => {
                Some((SubscriptionChange::Resume, Act::Resume { tenant, at }))
            }
            (Deed::CancelNow, Some(_)) => {
                Some((SubscriptionChange::CancelNow, Act::Cancel { tenant, is_at_once: true, at }))
            }
            (Deed::CancelAtEnd, Some(term)) if term.end.is_none() => {
                Some((SubscriptionChange::CancelAtPeriodEnd, Act::Cancel { tenant, is_at_once: false, at }))
            }
            _ => None,
        }
    }
}
