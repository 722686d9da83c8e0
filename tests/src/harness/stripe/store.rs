//! The objects of the fake account, its clocks and its events.
//! Never a rule of one object: those are in the object's own module.
//! Changed by the objects' modules, one request at a time.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    time::{SystemTime, UNIX_EPOCH},
};

use serde_json::{Value, json};

use super::{API_VERSION, lines, refusal::Refusal};

/// How long a new object is not found by a search. Unit: seconds.
///
/// Source: Stripe's page on search, which says not to search for what was just written.
const SEARCH_LAG_SECONDS: i64 = 60;

/// Every object, by its kind, in the order of creation.
#[derive(Clone, Debug)]
pub(super) struct Store {
    objects: BTreeMap<&'static str, Vec<Value>>,
    /// When each object was put here, by the account's clock.
    since: HashMap<String, i64>,
    serial: u64,
    /// How far the account's clock is ahead of the machine's. Unit: seconds.
    ahead: i64,
    /// Unit: seconds.
    pub(super) search_lag: i64,
    /// What is wrong with the total of an invoice, by its id.
    pub(super) skews: HashMap<String, i64>,
    /// The reason for which the next charge is declined.
    pub(super) decline: Option<String>,
    /// The request that is worked on: its id and its idempotency key.
    pub(super) request: (String, Option<String>),
    /// Events that were not given to the webhooks yet.
    pub(super) untold: VecDeque<Value>,
    /// Whether somebody listens to events.
    pub(super) is_heard: bool,
}

impl Default for Store {
    fn default() -> Self {
        Self {
            objects: BTreeMap::new(),
            since: HashMap::new(),
            serial: 0,
            ahead: 0,
            search_lag: SEARCH_LAG_SECONDS,
            skews: HashMap::new(),
            decline: None,
            request: (String::new(), None),
            untold: VecDeque::new(),
            is_heard: false,
        }
    }
}

impl Store {
    /// The account's time. Unit: seconds since 1970.
    pub(super) fn now(&self) -> i64 {
        let machine = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        i64::try_from(machine).unwrap_or(i64::MAX).saturating_add(self.ahead)
    }

    /// Moves the account's clock. Unit: seconds.
    pub(super) fn move_clock(&mut self, seconds: i64) {
        self.ahead = self.ahead.saturating_add(seconds);
    }

    /// The time in which a customer lives: that of its test clock if it has one.
    pub(super) fn time_of(&self, customer: &str) -> i64 {
        let clock = self.find("customer", customer).map(|customer| text(customer, "test_clock"));
        let clock = clock.and_then(|clock| self.find("test_helpers.test_clock", clock));
        clock.map_or_else(|| self.now(), |clock| number(clock, "frozen_time"))
    }

    /// A new id.
    pub(super) fn id(&mut self, prefix: &str) -> String {
        self.serial += 1;
        format!("{prefix}_fake{:010}", self.serial)
    }

    /// Keeps a new object, by its `object` and `id`.
    pub(super) fn insert(&mut self, kind: &'static str, object: Value) {
        self.since.insert(text(&object, "id").to_owned(), self.now());
        self.objects.entry(kind).or_default().push(object);
    }

    /// Every object of a kind, the oldest first.
    pub(super) fn all(&self, kind: &str) -> &[Value] {
        self.objects.get(kind).map_or(&[], Vec::as_slice)
    }

    /// The ids of the objects of a kind that are as asked, the oldest first.
    pub(super) fn ids(&self, kind: &str, is_asked: impl Fn(&Value) -> bool) -> Vec<String> {
        let found = self.all(kind).iter().filter(|object| is_asked(object));
        found.map(|object| text(object, "id").to_owned()).collect()
    }

    pub(super) fn find(&self, kind: &str, id: &str) -> Option<&Value> {
        self.all(kind).iter().find(|object| object["id"] == id)
    }

    /// Changes an object in place; one that is not there stays away.
    pub(super) fn change(&mut self, kind: &str, id: &str, act: impl FnOnce(&mut Value)) {
        let objects = self.objects.get_mut(kind).into_iter().flatten();
        if let Some(object) = objects.into_iter().find(|object| object["id"] == id) {
            act(object);
        }
    }

    /// Takes an object away.
    pub(super) fn remove(&mut self, kind: &str, id: &str) {
        if let Some(objects) = self.objects.get_mut(kind) {
            objects.retain(|object| object["id"] != id);
        }
    }

    /// An object named by a path.
    ///
    /// Errors: 404, naming the parameter that Stripe names.
    pub(super) fn at(&self, kind: &'static str, id: &str, param: &str) -> Result<Value, Refusal> {
        let found = self.find(kind, id).cloned();
        found.ok_or_else(|| Refusal::missing(&spoken(kind), id, param))
    }

    /// An object named by a parameter.
    ///
    /// Errors: 400, naming the parameter.
    pub(super) fn named(&self, kind: &'static str, id: &str, param: &str) -> Result<Value, Refusal> {
        let found = self.find(kind, id).filter(|object| object["deleted"] != true).cloned();
        found.ok_or_else(|| Refusal::unknown(&spoken(kind), id, param))
    }

    /// An object of any kind as it is shown, for an expansion.
    pub(super) fn shown(&self, id: &str) -> Option<Value> {
        let find = |(kind, objects): (&&'static str, &Vec<Value>)| {
            let object = objects.iter().find(|object| object["id"] == id)?;
            Some((*kind, object.clone()))
        };
        let (kind, object) = self.objects.iter().find_map(find)?;
        Some(self.show(kind, object))
    }

    /// An object with the lists that belong into it.
    pub(super) fn show(&self, kind: &str, mut object: Value) -> Value {
        if kind == "invoice" && object["deleted"] != true {
            object["lines"] = lines::first(self, text(&object, "id"));
        }
        object
    }

    /// Whether a search finds an object already.
    pub(super) fn is_searchable(&self, id: &str) -> bool {
        self.since.get(id).is_some_and(|since| since.saturating_add(self.search_lag) <= self.now())
    }

    /// Records that something happened to an object, with what it was before where that is told.
    pub(super) fn emit(&mut self, kind: &str, object: &Value, previous: Option<Value>) {
        let customer = if text(object, "object") == "customer" { "id" } else { "customer" };
        let created = self.time_of(text(object, customer));
        let (request, key) = self.request.clone();
        let mut data = json!({ "object": object });
        if let Some(previous) = previous {
            data["previous_attributes"] = previous;
        }
        let event = json!({
            "id": self.id("evt"),
            "object": "event",
            "api_version": API_VERSION,
            "created": created,
            "data": data,
            "livemode": false,
            "pending_webhooks": i64::from(self.is_heard),
            "request": {"id": request, "idempotency_key": key},
            "type": kind,
        });
        self.insert("event", event.clone());
        self.untold.push_back(event);
    }

    /// Records that something happened to an object that is kept.
    pub(super) fn tell(&mut self, kind: &str, object_kind: &'static str, id: &str) {
        if let Some(object) = self.find(object_kind, id).cloned() {
            let object = self.show(object_kind, object);
            self.emit(kind, &object, None);
        }
    }
}

/// A kind as Stripe's messages name it.
fn spoken(kind: &str) -> String {
    match kind {
        "payment_method" => "PaymentMethod".to_owned(),
        "invoiceitem" => "Invoice Item".to_owned(),
        "test_helpers.test_clock" => "test clock".to_owned(),
        other => other.replace(['_', '.'], " "),
    }
}

/// A field that is a text; empty when it is none.
pub(super) fn text<'a>(object: &'a Value, name: &str) -> &'a str {
    object[name].as_str().unwrap_or("")
}

/// A field that is a whole number; 0 when it is none.
pub(super) fn number(object: &Value, name: &str) -> i64 {
    object[name].as_i64().unwrap_or(0)
}
