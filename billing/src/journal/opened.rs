//! A request whose `open` line has queued while the writer sleeps on.
//! Never carries the entry itself: whoever drops it, even unused, only wakes the writer.
//! Given by `Journal::open_request`; a gateway drops it once the request is on its way to whoever answers.

use std::sync::Arc;

use super::intake::Shared;

/// Wakes the writer when it is dropped.
///
/// Waking a thread costs some microseconds, and with few cores it takes the processor from whoever woke it. Nobody
/// waits for an `open` line, so that time need not be the request's.
pub struct Opened(Arc<Shared>);

impl Opened {
    pub(super) fn new(shared: &Arc<Shared>) -> Self {
        Self(Arc::clone(shared))
    }
}

impl std::fmt::Debug for Opened {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Opened")
    }
}

impl Drop for Opened {
    fn drop(&mut self) {
        self.0.wake();
    }
}
