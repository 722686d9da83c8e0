//! Two gateways over one ledger: what an operator changes at one, the other obeys within two seconds.
//! Never a wait for its own sake: each change is looked for until it is there, or its time is over.
//! Run by `cargo xtask test`, one at a time, with nothing beside it.

use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::{Value, json};
use tests::harness::{Admin, Chat, Installation, Outcome, Server, create_database};

/// A simulated engine under the priced name.
const SIMULATED: &str = "[[model]]\nname = \"demo\"\nsource = \"sim\"\n[model.sim]\ndecode_step_us = 0\n";
/// What docs/admin.md promises.
const PROMISE: Duration = Duration::from_secs(2);
/// How often the other gateway is asked.
const LOOK_PAUSE: Duration = Duration::from_millis(20);

/// A ledger, the gateway at which changes are made, and the one that must hear of them.
struct Pair {
    admin: Admin,
    other: Server,
    /// Where the demo tenant is below the admin API.
    tenant: String,
    _first: Server,
    _installations: [Installation; 2],
}

async fn pair(ledger: Option<String>) -> Outcome<Pair> {
    let mut first = Installation::new(SIMULATED)?;
    let url =
        ledger.unwrap_or_else(|| format!("sqlite://{}", first.folder().join("shared.sqlite").display()));
    first = first.with("LEDGER__URL", &url);
    let mut second = Installation::new(SIMULATED)?.with("LEDGER__URL", &url);
    let server = first.start().await?;
    let other = second.start().await?;
    let admin = server.admin(&server.banner().operator_token.clone().unwrap_or_default());
    let tenants = admin.get("/tenants").await?.body;
    let tenant = format!("/tenants/{}", tenants["data"][0]["id"].as_str().unwrap_or_default());
    Ok(Pair { admin, other, tenant, _first: server, _installations: [first, second] })
}

impl Pair {
    /// Makes a change at one gateway and gives what it answered.
    async fn change(&self, method: Method, path: &str, body: &Value) -> Outcome<Value> {
        let answer = self.admin.send(method, path, Some(body)).await?;
        assert!(answer.status.is_success(), "{path}: {}", answer.body);
        Ok(answer.body)
    }

    /// Asks the other gateway until it answers so, within the promise.
    async fn obeys(&self, what: &str, key: &str, status: u16, code: &str) -> Outcome {
        let changed = Instant::now();
        loop {
            let answer = self.other.chat(key).get("/models").await?;
            if (answer.status.as_u16(), answer.code()) == (status, code) {
                return Ok(());
            }
            assert!(changed.elapsed() <= PROMISE, "{what}: {status} {code} did not come within {PROMISE:?}");
            tokio::time::sleep(LOOK_PAUSE).await;
        }
    }

    /// A key, and where it is below the admin API.
    async fn key(&self, body: &Value) -> Outcome<(String, String)> {
        let made = self.change(Method::POST, &format!("{}/keys", self.tenant), body).await?;
        let secret = made["secret"].as_str().unwrap_or_default().to_owned();
        let path = format!("/keys/{}", made["key"]["id"].as_str().unwrap_or_default());
        self.obeys("a new key", &secret, 200, "").await?;
        Ok((secret, path))
    }
}

async fn changes_are_obeyed(pair: &Pair) -> Outcome {
    let nothing = Value::Null;
    let (key, path) = pair.key(&json!({"name": "switched"})).await?;
    pair.change(Method::POST, &format!("{path}/disable"), &nothing).await?;
    pair.obeys("a disabled key", &key, 401, "invalid_api_key").await?;
    pair.change(Method::POST, &format!("{path}/enable"), &nothing).await?;
    pair.obeys("an enabled key", &key, 200, "").await?;
    pair.change(Method::PATCH, &path, &json!({"scopes": ["usage:read"]})).await?;
    pair.obeys("other scopes", &key, 403, "missing_scope").await?;
    let rotated = json!({"overlap_seconds": 0});
    let rotated = pair.change(Method::POST, &format!("{path}/rotate"), &rotated).await?;
    pair.obeys("a key that was replaced", &key, 401, "expired_api_key").await?;
    let new = rotated["secret"].as_str().unwrap_or_default();
    pair.obeys("a key in its place", new, 403, "missing_scope").await?;
    let (gone, path) = pair.key(&json!({"name": "revoked"})).await?;
    pair.change(Method::POST, &format!("{path}/revoke"), &nothing).await?;
    pair.obeys("a revoked key", &gone, 401, "invalid_api_key").await?;

    let projects = format!("{}/projects", pair.tenant);
    let project = pair.change(Method::POST, &projects, &json!({"name": "research"})).await?;
    let (inside, _) = pair.key(&json!({"name": "inside", "project_id": project["id"]})).await?;
    let project = format!("{projects}/{}", project["id"].as_str().unwrap_or_default());
    pair.change(Method::POST, &format!("{project}/disable"), &nothing).await?;
    pair.obeys("a disabled project", &inside, 403, "project_disabled").await?;

    limits_are_obeyed(pair).await?;
    let (last, _) = pair.key(&json!({"name": "last"})).await?;
    pair.change(Method::POST, &format!("{}/disable", pair.tenant), &nothing).await?;
    pair.obeys("a disabled tenant", &last, 403, "account_disabled").await?;
    pair.change(Method::POST, &format!("{}/enable", pair.tenant), &nothing).await?;
    pair.obeys("an enabled tenant", &last, 200, "").await
}

/// A limit over a model that is set at one gateway, and taken away again.
async fn limits_are_obeyed(pair: &Pair) -> Outcome {
    let (key, path) = pair.key(&json!({"name": "limited"})).await?;
    let id = path.trim_start_matches("/keys/");
    let chat = pair.other.chat(&key);
    assert_eq!(chat.send(&Chat::request("hello", 2)).await?.status, 200);
    for (requests, status) in [(json!(1), 429), (Value::Null, 200)] {
        let limits = json!({"scope": {"key_id": id}, "limits": {"requests_per_minute": requests}});
        pair.change(Method::PUT, &format!("{}/limits", pair.tenant), &limits).await?;
        let changed = Instant::now();
        while chat.send(&Chat::request("hello", 2)).await?.status != status {
            assert!(changed.elapsed() <= PROMISE, "{status} did not come within {PROMISE:?}");
            tokio::time::sleep(LOOK_PAUSE).await;
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_reach_the_other_gateway_within_two_seconds_on_sqlite() -> Outcome {
    changes_are_obeyed(&pair(None).await?).await
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_reach_the_other_gateway_within_two_seconds_on_postgres() -> Outcome {
    let Some(ledger) = create_database().await? else { return Ok(()) };
    changes_are_obeyed(&pair(Some(ledger)).await?).await
}
