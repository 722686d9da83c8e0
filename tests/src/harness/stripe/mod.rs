//! A fake of Stripe's API that keeps state: customers, invoices, credit notes, checkouts, clocks, events, webhooks.
//! Never lenient: what Stripe refuses, repeats, loses or sends twice, it does as well.
//! Started by tests of billing; it ends with the test.

mod checkout;
mod clocks;
mod control;
mod credit_notes;
mod customers;
mod faults;
mod form;
mod invoices;
mod items;
mod keys;
mod lines;
mod lists;
mod params;
mod payments;
mod refusal;
mod routes;
mod serve;
mod steps;
mod store;
mod totals;
mod webhooks;
mod wire;

use std::{sync::Arc, time::Duration};

use serde_json::Value;
use tokio::{net::TcpListener, task::JoinHandle};

pub use checkout::Visit;
pub use faults::Fault;
pub use serve::Call;
pub use webhooks::{Delivery, Order, Sent, Stamp};

use super::{HarnessError, Outcome};
use serve::Shared;

/// The version of the API that the fake speaks.
pub const API_VERSION: &str = "2026-10-28.endive";

/// The account's secret key.
const SECRET_KEY: &str = "sk_test_fake_0123456789";

/// How long a test waits for what comes by itself.
const PATIENCE: Duration = Duration::from_secs(20);

/// The running fake, or a handle of it.
#[derive(Debug)]
pub struct FakeStripe {
    port: u16,
    shared: Arc<Shared>,
    /// Empty in a handle, which does not end the fake.
    tasks: Vec<JoinHandle<()>>,
}

impl Drop for FakeStripe {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

impl FakeStripe {
    /// Starts a fake on a free port, with an empty account.
    ///
    /// Errors: no port is to be had.
    pub async fn start() -> Outcome<Self> {
        let what = "a port for a Stripe";
        let listener = TcpListener::bind("127.0.0.1:0").await.map_err(HarnessError::io(what))?;
        let port = listener.local_addr().map_err(HarnessError::io(what))?.port();
        let shared = Arc::new(Shared::new(reqwest::Client::builder().no_proxy().build()?));
        let serving = Arc::clone(&shared);
        let accept = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve::serve(stream, Arc::clone(&serving)));
            }
        });
        let deliver = tokio::spawn(serve::deliver(Arc::clone(&shared)));
        Ok(Self { port, shared, tasks: vec![accept, deliver] })
    }

    /// A handle of a fake that runs.
    fn of(shared: &Arc<Shared>) -> Self {
        Self { port: 0, shared: Arc::clone(shared), tasks: Vec::new() }
    }

    /// Its address; the API begins at `/v1` there.
    pub fn origin(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// The secret key that it takes, one of test mode.
    pub fn secret_key(&self) -> &'static str {
        SECRET_KEY
    }

    /// Lets something go wrong at the n-th call from now, counted from 1, that fits a pattern.
    ///
    /// Shape: a method and a path, such as `POST /v1/invoices/*/finalize`; `*` is any method or any part of a path.
    pub fn fault(&self, pattern: &str, nth: usize, fault: Fault) {
        self.shared.state().rules.add(pattern, nth, fault);
    }

    /// Lets calls go on that are held.
    pub fn let_go(&self) {
        self.shared.releases.send_modify(|count| *count += 1);
    }

    /// Moves the account's clock ahead: idempotency keys and checkouts expire, drafts that advance become final.
    pub fn advance(&self, time: Duration) {
        let mut state = self.shared.state();
        state.store.move_clock(i64::try_from(time.as_secs()).unwrap_or(0));
        clocks::pass_time(&mut state.store);
        drop(state);
        self.shared.tell();
    }

    /// How long what was written is not found by a search; at first a minute.
    pub fn search_after(&self, time: Duration) {
        self.shared.state().store.search_lag = i64::try_from(time.as_secs()).unwrap_or(0);
    }

    /// Every call so far, in the order of arrival.
    pub fn calls(&self) -> Vec<Call> {
        self.shared.state().calls.clone()
    }

    /// The calls that fit a pattern, as in [`FakeStripe::fault`].
    pub fn calls_to(&self, pattern: &str) -> Vec<Call> {
        let calls = self.calls().into_iter();
        calls.filter(|call| faults::fits(pattern, &call.method, &call.path)).collect()
    }

    /// Waits until so many calls that fit a pattern arrived.
    ///
    /// Errors: they do not.
    pub async fn until_calls(&self, pattern: &str, count: usize) -> Outcome {
        self.until(&format!("{count} calls of {pattern}"), || self.calls_to(pattern).len() >= count).await
    }

    /// Every object of a kind, such as `invoice` or `credit_note`, the oldest first.
    pub fn objects(&self, kind: &str) -> Vec<Value> {
        let state = self.shared.state();
        let objects = state.store.all(kind).iter();
        objects.map(|object| state.store.show(kind, object.clone())).collect()
    }

    /// The objects of a kind whose metadata says so.
    pub fn objects_with(&self, kind: &str, key: &str, value: &str) -> Vec<Value> {
        self.objects(kind).into_iter().filter(|object| object["metadata"][key] == value).collect()
    }

    /// The invoices of a number, of which there should be one: Stripe does not see to that.
    pub fn invoices_numbered(&self, number: &str) -> Vec<Value> {
        self.objects("invoice").into_iter().filter(|invoice| invoice["number"] == number).collect()
    }

    /// The lines of an invoice, in the order in which they were added.
    pub fn lines(&self, invoice: &str) -> Vec<Value> {
        let mut lines = lines::of(&self.shared.state().store, invoice);
        lines.reverse();
        lines
    }

    /// An object by its id.
    pub fn object(&self, id: &str) -> Option<Value> {
        self.shared.state().store.shown(id)
    }

    /// Does on the page of a checkout session what a customer does.
    ///
    /// Errors: the error that the customer sees, as Stripe's API tells it.
    pub fn visit(&self, session: &str, visit: &Visit) -> Result<Value, Value> {
        let done = checkout::visit(&mut self.shared.state().store, session, visit);
        self.shared.tell();
        done.map_err(|refusal| refusal.to_wire())
    }

    /// Sends events to an address from now on, signed with each of the secrets.
    pub fn send_webhooks_to(&self, url: &str, secrets: &[&str], delivery: Delivery) {
        let secrets = secrets.iter().map(|secret| (*secret).to_owned()).collect();
        let mut state = self.shared.state();
        state.hooks.endpoint = webhooks::Endpoint { url: url.to_owned(), secrets };
        state.hooks.delivery = delivery;
        state.store.is_heard = true;
    }

    /// Sends the events that are held, or were not taken, and says what became of each.
    pub async fn release(&self, order: Order) -> Vec<Sent> {
        let mut events = std::mem::take(&mut self.shared.state().hooks.held);
        match order {
            Order::AsHappened => {}
            Order::Reversed => events.reverse(),
        }
        let mut all = Vec::new();
        for event in events {
            let sent = self.send(&event, Stamp::Fresh).await;
            if !sent.is_taken() {
                self.shared.state().hooks.held.push(event);
            }
            all.push(sent);
        }
        all
    }

    /// Sends an event once more; `None` when there is no such event.
    pub async fn resend(&self, event: &str, stamp: Stamp) -> Option<Sent> {
        let event = self.shared.state().store.find("event", event).cloned()?;
        Some(self.send(&event, stamp).await)
    }

    async fn send(&self, event: &Value, stamp: Stamp) -> Sent {
        let endpoint = self.shared.state().hooks.endpoint.clone();
        let sent = webhooks::send(&self.shared.client, &endpoint, event, serve::machine_now(), stamp).await;
        self.shared.state().hooks.sent.push(sent.clone());
        sent
    }

    /// Every sending of an event so far.
    pub fn sent(&self) -> Vec<Sent> {
        self.shared.state().hooks.sent.clone()
    }

    /// Waits until every event that is to be sent at once was sent.
    ///
    /// Errors: that does not end.
    pub async fn until_delivered(&self) -> Outcome {
        let is_quiet = || {
            let state = self.shared.state();
            state.hooks.due.is_empty() && !state.hooks.is_busy
        };
        self.until("the delivery of events", is_quiet).await
    }

    async fn until(&self, what: &str, is_so: impl Fn() -> bool) -> Outcome {
        let wait = async {
            while !is_so() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let late = |_| HarnessError::Late { what: what.to_owned(), limit: PATIENCE, output: String::new() };
        tokio::time::timeout(PATIENCE, wait).await.map_err(late)
    }
}
