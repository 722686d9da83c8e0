//! Test clocks: a time that stands still until it is advanced, for customers who live in it.
//! Never the account's own clock: the test moves that.
//! Called by the routes.

use serde_json::{Value, json};

use super::{
    checkout,
    params::Params,
    refusal::Refusal,
    steps,
    store::{Store, number},
};

pub(super) const KIND: &str = "test_helpers.test_clock";

/// When a clock is deleted. Unit: seconds.
const LIFE_SECONDS: i64 = 30 * 24 * 60 * 60;

pub(super) fn create(store: &mut Store, mut params: Params) -> Result<Value, Refusal> {
    let frozen = params.integer("frozen_time")?.ok_or_else(|| params.absent("frozen_time"))?;
    let now = store.now();
    let mut clock = json!({
        "id": store.id("clock"),
        "object": KIND,
        "created": now,
        "deletes_after": now + LIFE_SECONDS,
        "frozen_time": frozen,
        "livemode": false,
        "name": null,
        "status": "ready",
        "status_details": {},
    });
    params.keep(&["name"], &mut clock)?;
    params.finish()?;
    store.insert(KIND, clock.clone());
    store.emit("test_helpers.test_clock.created", &clock, None);
    Ok(clock)
}

/// Advances a clock. The answer says that it advances, a later look that it is ready.
pub(super) fn advance(store: &mut Store, id: &str, mut params: Params) -> Result<Value, Refusal> {
    let mut clock = store.at(KIND, id, "test_clock")?;
    let frozen = params.integer("frozen_time")?.ok_or_else(|| params.absent("frozen_time"))?;
    params.finish()?;
    if frozen <= number(&clock, "frozen_time") {
        let message = "The new frozen time must be after the current frozen time.";
        return Err(Refusal::invalid("frozen_time", message));
    }
    store.change(KIND, id, |clock| clock["frozen_time"] = json!(frozen));
    clock["frozen_time"] = json!(frozen);
    clock["status"] = json!("advancing");
    clock["status_details"] = json!({"advancing": {"target_frozen_time": frozen}});
    store.emit("test_helpers.test_clock.advancing", &clock, None);
    pass_time(store);
    store.tell("test_helpers.test_clock.ready", KIND, id);
    Ok(clock)
}

/// Does what time alone does, by every clock.
pub(super) fn pass_time(store: &mut Store) {
    steps::pass_time(store);
    checkout::pass_time(store);
}

/// Deletes a clock and the customers who live in it.
pub(super) fn delete(store: &mut Store, id: &str) -> Result<Value, Refusal> {
    let clock = store.at(KIND, id, "test_clock")?;
    for customer in store.ids("customer", |customer| customer["test_clock"] == id) {
        let stub = json!({"id": customer, "object": "customer", "deleted": true});
        store.change("customer", &customer, |kept| *kept = stub);
    }
    store.remove(KIND, id);
    store.emit("test_helpers.test_clock.deleted", &clock, None);
    Ok(json!({"id": id, "object": KIND, "deleted": true}))
}
