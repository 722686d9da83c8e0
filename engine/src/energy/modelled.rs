//! A meter without a device: declared power at rest and at work, times measured time.
//! Never a measurement; its source is named `modelled` wherever the figure goes.
//! Opened by `open_meter` when no counter can be read.

use domain::EnergySource;

use super::{Elapsed, EnergyError, Meter};

/// Milliwatts times microseconds are nanojoules; this many are a millijoule.
const NANOJOULES_PER_MILLIJOULE: u128 = 1_000_000;

/// Declared power × time.
#[derive(Debug)]
pub(crate) struct ModelledMeter {
    busy_milliwatts: u64,
    idle_milliwatts: u64,
    millijoules: u64,
}

impl ModelledMeter {
    pub(crate) fn new(busy_milliwatts: u64, idle_milliwatts: u64) -> Self {
        Self { busy_milliwatts, idle_milliwatts, millijoules: 0 }
    }
}

impl Meter for ModelledMeter {
    fn read(&mut self, elapsed: Elapsed) -> Result<u64, EnergyError> {
        let above_idle = self.busy_milliwatts.saturating_sub(self.idle_milliwatts);
        let busy = elapsed.busy.min(elapsed.total);
        let rest = u128::from(self.idle_milliwatts) * elapsed.total.as_micros();
        let work = u128::from(above_idle) * busy.as_micros();
        let millijoules = (rest + work) / NANOJOULES_PER_MILLIJOULE;
        // The sum is cumulative and rounded down once, so differences of readings lose nothing.
        self.millijoules = self.millijoules.max(u64::try_from(millijoules).unwrap_or(u64::MAX));
        Ok(self.millijoules)
    }

    fn source(&self) -> EnergySource {
        EnergySource::Modelled
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn power_times_time() {
        // busy W, idle W, total ms, busy ms → mJ
        let rows = [
            (10, 2, 0, 0, 0),
            (10, 2, 1_000, 0, 2_000),
            (10, 2, 1_000, 1_000, 10_000),
            (10, 2, 1_000, 500, 6_000),
        ];
        for (busy, idle, total_ms, busy_ms, expected) in rows {
            let mut meter = ModelledMeter::new(busy * 1_000, idle * 1_000);
            let elapsed =
                Elapsed { total: Duration::from_millis(total_ms), busy: Duration::from_millis(busy_ms) };
            assert_eq!(meter.read(elapsed).expect("a model is always readable"), expected);
        }
    }

    #[test]
    fn small_readings_add_up_without_loss() {
        let mut meter = ModelledMeter::new(333, 1);
        let mut last = 0;
        for step in 1..=10_000_u64 {
            let total = Duration::from_micros(step * 10);
            let now = meter.read(Elapsed { total, busy: total }).expect("readable");
            assert!(now >= last);
            last = now;
        }
        assert_eq!(last, 33, "333 mW for 0.1 s");
    }
}
