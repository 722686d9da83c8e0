//! What runs on a node: counted for draining, and found by its gateway and id to be ended.
//! Never ends anything itself: whoever runs a request watches its token.
//! One for each node; asked by `http::node` and `cli::node`.

use std::{
    collections::{HashMap, hash_map::Entry},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use tokio_util::sync::CancellationToken;

/// A gateway's key and its name for a request: no gateway can end another's.
type Name = (String, String);

/// Everything that runs on a node.
#[derive(Debug, Default)]
pub struct Requests {
    open: Mutex<HashMap<Name, CancellationToken>>,
    is_draining: AtomicBool,
    /// Cancelled when the drain time is over.
    stopping: CancellationToken,
}

/// Why a request does not begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BeginError {
    /// The node stops.
    #[error("the node is shutting down")]
    Draining,
    /// One with this name runs.
    #[error("a request with this id is running")]
    Running,
}

/// One of them; dropping it is its end.
#[derive(Debug)]
pub struct RunningRequest {
    requests: Arc<Requests>,
    name: Name,
    ended: CancellationToken,
}

impl Requests {
    /// A request of a gateway begins.
    ///
    /// Errors: nothing begins any more; it runs already.
    pub fn begin(self: &Arc<Self>, key_id: &str, request_id: &str) -> Result<RunningRequest, BeginError> {
        let mut open = self.lock();
        // Looked at under the lock: what begins before it is counted, what begins after it is refused.
        if self.is_draining() {
            return Err(BeginError::Draining);
        }
        let name = (key_id.to_owned(), request_id.to_owned());
        match open.entry(name.clone()) {
            Entry::Occupied(_) => Err(BeginError::Running),
            Entry::Vacant(place) => {
                let ended = place.insert(CancellationToken::new()).clone();
                Ok(RunningRequest { requests: Arc::clone(self), name, ended })
            }
        }
    }

    /// A gateway wants no more of a request. `false`: it does not run.
    pub fn cancel(&self, key_id: &str, request_id: &str) -> bool {
        let open = self.lock();
        let found = open.get(&(key_id.to_owned(), request_id.to_owned()));
        found.inspect(|token| token.cancel()).is_some()
    }

    /// Refuses what is new from now on.
    pub fn drain(&self) {
        let _open = self.lock();
        self.is_draining.store(true, Ordering::Relaxed);
    }

    /// Whether nothing begins any more.
    pub fn is_draining(&self) -> bool {
        self.is_draining.load(Ordering::Relaxed)
    }

    /// How many run.
    pub fn count(&self) -> usize {
        self.lock().len()
    }

    /// The time of what still runs is over.
    pub fn stop(&self) {
        self.stopping.cancel();
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Name, CancellationToken>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl RunningRequest {
    /// Waits until its gateway or the node wants no more of it.
    pub async fn unwanted(&self) {
        tokio::select! {
            () = self.ended.cancelled() => {}
            () = self.requests.stopping.cancelled() => {}
        }
    }

    /// Whether it was its gateway that wanted no more.
    pub fn is_cancelled(&self) -> bool {
        self.ended.is_cancelled()
    }
}

impl Drop for RunningRequest {
    fn drop(&mut self) {
        self.requests.lock().remove(&self.name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_request_is_ended_by_its_own_gateway_only() {
        let requests: Arc<Requests> = Arc::default();
        let running = requests.begin("a", "1").expect("begins");
        assert_eq!(requests.begin("a", "1").map(drop), Err(BeginError::Running));
        let other = requests.begin("b", "1").expect("another gateway's");
        assert!(!requests.cancel("a", "2") && !requests.cancel("c", "1"));
        assert!(requests.cancel("a", "1"));
        running.unwanted().await;
        assert_eq!((running.is_cancelled(), other.is_cancelled(), requests.count()), (true, false, 2));
        drop(running);
        assert!(!requests.cancel("a", "1"), "it has ended");
        assert!(requests.begin("a", "1").is_ok(), "its name is free again");
    }

    #[tokio::test]
    async fn draining_refuses_what_is_new_and_stopping_ends_the_rest() {
        let requests: Arc<Requests> = Arc::default();
        let running = requests.begin("a", "1").expect("begins");
        requests.drain();
        assert_eq!(requests.begin("a", "2").map(drop), Err(BeginError::Draining));
        assert_eq!(requests.count(), 1);
        requests.stop();
        running.unwanted().await;
        assert!(!running.is_cancelled(), "not its gateway");
        drop(running);
        assert_eq!(requests.count(), 0);
    }
}
