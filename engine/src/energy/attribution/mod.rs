//! Splits each window of the meter over the sequences that ran in it and an idle bucket.
//! Never a float, and never a millijoule lost: largest remainders get what division leaves.
//! Fed by the engine's thread with steps; asked for a sequence's share when it ends.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use domain::{EnergySource, Millijoules};

use super::{Elapsed, Meter};
use crate::{config::EnergyConfig, schedule::SequenceId};

/// A window is closed at the latest after this long, so that status and long answers keep up.
pub(crate) const WINDOW_MAX: Duration = Duration::from_millis(100);

/// What the meter showed so far and where it went. `meter = requests + idle`, always.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct EnergyTotals {
    pub(crate) meter: Millijoules,
    pub(crate) requests: Millijoules,
    pub(crate) idle: Millijoules,
}

/// The meter, the open window and every running sequence's account.
pub(crate) struct Attribution {
    meter: Box<dyn Meter>,
    /// Weight of a nanosecond of work, and of one of rest.
    busy_weight: u128,
    idle_weight: u128,
    opened_at: Instant,
    elapsed: Elapsed,
    /// Since the window was opened: how long steps ran for each sequence.
    work: BTreeMap<SequenceId, Duration>,
    window_opened: Elapsed,
    accounts: BTreeMap<SequenceId, u64>,
    meter_last: u64,
    requests: u64,
    idle: u64,
    is_meter_broken: bool,
}

impl Attribution {
    /// Starts counting at `now`.
    pub(crate) fn new(meter: Box<dyn Meter>, config: EnergyConfig, now: Instant) -> Self {
        Self {
            meter,
            busy_weight: u128::from(config.busy_milliwatts.max(1)),
            idle_weight: u128::from(config.idle_milliwatts),
            opened_at: now,
            elapsed: Elapsed::default(),
            work: BTreeMap::new(),
            window_opened: Elapsed::default(),
            accounts: BTreeMap::new(),
            meter_last: 0,
            requests: 0,
            idle: 0,
            is_meter_broken: false,
        }
    }

    /// Where the figures come from.
    pub(crate) fn source(&self) -> EnergySource {
        self.meter.source()
    }

    /// Notes a step of length `took` that computed these many tokens for these sequences.
    pub(crate) fn ran(&mut self, took: Duration, tokens: &[(SequenceId, usize)]) {
        self.elapsed.busy += took;
        let total: u128 = tokens.iter().map(|(_, tokens)| *tokens as u128).sum();
        for (id, tokens) in tokens {
            let nanos = (took.as_nanos() * *tokens as u128).checked_div(total).unwrap_or(0);
            let share = Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX));
            *self.work.entry(*id).or_default() += share;
        }
    }

    /// The open window is old enough to be closed.
    pub(crate) fn is_due(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.opened_at) >= self.window_opened.total + WINDOW_MAX
    }

    /// Reads the meter and splits what it grew by since the last window.
    pub(crate) fn close_window(&mut self, now: Instant) {
        self.elapsed.total = now.saturating_duration_since(self.opened_at);
        let reading = self.meter.read(self.elapsed);
        let grown = match reading {
            Ok(reading) => {
                let grown = reading.saturating_sub(self.meter_last);
                self.meter_last = self.meter_last.max(reading);
                grown
            }
            Err(error) => {
                self.report_broken(&error);
                0
            }
        };
        let passed = self.elapsed.total.saturating_sub(self.window_opened.total);
        let busy: Duration = self.work.values().sum();
        let idle = passed.saturating_sub(busy);
        let mut weights: Vec<u128> =
            self.work.values().map(|work| work.as_nanos() * self.busy_weight).collect();
        weights.push(idle.as_nanos() * self.idle_weight);
        let mut shares = split(grown, &weights);
        // The idle bucket is last; alone it takes everything, also from a window of no length.
        self.idle += shares.pop().unwrap_or(0);
        for (id, share) in std::mem::take(&mut self.work).into_keys().zip(shares) {
            self.requests += share;
            *self.accounts.entry(id).or_default() += share;
        }
        self.window_opened = self.elapsed;
    }

    /// A sequence's energy so far, in closed windows; its account is closed too.
    pub(crate) fn take(&mut self, id: SequenceId) -> Millijoules {
        Millijoules::new(self.accounts.remove(&id).unwrap_or(0))
    }

    /// The sums over all closed windows.
    pub(crate) fn totals(&self) -> EnergyTotals {
        EnergyTotals {
            meter: Millijoules::new(self.meter_last),
            requests: Millijoules::new(self.requests),
            idle: Millijoules::new(self.idle),
        }
    }

    fn report_broken(&mut self, error: &super::EnergyError) {
        if !self.is_meter_broken {
            self.is_meter_broken = true;
            tracing::error!(%error, "the energy meter cannot be read; energy stands still until it can");
        }
    }
}

/// Splits a whole by weights into integers that sum to it: rounded down, then one more for the largest
/// remainders, the first of equals. Without any weight the last part takes all.
pub(crate) fn split(whole: u64, weights: &[u128]) -> Vec<u64> {
    let mut parts = vec![0_u64; weights.len()];
    let Some(last) = parts.last_mut() else { return parts };
    let scaled = scale_down(weights);
    let total: u128 = scaled.iter().sum();
    if total == 0 {
        *last = whole;
        return parts;
    }
    let mut remainders: Vec<(u128, usize)> = Vec::with_capacity(parts.len());
    let mut left = whole;
    for (index, weight) in scaled.iter().enumerate() {
        let product = u128::from(whole) * weight;
        let part = u64::try_from(product / total).unwrap_or(whole);
        parts[index] = part;
        left -= part;
        remainders.push((product % total, index));
    }
    remainders.sort_unstable_by(|a, b| b.0.cmp(&a.0).then(a.1.cmp(&b.1)));
    for (_, index) in remainders {
        if left == 0 {
            break;
        }
        parts[index] += 1;
        left -= 1;
    }
    parts
}

/// Weights small enough that their sum times a `u64` fits in a `u128`; ratios change by less than 2⁻⁴⁰.
fn scale_down(weights: &[u128]) -> Vec<u128> {
    let total = weights.iter().fold(0_u128, |sum, weight| sum.saturating_add(*weight));
    let shift = 64_u32.saturating_sub(total.leading_zeros());
    weights.iter().map(|weight| weight >> shift).collect()
}

#[cfg(test)]
mod tests;
