//! Keeps the answer of every request that came with an idempotency key, and gives it again.
//! Never keeps what failed before work began: that may be tried again with the same key.
//! Asked once before and once after the work of a request.

use std::collections::HashMap;

use serde_json::{Map, Value};

use super::refusal::Refusal;

/// How long an answer is kept. Unit: seconds.
const KEPT_SECONDS: i64 = 24 * 60 * 60;
/// Longest key. Unit: characters.
const KEY_CHARS_MAX: usize = 255;

/// An answer that is kept.
#[derive(Clone, Debug)]
pub(super) struct Kept {
    pub(super) status: u16,
    pub(super) body: String,
    /// The id of the request that was worked on.
    pub(super) request: String,
}

/// A request with a key.
#[derive(Debug)]
struct Entry {
    path: String,
    form: Map<String, Value>,
    since: i64,
    /// `None` while it is worked on.
    kept: Option<Kept>,
}

/// All keys.
#[derive(Debug, Default)]
pub(super) struct Keys {
    entries: HashMap<String, Entry>,
}

impl Keys {
    /// Begins a request: an answer that is kept, or `None` when there is work to do.
    ///
    /// Errors: the key was used for something else; its first request still runs; it is too long.
    pub(super) fn begin(
        &mut self,
        key: &str,
        path: &str,
        form: &Map<String, Value>,
        now: i64,
    ) -> Result<Option<Kept>, Refusal> {
        if key.chars().count() > KEY_CHARS_MAX {
            return Err(Refusal::unfit("Idempotency keys can be at most 255 characters long."));
        }
        self.entries.retain(|_, entry| entry.since.saturating_add(KEPT_SECONDS) > now);
        let Some(entry) = self.entries.get(key) else {
            let entry = Entry { path: path.to_owned(), form: form.clone(), since: now, kept: None };
            self.entries.insert(key.to_owned(), entry);
            return Ok(None);
        };
        let advice =
            format!("Try using a key other than '{key}' if you meant to execute a different request.");
        if entry.path != path {
            let first = &entry.path;
            let message = format!(
                "Keys for idempotent requests can only be used for the same endpoint they were first used for \
                 ('{path}' vs '{first}'). {advice}"
            );
            return Err(Refusal::idempotency(message));
        }
        if entry.form != *form {
            let message = format!(
                "Keys for idempotent requests can only be used with the same parameters they were first used \
                 with. {advice}"
            );
            return Err(Refusal::idempotency(message));
        }
        entry.kept.clone().map(Some).ok_or_else(|| Refusal::key_in_use(key))
    }

    /// Ends a request: keeps its answer, or forgets the key when there is none to keep.
    pub(super) fn end(&mut self, key: &str, kept: Option<Kept>) {
        match (kept, self.entries.get_mut(key)) {
            (Some(kept), Some(entry)) => entry.kept = Some(kept),
            (None, _) => drop(self.entries.remove(key)),
            (Some(_), None) => {}
        }
    }
}
