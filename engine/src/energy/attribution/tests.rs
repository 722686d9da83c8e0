//! Conservation of energy: whatever runs, ends and stands still, no millijoule is lost or made.
//! Never uses the machine's clock; instants are made by adding to one.
//! Run by `cargo test -p engine`.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use proptest::prelude::*;

use super::*;
use crate::energy::{EnergyError, modelled::ModelledMeter};

/// A counter that tests set, and that fails at `u64::MAX`.
#[derive(Clone, Default)]
struct Dial(Arc<AtomicU64>);

impl Meter for Dial {
    fn read(&mut self, _: Elapsed) -> Result<u64, EnergyError> {
        match self.0.load(Ordering::Relaxed) {
            u64::MAX => Err(EnergyError::NoCounter { root: "dial".into() }),
            reading => Ok(reading),
        }
    }

    fn source(&self) -> EnergySource {
        EnergySource::Rapl
    }
}

fn config(busy: u64, idle: u64) -> EnergyConfig {
    EnergyConfig { source: crate::EnergyChoice::Modelled, busy_milliwatts: busy, idle_milliwatts: idle }
}

fn millis(count: u64) -> Duration {
    Duration::from_millis(count)
}

#[test]
fn wholes_are_split_by_largest_remainder() {
    let rows: [(u64, &[u128], &[u64]); 9] = [
        (10, &[1, 1], &[5, 5]),
        (10, &[1, 1, 1], &[4, 3, 3]),
        (1, &[1, 1, 1], &[1, 0, 0]),
        (7, &[0, 3, 0], &[0, 7, 0]),
        (5, &[1, 2, 3], &[1, 2, 2]),
        (9, &[0, 0], &[0, 9]),
        (0, &[5, 5], &[0, 0]),
        (3, &[u128::MAX, u128::MAX], &[2, 1]),
        (u64::MAX, &[1, 1], &[9_223_372_036_854_775_808, 9_223_372_036_854_775_807]),
    ];
    for (whole, weights, expected) in rows {
        assert_eq!(split(whole, weights), expected, "{whole} by {weights:?}");
    }
    assert_eq!(split(3, &[]), Vec::<u64>::new());
}

#[test]
fn a_window_goes_to_those_that_worked_in_it() {
    let start = Instant::now();
    let dial = Dial::default();
    let (a, b) = (SequenceId(1), SequenceId(2));
    let mut energy = Attribution::new(Box::new(dial.clone()), config(1_000, 0), start);
    energy.ran(millis(30), &[(a, 2), (b, 1)]);
    energy.ran(millis(10), &[(b, 1)]);
    dial.0.store(400, Ordering::Relaxed);
    energy.close_window(start + millis(50));
    assert_eq!((energy.take(a).get(), energy.take(b).get()), (200, 200));
    dial.0.store(450, Ordering::Relaxed);
    energy.close_window(start + millis(60));
    assert_eq!(energy.totals().idle.get(), 50, "nobody worked");
    assert_eq!(energy.take(a).get(), 0, "an account is closed once");
}

#[test]
fn rest_weighs_as_its_power_does() {
    let start = Instant::now();
    let dial = Dial::default();
    let mut energy = Attribution::new(Box::new(dial.clone()), config(40_000, 10_000), start);
    energy.ran(millis(50), &[(SequenceId(1), 1)]);
    dial.0.store(2_500, Ordering::Relaxed);
    energy.close_window(start + millis(100));
    assert_eq!(
        energy.totals(),
        EnergyTotals {
            meter: Millijoules::new(2_500),
            requests: Millijoules::new(2_000),
            idle: Millijoules::new(500),
        }
    );
}

#[test]
fn a_meter_that_cannot_be_read_stands_still_and_catches_up() {
    let start = Instant::now();
    let dial = Dial::default();
    let mut energy = Attribution::new(Box::new(dial.clone()), config(1, 1), start);
    dial.0.store(u64::MAX, Ordering::Relaxed);
    energy.close_window(start + millis(100));
    assert_eq!(energy.totals(), EnergyTotals::default());
    dial.0.store(70, Ordering::Relaxed);
    energy.close_window(start + millis(200));
    assert_eq!(energy.totals().meter.get(), 70);
}

#[test]
fn a_window_is_due_after_its_time() {
    let start = Instant::now();
    let mut energy = Attribution::new(Box::new(Dial::default()), config(1, 1), start);
    assert!(!energy.is_due(start + WINDOW_MAX - millis(1)));
    assert!(energy.is_due(start + WINDOW_MAX));
    energy.close_window(start + WINDOW_MAX);
    assert!(!energy.is_due(start + WINDOW_MAX * 2 - millis(1)));
    assert!(energy.is_due(start + WINDOW_MAX * 2));
}

proptest! {
    #[test]
    fn parts_sum_to_the_whole_and_are_fair(
        whole in any::<u64>(),
        weights in prop::collection::vec(0_u128..1_u128 << 60, 1..20),
    ) {
        let parts = split(whole, &weights);
        prop_assert_eq!(parts.iter().map(|part| u128::from(*part)).sum::<u128>(), u128::from(whole));
        let total: u128 = weights.iter().sum();
        if total > 0 && total < 1 << 64 {
            for (part, weight) in parts.iter().zip(&weights) {
                let floor = u128::from(whole) * weight / total;
                prop_assert!(u128::from(*part) == floor || u128::from(*part) == floor + 1);
                prop_assert!(*weight > 0 || *part == 0);
            }
        }
    }

    /// Steps, pauses, endings and windows in any order, on either kind of meter.
    #[test]
    fn requests_and_idle_sum_to_the_meter(
        is_modelled in any::<bool>(),
        busy in 0_u64..100_000,
        idle in 0_u64..100_000,
        moves in prop::collection::vec((0_u8..4, 0_u64..6, 1_usize..9, 0_u64..50_000, 0_u64..5_000), 1..120),
    ) {
        let start = Instant::now();
        let dial = Dial::default();
        let (busy, idle) = (busy.max(idle), busy.min(idle));
        let meter: Box<dyn Meter> =
            if is_modelled { Box::new(ModelledMeter::new(busy, idle)) } else { Box::new(dial.clone()) };
        let mut energy = Attribution::new(meter, config(busy, idle), start);
        let mut now = start;
        let mut given = 0;
        for (action, id, tokens, micros, millijoules) in moves {
            let took = Duration::from_micros(micros);
            now += took;
            dial.0.fetch_add(millijoules, Ordering::Relaxed);
            match action {
                0 => energy.ran(took, &[(SequenceId(id), tokens), (SequenceId(id + 1), 1)]),
                1 => energy.close_window(now),
                2 => {
                    energy.close_window(now);
                    given += energy.take(SequenceId(id)).get();
                }
                _ => {}
            }
        }
        energy.close_window(now);
        given += (0..8).map(|id| energy.take(SequenceId(id)).get()).sum::<u64>();
        let totals = energy.totals();
        prop_assert_eq!(given, totals.requests.get());
        prop_assert_eq!(totals.requests.get() + totals.idle.get(), totals.meter.get());
        if !is_modelled {
            prop_assert_eq!(totals.meter.get(), dial.0.load(Ordering::Relaxed));
        }
    }
}
