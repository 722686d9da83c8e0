//! Which latency class a request gets, and whether it can be met now.
//! Never a clock and never a queue: promise, wish and forecast are arguments.
//! Called by `admit` before anything is taken from a limit.

use std::time::Duration;

use domain::{Micros, Slo, SloClass, Tokens};
use engine::Forecast;

/// Nobody is asked to come back later than this, however long the queue: it moves in less.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(120);

/// Nobody is asked to come back sooner than this: a hundredth of a queue has hardly moved in less.
const RETRY_AFTER_MIN: Duration = Duration::from_millis(100);

/// What a request wishes for; nothing means what its plan promises.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SloWish {
    /// Another class.
    pub class: Option<SloClass>,
    /// Another target for the first token.
    pub ttft: Option<Micros>,
    /// Another target for the gap between tokens.
    pub tpot: Option<Micros>,
}

impl SloWish {
    /// The class that a `service_tier` names, in the words of either dialect or by the class's own name.
    ///
    /// Errors: a name that is none of them. `Ok(None)`: what the plan promises.
    pub fn class_of_tier(tier: &str) -> Result<Option<SloClass>, UnknownTier> {
        match tier {
            "auto" | "default" | "standard_only" => Ok(None),
            // Two of OpenAI's words mean the same.
            "priority" | "fast" => Ok(Some(SloClass::Interactive)),
            "flex" => Ok(Some(SloClass::Batch)),
            name => name.parse().map(Some).map_err(|_| UnknownTier),
        }
    }
}

/// A `service_tier` that names no class.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be auto, default, priority, flex, interactive, standard or batch")]
pub struct UnknownTier;

/// What a tenant was promised, and what its requests may change about it.
#[derive(Clone, Copy, Debug)]
pub struct Promise {
    /// The plan's class and targets.
    pub plan: Slo,
    /// The key's own class, where it has one; only a looser one counts.
    pub key_class: Option<SloClass>,
    /// Requests may ask for more than the plan promises.
    pub allows_stricter: bool,
    /// Requests may be served in a looser class when theirs cannot be met.
    pub allows_downgrade: bool,
}

/// A wish for more than was promised.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TooStrict {
    /// A class that demands more than the plan's.
    #[error("the class {wished} is stricter than yours, {promised}")]
    Class {
        /// What was asked for.
        wished: SloClass,
        /// What applies.
        promised: SloClass,
    },
    /// A first token sooner than the plan promises.
    #[error("a first token within {} ms is stricter than your plan promises", millis(.0))]
    Ttft(Micros),
    /// Tokens faster than the plan promises.
    #[error("{} ms between tokens is stricter than your plan promises", millis(.0))]
    Tpot(Micros),
}

fn millis(span: &Micros) -> u64 {
    span.get() / 1_000
}

/// What to do with a request whose class cannot be met now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WhenLate {
    /// Say so at once, and when to come back.
    #[default]
    Refuse,
    /// Serve it all the same; its tokens come late and the plan's credit applies.
    Serve,
}

/// The class and targets that a request runs under, and is billed under.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Served {
    /// What applies.
    pub slo: Slo,
    /// The class it would have had, when that could not be met now.
    pub downgraded_from: Option<SloClass>,
}

/// The class cannot be met now, and no looser one is allowed or can be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unattainable {
    /// Which class.
    pub class: SloClass,
    /// When the queue will have moved on enough.
    pub retry_after: Duration,
}

impl Promise {
    /// The class and targets that a request with this wish is to get.
    ///
    /// Errors: it wishes for more than it may.
    pub fn grant(&self, wish: &SloWish) -> Result<Slo, TooStrict> {
        let base = match self.key_class {
            Some(class) if class > self.plan.class => self.of_class(class),
            Some(_) | None => self.plan,
        };
        let mut slo = match wish.class {
            Some(wished) if wished < base.class && !self.allows_stricter => {
                return Err(TooStrict::Class { wished, promised: base.class });
            }
            Some(wished) if wished != base.class => self.of_class(wished),
            Some(_) | None => base,
        };
        if let Some(ttft) = wish.ttft {
            if !self.allows_stricter && slo.ttft.is_none_or(|promised| ttft < promised) {
                return Err(TooStrict::Ttft(ttft));
            }
            slo.ttft = Some(ttft);
        }
        if let Some(tpot) = wish.tpot {
            if !self.allows_stricter && slo.tpot.is_none_or(|promised| tpot < promised) {
                return Err(TooStrict::Tpot(tpot));
            }
            slo.tpot = Some(tpot);
        }
        Ok(slo)
    }

    /// The targets of a class under this plan: its own for its own class, else those every class starts from.
    fn of_class(&self, class: SloClass) -> Slo {
        match class == self.plan.class {
            true => self.plan,
            false => Slo { ttft_per_1k_prompt: self.plan.ttft_per_1k_prompt, ..Slo::of_class(class) },
        }
    }

    /// What a request is served under, as far as the forecast tells.
    ///
    /// Only a queue is a reason to refuse: a target that this device misses without any load would be missed for
    /// ever, so the request is served and its lateness credited. Errors: when to come back.
    pub fn serve(
        &self,
        slo: Slo,
        prompt: Tokens,
        forecast: Option<Forecast>,
        when_late: WhenLate,
    ) -> Result<Served, Unattainable> {
        let as_wished = Served { slo, downgraded_from: None };
        let Some(forecast) = forecast.filter(|_| when_late == WhenLate::Refuse) else { return Ok(as_wished) };
        let can_meet = |slo: &Slo| {
            slo.is_ttft_met(prompt, forecast.ttft) || !slo.is_ttft_met(prompt, forecast.ttft_unloaded)
        };
        if can_meet(&slo) {
            return Ok(as_wished);
        }
        let mut looser = SloClass::ALL.into_iter().filter(|class| *class > slo.class);
        let found = looser.find_map(|class| Some(self.of_class(class)).filter(can_meet));
        if let Some(lower) = found.filter(|_| self.allows_downgrade) {
            return Ok(Served { slo: lower, downgraded_from: Some(slo.class) });
        }
        let target = slo.ttft_target(prompt).unwrap_or(forecast.ttft);
        let wait = Duration::from_micros(forecast.ttft.get().saturating_sub(target.get()));
        let retry_after = wait.clamp(RETRY_AFTER_MIN, RETRY_AFTER_MAX);
        Err(Unattainable { class: slo.class, retry_after })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: fn(u32) -> Micros = Micros::from_millis;

    fn promise(class: SloClass) -> Promise {
        let plan = Slo { ttft_per_1k_prompt: MS(100), ..Slo::of_class(class) };
        Promise { plan, key_class: None, allows_stricter: false, allows_downgrade: false }
    }

    fn wish(class: Option<SloClass>, ttft_ms: Option<u32>, tpot_ms: Option<u32>) -> SloWish {
        SloWish { class, ttft: ttft_ms.map(MS), tpot: tpot_ms.map(MS) }
    }

    #[test]
    fn looser_is_free_and_stricter_is_not() {
        use SloClass::{Batch, Interactive, Standard};
        let standard = promise(Standard);
        // The wish; expected class and targets in ms, or nothing when it is refused.
        let rows = [
            (wish(None, None, None), Some((Standard, Some(2_000), Some(100)))),
            (wish(Some(Standard), None, None), Some((Standard, Some(2_000), Some(100)))),
            (wish(Some(Batch), None, None), Some((Batch, None, None))),
            (wish(Some(Interactive), None, None), None),
            (wish(None, Some(2_000), None), Some((Standard, Some(2_000), Some(100)))),
            (wish(None, Some(9_000), Some(500)), Some((Standard, Some(9_000), Some(500)))),
            (wish(None, Some(1_999), None), None),
            (wish(None, None, Some(99)), None),
            (wish(Some(Batch), Some(60_000), None), None),
        ];
        for (wish, expected) in rows {
            let ms = |target: Option<Micros>| target.map(|target| target.get() / 1_000);
            let found = standard.grant(&wish).ok().map(|slo| (slo.class, ms(slo.ttft), ms(slo.tpot)));
            assert_eq!(found, expected, "{wish:?}");
            let free = Promise { allows_stricter: true, ..standard };
            assert!(free.grant(&wish).is_ok(), "{wish:?}");
        }
    }

    #[test]
    fn a_key_can_only_loosen_its_plan() {
        use SloClass::{Batch, Interactive, Standard};
        let rows =
            [(Standard, Interactive, Standard), (Standard, Standard, Standard), (Standard, Batch, Batch)];
        for (plan, key, expected) in rows {
            let promise = Promise { key_class: Some(key), ..promise(plan) };
            assert_eq!(promise.grant(&SloWish::default()).map(|slo| slo.class), Ok(expected));
        }
        let batch = Promise { key_class: Some(Batch), ..promise(Standard) };
        assert!(
            batch.grant(&wish(Some(Standard), None, None)).is_err(),
            "the key's class is the promise now"
        );
    }

    fn forecast(queue_ms: u32, prefill_ms: u32) -> Option<Forecast> {
        Some(Forecast {
            queue: MS(queue_ms),
            ttft: MS(queue_ms + prefill_ms),
            ttft_unloaded: MS(prefill_ms),
            tpot: MS(10),
        })
    }

    #[test]
    fn a_queue_refuses_and_says_when_to_come_back() {
        let interactive = promise(SloClass::Interactive);
        // Queue ms, prefill ms; expected: milliseconds to wait, or nothing when it is served.
        let rows = [
            (0, 10, None),
            (490, 10, None),
            (491, 10, Some(100)),
            (3_000, 10, Some(2_510)),
            (999_000, 10, Some(120_000)),
            // Without any load it would be late as well.
            (3_000, 501, None),
        ];
        for (queue, prefill, expected) in rows {
            let forecast = forecast(queue, prefill);
            let served = |when| interactive.serve(interactive.plan, Tokens::ZERO, forecast, when);
            let wait = served(WhenLate::Refuse).err().map(|late| late.retry_after.as_millis());
            assert_eq!(wait, expected, "{queue} {prefill}");
            assert!(served(WhenLate::Serve).is_ok());
        }
        assert!(interactive.serve(interactive.plan, Tokens::ZERO, None, WhenLate::Refuse).is_ok());
    }

    #[test]
    fn who_allows_it_is_served_in_the_next_class_that_can_be_met() {
        let allowing = Promise { allows_downgrade: true, ..promise(SloClass::Interactive) };
        for (queue, expected) in
            [(400, None), (1_900, Some(SloClass::Standard)), (9_000, Some(SloClass::Batch))]
        {
            let served = allowing.serve(allowing.plan, Tokens::ZERO, forecast(queue, 10), WhenLate::Refuse);
            let served = served.expect("served");
            let from = expected.map(|_| SloClass::Interactive);
            assert_eq!(
                (served.downgraded_from, served.slo.class),
                (from, expected.unwrap_or(SloClass::Interactive))
            );
        }
    }

    #[test]
    fn tiers_are_read_in_every_dialects_words() {
        let rows = [
            ("auto", Ok(None)),
            ("standard_only", Ok(None)),
            ("priority", Ok(Some(SloClass::Interactive))),
            ("flex", Ok(Some(SloClass::Batch))),
            ("batch", Ok(Some(SloClass::Batch))),
            ("Priority", Err(UnknownTier)),
            ("", Err(UnknownTier)),
        ];
        for (tier, expected) in rows {
            assert_eq!(SloWish::class_of_tier(tier), expected, "{tier}");
        }
    }
}
