//! One call after another: let in, checked for a repetition, worked on, kept, answered, or not answered.
//! Never what an object is: that is behind the routes.
//! Runs beside the test until the fake is dropped.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{SystemTime, UNIX_EPOCH},
};

use base64::Engine as _;
use serde_json::{Map, Value};
use tokio::{
    net::TcpStream,
    sync::{Notify, watch},
};

use super::{
    API_VERSION, SECRET_KEY, control,
    faults::{Fault, Rules},
    form, keys,
    keys::{Kept, Keys},
    lists,
    params::Params,
    refusal::Refusal,
    routes,
    store::Store,
    webhooks::{self, Hooks, Stamp},
    wire::{self, Asked, Reply},
};

/// A call as it came and as it was answered.
#[derive(Clone, Debug)]
pub struct Call {
    /// `GET`, `POST` or `DELETE`.
    pub method: String,
    /// Without the query.
    pub path: String,
    /// The parameters, nested.
    pub params: Value,
    /// Its idempotency key, empty without one.
    pub key: String,
    /// Names in small letters.
    pub headers: Vec<(String, String)>,
    /// The status that was, or would have been, answered; `None` while it is worked on.
    pub status: Option<u16>,
    /// The answer is that of an earlier call.
    pub is_replayed: bool,
    /// The answer was lost on its way, or the request.
    pub is_lost: bool,
}

/// Everything that changes.
#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) store: Store,
    pub(super) keys: Keys,
    pub(super) rules: Rules,
    pub(super) calls: Vec<Call>,
    pub(super) hooks: Hooks,
    requests: u64,
}

/// What all connections share.
#[derive(Debug)]
pub(super) struct Shared {
    state: Mutex<State>,
    /// There are events to send.
    pub(super) events: Notify,
    /// How often the test let go of what is held.
    pub(super) releases: watch::Sender<u64>,
    pub(super) client: reqwest::Client,
}

impl Shared {
    pub(super) fn new(client: reqwest::Client) -> Self {
        Self { state: Mutex::default(), events: Notify::new(), releases: watch::Sender::new(0), client }
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives events that happened to the webhooks.
    pub(super) fn tell(&self) {
        let mut state = self.state();
        let events = std::mem::take(&mut state.store.untold);
        state.hooks.take(events.into_iter());
        drop(state);
        self.events.notify_one();
    }
}

/// The machine's time, which signatures have. Unit: seconds since 1970.
pub(super) fn machine_now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    i64::try_from(since).unwrap_or(i64::MAX)
}

/// Answers the calls of one connection, one after another.
pub(super) async fn serve(mut stream: TcpStream, shared: Arc<Shared>) {
    stream.set_nodelay(true).ok();
    let mut unread = Vec::new();
    while let Some(asked) = wire::read(&mut stream, &mut unread).await {
        let reply = match asked.path.starts_with("/_fake/") {
            true => Some(control::answer(&shared, &asked).await),
            false => answer(&shared, &asked).await,
        };
        let Some(reply) = reply else { return };
        if wire::write(&mut stream, &reply).await.is_none() {
            return;
        }
    }
}

/// Sends events as they come.
pub(super) async fn deliver(shared: Arc<Shared>) {
    loop {
        shared.events.notified().await;
        loop {
            let next = {
                let mut state = shared.state();
                let next = state.hooks.due.pop_front();
                state.hooks.is_busy = next.is_some();
                next.map(|event| (event, state.hooks.endpoint.clone()))
            };
            let Some((event, endpoint)) = next else { break };
            let sent = webhooks::send(&shared.client, &endpoint, &event, machine_now(), Stamp::Fresh).await;
            let mut state = shared.state();
            if !sent.is_taken() {
                state.hooks.held.push(event);
            }
            state.hooks.sent.push(sent);
        }
    }
}

/// The answer to a call; `None` when it gets none.
async fn answer(shared: &Shared, asked: &Asked) -> Option<Reply> {
    let form = form::read_form(if asked.method == "POST" { &asked.body } else { &asked.query });
    let Arrival { place, request, faults, releases } = arrive(shared, asked, form.as_ref().ok());
    let reply = if faults.contains(&Fault::LoseRequest) {
        None
    } else {
        let reply = match turned_away(asked, &faults) {
            Some(reply) => reply,
            None => match form {
                Ok(form) => perform(shared, asked, form, &request, (&faults, releases)).await,
                Err(refusal) => Reply::json(refusal.status, &refusal.to_wire()),
            },
        };
        Some(reply)
    };
    let is_lost = reply.is_none() || faults.contains(&Fault::LoseReply);
    let mut state = shared.state();
    if let Some(call) = state.calls.get_mut(place) {
        call.status = reply.as_ref().map(|reply| reply.status);
        call.is_replayed = reply
            .as_ref()
            .is_some_and(|reply| reply.headers.iter().any(|(name, _)| *name == "Idempotent-Replayed"));
        call.is_lost = is_lost;
    }
    drop(state);
    shared.tell();
    let version = match asked.header("stripe-version") {
        "" => API_VERSION,
        asked => asked,
    };
    let reply = reply.filter(|_| !is_lost)?;
    Some(reply.with("Request-Id", request).with("Stripe-Version", version))
}

/// A call that was recorded.
#[derive(Debug)]
struct Arrival {
    /// Where among the calls.
    place: usize,
    /// The request's id.
    request: String,
    faults: Vec<Fault>,
    /// How often the test had let go by then.
    releases: u64,
}

/// Records a call, with what goes wrong with it.
fn arrive(shared: &Shared, asked: &Asked, form: Option<&Map<String, Value>>) -> Arrival {
    let mut state = shared.state();
    let faults = state.rules.take(&asked.method, &asked.path);
    state.requests += 1;
    let request = format!("req_fake{:08}", state.requests);
    state.calls.push(Call {
        method: asked.method.clone(),
        path: asked.path.clone(),
        params: form.map_or(Value::Null, |form| Value::Object(form.clone())),
        key: asked.header("idempotency-key").to_owned(),
        headers: asked.headers.clone(),
        status: None,
        is_replayed: false,
        is_lost: false,
    });
    let releases = *shared.releases.borrow();
    Arrival { place: state.calls.len() - 1, request, faults, releases }
}

/// The answer to a call that is not let in.
fn turned_away(asked: &Asked, faults: &[Fault]) -> Option<Reply> {
    let limited = faults.iter().find_map(|fault| match fault {
        Fault::RateLimited { retry_after } => Some((Refusal::rate_limited(), *retry_after)),
        Fault::LockTimeout => Some((Refusal::lock_timeout(), None)),
        Fault::LoseRequest
        | Fault::LoseReply
        | Fault::BreakBefore
        | Fault::BreakAfter
        | Fault::Slow(_)
        | Fault::Hold
        | Fault::WrongTotal(_)
        | Fault::Declined(_) => None,
    });
    if let Some((refusal, retry_after)) = limited {
        let reply = Reply::json(refusal.status, &refusal.to_wire());
        let reply = match retry_after {
            Some(seconds) => reply.with("Retry-After", seconds.to_string()),
            None => reply,
        };
        return Some(if faults.contains(&Fault::LockTimeout) {
            reply.with("Stripe-Should-Retry", "true")
        } else {
            reply.with("Stripe-Rate-Limited-Reason", "global-rate")
        });
    }
    let refusal = unknown_key(asked.header("authorization")).or_else(|| unreadable(asked))?;
    Some(Reply::json(refusal.status, &refusal.to_wire()))
}

/// The refusal of a call in JSON, or in a version that has no date.
fn unreadable(asked: &Asked) -> Option<Refusal> {
    if asked.header("content-type").starts_with("application/json") {
        let message = "Invalid request: unsupported content type (application/json); use \
                       application/x-www-form-urlencoded.";
        return Some(Refusal::unfit(message));
    }
    let version = asked.header("stripe-version");
    let date = version.split('.').next().unwrap_or("");
    let digits: Vec<usize> =
        date.split('-').filter(|part| part.bytes().all(|byte| byte.is_ascii_digit())).map(str::len).collect();
    let is_dated = version.is_empty() || digits == [4, 2, 2];
    (!is_dated).then(|| Refusal::unfit(format!("Invalid Stripe API version: {version}")))
}

/// The refusal of a call without the account's secret key.
fn unknown_key(header: &str) -> Option<Refusal> {
    let given = match header.split_once(' ') {
        Some(("Bearer", key)) => key.trim().to_owned(),
        Some(("Basic", pair)) if is_own(pair) => SECRET_KEY.to_owned(),
        Some(("Basic", _)) => "in basic authentication".to_owned(),
        Some(_) | None => {
            let message = "You did not provide an API key. You need to provide your API key in the Authorization \
                           header, using Bearer auth (e.g. 'Authorization: Bearer YOUR_SECRET_KEY').";
            return Some(Refusal::unauthenticated(message));
        }
    };
    let shown: String = given.chars().take(8).collect();
    (given != SECRET_KEY).then(|| Refusal::unauthenticated(format!("Invalid API Key provided: {shown}***")))
}

/// Whether a name and password of basic authentication are the secret key and nothing.
fn is_own(pair: &str) -> bool {
    let plain = base64::engine::general_purpose::STANDARD.decode(pair.trim());
    plain.is_ok_and(|plain| plain == format!("{SECRET_KEY}:").as_bytes())
}

/// Does the work of a call, unless it repeats one.
async fn perform(
    shared: &Shared,
    asked: &Asked,
    form: Map<String, Value>,
    request: &str,
    (faults, releases): (&[Fault], u64),
) -> Reply {
    // Only what changes something is kept; the key of another call means nothing.
    let key = asked.header("idempotency-key");
    let key = Some(key.to_owned()).filter(|key| !key.is_empty() && asked.method == "POST");
    if let Some(key) = &key {
        let mut state = shared.state();
        let now = state.store.now();
        match state.keys.begin(key, &asked.path, &form, now) {
            Ok(None) => {}
            Ok(Some(kept)) => return replayed(key, kept),
            Err(refusal) => {
                let reply =
                    Reply::json(refusal.status, &refusal.to_wire()).with("Idempotency-Key", key.clone());
                return if refusal.status == 409 { reply.with("Stripe-Should-Retry", "true") } else { reply };
            }
        }
    }
    wait(shared, faults, releases).await;
    let mut state = shared.state();
    let (outcome, is_kept) = work(&mut state.store, asked, form, (request, key.clone()), faults);
    let Some(key) = key else { return outcome };
    let kept = Kept { status: outcome.status, body: outcome.body.clone(), request: request.to_owned() };
    state.keys.end(&key, is_kept.then_some(kept));
    let should_retry = (outcome.status >= 500).then_some("false");
    let reply = outcome.with("Idempotency-Key", key).with("Original-Request", request);
    match should_retry {
        Some(answer) => reply.with("Stripe-Should-Retry", answer),
        None => reply,
    }
}

fn replayed(key: &str, kept: keys::Kept) -> Reply {
    Reply { status: kept.status, headers: Vec::new(), body: kept.body }
        .with("Idempotency-Key", key)
        .with("Idempotent-Replayed", "true")
        .with("Original-Request", kept.request)
}

/// Waits as the faults of a call say.
async fn wait(shared: &Shared, faults: &[Fault], releases: u64) {
    for fault in faults {
        if let Fault::Slow(time) = fault {
            tokio::time::sleep(*time).await;
        }
        if *fault == Fault::Hold {
            let mut counts = shared.releases.subscribe();
            // An error says that the fake is gone, and the call with it.
            counts.wait_for(|count| *count > releases).await.ok();
        }
    }
}

/// Does the work; the answer, and whether it is one to keep.
fn work(
    store: &mut Store,
    asked: &Asked,
    mut form: Map<String, Value>,
    request: (&str, Option<String>),
    faults: &[Fault],
) -> (Reply, bool) {
    let broken = Refusal::broken();
    let broken = || (Reply::json(broken.status, &broken.to_wire()), true);
    if faults.contains(&Fault::BreakBefore) {
        return broken();
    }
    store.request = (request.0.to_owned(), request.1);
    for fault in faults {
        if let Fault::WrongTotal(by) = fault {
            let invoice = asked.path.split('/').nth(3).unwrap_or("");
            store.skews.insert(invoice.to_owned(), *by);
        }
        if let Fault::Declined(reason) = fault {
            store.decline = Some(reason.clone());
        }
    }
    let expanded = form.remove("expand");
    // What cannot be expanded is refused before there is work, as far as the asker can see.
    let before = expanded.as_ref().map(|_| store.clone());
    let outcome = routes::route(store, &asked.method, &asked.path, Params::new(form));
    store.decline = None;
    if faults.contains(&Fault::BreakAfter) {
        return broken();
    }
    let outcome = outcome.and_then(|mut answer| {
        let paths = expanded.iter().filter_map(Value::as_object).flat_map(|paths| paths.values());
        let done =
            paths.filter_map(Value::as_str).try_for_each(|path| lists::expand(store, &mut answer, path));
        if let (Err(_), Some(before)) = (&done, before) {
            *store = before;
        }
        done.map(|()| answer)
    });
    match outcome {
        Ok(answer) => (Reply::json(200, &answer), true),
        Err(refusal) => (Reply::json(refusal.status, &refusal.to_wire()), refusal.is_kept),
    }
}
