//! What goes wrong at which call, as a test has told.
//! Never goes wrong by itself: without a rule every call is answered.
//! Asked once for every call, before anything else is done with it.

use std::time::Duration;

/// What goes wrong at one call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The connection is closed before anything is done.
    LoseRequest,
    /// The work is done, and the connection is closed in place of an answer.
    LoseReply,
    /// No work is done; the answer is 500, and is kept under the call's idempotency key.
    BreakBefore,
    /// The work is done, yet the answer is 500, and that is kept under the call's idempotency key.
    BreakAfter,
    /// Too many requests; with the seconds after which to come again, if any are told.
    RateLimited {
        /// Unit: seconds.
        retry_after: Option<u64>,
    },
    /// Another request works on the object.
    LockTimeout,
    /// The work is done after this long; its idempotency key is in use until then.
    Slow(Duration),
    /// The work waits until the test lets go; its idempotency key is in use until then.
    Hold,
    /// The total of the invoice is wrong by this much from now on. Unit: smallest of the currency.
    WrongTotal(i64),
    /// The card is declined, for this reason: `generic_decline`, `insufficient_funds`.
    Declined(String),
}

/// A fault at the n-th call, from now, that fits a pattern.
#[derive(Clone, Debug)]
struct Rule {
    pattern: String,
    /// Fitting calls until it happens.
    left: usize,
    fault: Fault,
}

/// Every fault to come.
#[derive(Debug, Default)]
pub(super) struct Rules {
    rules: Vec<Rule>,
}

impl Rules {
    /// Adds a fault at the n-th fitting call, counted from 1.
    pub(super) fn add(&mut self, pattern: &str, nth: usize, fault: Fault) {
        self.rules.push(Rule { pattern: pattern.to_owned(), left: nth.max(1), fault });
    }

    /// The faults of this call.
    pub(super) fn take(&mut self, method: &str, path: &str) -> Vec<Fault> {
        let fitting = self.rules.iter_mut().filter(|rule| fits(&rule.pattern, method, path));
        fitting.for_each(|rule| rule.left = rule.left.saturating_sub(1));
        let (due, left) = std::mem::take(&mut self.rules).into_iter().partition(|rule| rule.left == 0);
        self.rules = left;
        let due: Vec<Rule> = due;
        due.into_iter().map(|rule| rule.fault).collect()
    }
}

/// Whether a call is meant by a pattern such as `POST /v1/invoices/*/finalize`; `*` is any one part of a path.
pub(super) fn fits(pattern: &str, method: &str, path: &str) -> bool {
    let Some((asked, pattern)) = pattern.split_once(' ') else { return false };
    let is_same = |(pattern, part): (&str, &str)| pattern == "*" || pattern == part;
    (asked == "*" || asked == method)
        && pattern.split('/').count() == path.split('/').count()
        && pattern.split('/').zip(path.split('/')).all(is_same)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_name_calls() {
        for (pattern, method, path, expected) in [
            ("POST /v1/invoices", "POST", "/v1/invoices", true),
            ("POST /v1/invoices", "GET", "/v1/invoices", false),
            ("POST /v1/invoices", "POST", "/v1/invoices/in_1", false),
            ("* /v1/invoices/*", "GET", "/v1/invoices/in_1", true),
            ("POST /v1/invoices/*/pay", "POST", "/v1/invoices/in_1/pay", true),
            ("POST /v1/invoices/*/pay", "POST", "/v1/invoices/in_1/void", false),
            ("/v1/invoices", "POST", "/v1/invoices", false),
        ] {
            assert_eq!(fits(pattern, method, path), expected, "{pattern} {method} {path}");
        }
    }

    #[test]
    fn a_fault_happens_once_at_its_call() {
        let mut rules = Rules::default();
        rules.add("POST /a", 2, Fault::LoseReply);
        rules.add("* /a", 3, Fault::LockTimeout);
        let mut at = |method| rules.take(method, "/a");
        assert_eq!(at("POST"), []);
        assert_eq!(at("GET"), []);
        assert_eq!(at("POST"), [Fault::LoseReply, Fault::LockTimeout]);
        assert_eq!(at("POST"), []);
    }
}
