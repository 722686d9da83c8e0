//! How fast Stripe is called: one call after another at even distances, and none for a while after a refusal.
//! Never a queue of its own: who waits for its turn waits in the order in which it came.
//! Used by the client before each call.

use std::time::Duration;

use tokio::{sync::Mutex, time::Instant};

/// The distance between calls.
#[derive(Debug)]
pub(super) struct Pace {
    distance: Duration,
    next: Mutex<Option<Instant>>,
}

impl Pace {
    /// So many calls in a second at most.
    pub(super) fn new(per_second: u32) -> Self {
        Self { distance: Duration::from_secs(1) / per_second.max(1), next: Mutex::new(None) }
    }

    /// Waits for a turn.
    pub(super) async fn turn(&self) {
        let at = {
            let mut next = self.next.lock().await;
            take(&mut next, Instant::now(), self.distance)
        };
        tokio::time::sleep_until(at).await;
    }

    /// Gives nobody a turn for so long.
    pub(super) async fn pause(&self, wait: Duration) {
        let mut next = self.next.lock().await;
        hold(&mut next, Instant::now() + wait);
    }
}

/// The next turn, and when the one after it is.
fn take(next: &mut Option<Instant>, now: Instant, distance: Duration) -> Instant {
    let at = next.map_or(now, |next| next.max(now));
    *next = Some(at + distance);
    at
}

/// No turn before this.
fn hold(next: &mut Option<Instant>, until: Instant) {
    *next = Some(next.map_or(until, |next| next.max(until)));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_keep_their_distance() {
        let began = Instant::now();
        let ms = Duration::from_millis;
        let distance = Pace::new(4).distance;
        let mut next = None;
        let mut turn = |after| (take(&mut next, began + ms(after), distance) - began).as_millis();
        // Asked for at once, soon after, and long after.
        assert_eq!([turn(0), turn(0), turn(10), turn(2_000), turn(2_001)], [0, 250, 500, 2_000, 2_250]);
        let mut next = Some(began + ms(500));
        hold(&mut next, began + ms(3_000));
        hold(&mut next, began + ms(1_000));
        assert_eq!((take(&mut next, began, distance) - began).as_millis(), 3_000);
    }
}
