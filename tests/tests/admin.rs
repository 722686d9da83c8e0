//! The admin API over the real program: who gets in, what each resource does, and that bad input is told so.
//! Never looks inside the program: HTTP, the command line and what it prints are all it has.
//! Run by `cargo xtask test`, one at a time.
//!
//! Long because every operation has a row in one of the tables here, and rows are read side by side.

use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::{Value, json};
use tests::harness::{Admin, Chat, Installation, Outcome, Server};

/// A simulated engine under the priced name.
const SIMULATED: &str = "[[model]]\nname = \"demo\"\nsource = \"sim\"\n[model.sim]\ndecode_step_us = 0\n";

/// A running server takes a change over within two seconds; a busy machine takes longer.
const TAKEN_OVER_MAX: Duration = Duration::from_secs(10);

/// A started server, and an operator at its admin API.
async fn first_start(installation: &mut Installation) -> Outcome<(Server, Admin)> {
    let server = installation.start().await?;
    let token = server.banner().operator_token.clone().unwrap_or_default();
    let admin = server.admin(&token);
    Ok((server, admin))
}

/// The path of the demo tenant.
async fn demo_tenant(admin: &Admin) -> Outcome<String> {
    let tenants = admin.get("/tenants").await?;
    assert_eq!(tenants.status, 200, "{}", tenants.body);
    let id = tenants.body["data"][0]["id"].as_str().unwrap_or_default().to_owned();
    Ok(format!("/tenants/{id}"))
}

/// Every operation of the document, with ids that name nothing in its path.
async fn operations(admin: &Admin) -> Outcome<Vec<(Method, String)>> {
    let document = admin.get("/openapi.json").await?;
    assert_eq!(document.status, 200);
    let mut found = Vec::new();
    for (path, item) in document.body["paths"].as_object().into_iter().flatten() {
        for method in item.as_object().into_iter().flatten().map(|(method, _)| method) {
            let path = path
                .replace("{tenant_id}", "01980000-0000-7000-8000-000000000000")
                .replace("{plan_version}", "nothing@1")
                .replace("{project_id}", "01980000-0000-7000-8000-000000000001")
                .replace("{user_id}", "01980000-0000-7000-8000-000000000002")
                .replace("{operator}", "nobody")
                .replace("{key_id}", "nothing")
                .replace("{number}", "TG-999999");
            let method = Method::from_bytes(method.to_uppercase().as_bytes()).unwrap_or_default();
            found.push((method, path.trim_start_matches("/admin/v1").to_owned()));
        }
    }
    assert!(found.len() >= 15, "{found:?}");
    Ok(found)
}

#[tokio::test(flavor = "multi_thread")]
async fn only_operators_get_in() -> Outcome {
    let mut installation = Installation::new(SIMULATED)?;
    let (server, admin) = first_start(&mut installation).await?;
    let key = server.banner().api_key.clone().unwrap_or_default();
    let token = server.banner().operator_token.clone().unwrap_or_default();
    let viewer = admin.post("/operators", &json!({"name": "viewer"})).await?;
    assert_eq!(viewer.status, 201, "{}", viewer.body);
    let viewer = server.admin(viewer.body["token"].as_str().unwrap_or_default());
    let asked = Instant::now();
    while viewer.get("/tenants").await?.status != 200 {
        assert!(asked.elapsed() < TAKEN_OVER_MAX, "the new operator is not known");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let rows = [
        ("", "missing_operator_token"),
        ("nonsense", "invalid_operator_token"),
        (key.as_str(), "invalid_operator_token"),
        (&token[..token.len() - 1], "invalid_operator_token"),
        ("tgop-aaaaaaaaaaaa-bbbb", "invalid_operator_token"),
    ];
    for (method, path) in operations(&admin).await? {
        for (token, code) in rows {
            let answer = server.admin(token).send(method.clone(), &path, None).await?;
            assert_eq!(
                (answer.status.as_u16(), answer.code()),
                (401, code),
                "{method} {path} with {token:?}"
            );
            assert_eq!(answer.header("www-authenticate"), "Bearer");
        }
        let looked = viewer.send(method.clone(), &path, None).await?;
        let is_refused = (looked.status.as_u16(), looked.code()) == (403, "operator_read_only");
        assert_eq!(
            is_refused,
            method != Method::GET,
            "{method} {path} for one who may only read: {}",
            looked.body
        );
        let answer = admin.send(method.clone(), &path, None).await?;
        assert!(answer.status != 401 && !answer.status.is_server_error(), "{method} {path}: {}", answer.body);
        assert!(!answer.header("x-request-id").is_empty(), "{method} {path}");
    }
    // The operator's token opens nothing for tenants, and the admin API is not on their port.
    assert_eq!(server.chat(&token).get("/models").await?.status, 401);
    let other = Admin::new(&format!("{}/admin/v1", server.origin()), &token);
    assert_eq!(other.get("/tenants").await?.status, 404);
    let nobody = server.admin("");
    for path in ["/openapi.json", "/docs"] {
        let answer = nobody.get(path).await?;
        assert_eq!(answer.status, 200, "{path}");
        assert!(
            !answer.body.to_string().contains(demo_tenant(&admin).await?.trim_start_matches("/tenants/"))
        );
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tenant_is_made_changed_and_shut_out() -> Outcome {
    let mut installation = Installation::new(SIMULATED)?;
    let (server, admin) = first_start(&mut installation).await?;
    let new = json!({"name": "acme", "plan": "demo", "zone": "Europe/Berlin"});
    let made = admin.post("/tenants", &new).await?;
    assert_eq!(made.status, 201, "{}", made.body);
    assert_eq!(admin.post("/tenants", &new).await?.status, 409);
    let path = format!("/tenants/{}", made.body["id"].as_str().unwrap_or_default());
    let key = admin.post(&format!("{path}/keys"), &json!({"name": "first", "models": ["demo"]})).await?;
    assert_eq!(key.status, 201, "{}", key.body);
    let secret = key.body["secret"].as_str().unwrap_or_default();
    server.knows(secret).await?;
    assert_eq!(server.chat(secret).send(&Chat::request("hello", 3)).await?.status, 200);

    let limits = json!({"limits": {"requests_per_minute": 7}});
    let changed = admin.patch(&path, &limits).await?;
    assert_eq!(changed.status, 200, "{}", changed.body);
    assert_eq!(changed.body["limits"]["requests_per_minute"], 7);
    assert_eq!(changed.body["plan"], "demo");

    for (action, status) in [("disable", 403), ("enable", 200)] {
        let answer = admin.post(&format!("{path}/{action}"), &Value::Null).await?;
        assert_eq!(answer.status, 200, "{}", answer.body);
        becomes(&server, secret, status).await?;
    }
    let id = key.body["key"]["id"].as_str().unwrap_or_default();
    let shown = admin.get(&format!("/keys/{id}")).await?;
    assert!(
        !shown.body.to_string().contains(secret.rsplit('-').next().unwrap_or("?")),
        "a secret is shown once"
    );
    assert_eq!(admin.post(&format!("/keys/{id}/revoke"), &Value::Null).await?.status, 200);
    becomes(&server, secret, 401).await?;

    let pages = [admin.get("/tenants?limit=1").await?.body, admin.get("/tenants?limit=2").await?.body];
    assert_eq!(pages[0]["data"].as_array().map(Vec::len), Some(1));
    assert!(pages[1]["next_cursor"].is_null(), "{}", pages[1]);
    let cursor = pages[0]["next_cursor"].as_str().unwrap_or_default();
    let second = admin.get(&format!("/tenants?limit=1&cursor={cursor}")).await?.body;
    assert_eq!(second["data"][0]["id"], pages[1]["data"][1]["id"], "{second}");
    Ok(())
}

/// Waits until a key is answered with a status.
async fn becomes(server: &Server, key: &str, status: u16) -> Outcome {
    let asked = Instant::now();
    while server.chat(key).get("/models").await?.status != status {
        assert!(asked.elapsed() < TAKEN_OVER_MAX, "{status} never came");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok(())
}

/// Method, path, body, and what must come of it.
type Row<'a> = (&'a str, &'a str, Value, u16, &'a str);

/// Wrong input to what is about operators, keys in use and long lists.
fn rows_of_people_and_keys() -> Vec<Row<'static>> {
    vec![
        ("PATCH", "/keys/nothing", json!({"name": "x"}), 404, "not_found"),
        ("PATCH", "/keys/nothing", json!({"project_id": null}), 400, "unknown_field"),
        ("PATCH", "/keys/nothing", json!({"scopes": []}), 400, "invalid_value"),
        ("PATCH", "/keys/nothing", json!({"expires_at": "soon"}), 400, "invalid_value"),
        ("GET", "/plans?cursor=demo", Value::Null, 400, "invalid_value"),
        ("GET", "/journals?cursor=x", Value::Null, 400, "invalid_value"),
        ("GET", "/operators?cursor=a%00", Value::Null, 400, "invalid_value"),
        ("GET", "/operators/nobody", Value::Null, 404, "not_found"),
        ("POST", "/operators", json!({"name": "a b"}), 400, "invalid_value"),
        ("POST", "/operators", json!({"name": "a", "role": "king"}), 400, "invalid_value"),
        ("POST", "/operators/operator/disable", Value::Null, 409, "own_operator"),
    ]
}

async fn refuses(admin: &Admin, rows: &[Row<'_>]) -> Outcome {
    for (method, path, body, status, code) in rows {
        let verb = Method::from_bytes(method.as_bytes()).unwrap_or_default();
        let answer = admin.send(verb, path, Some(body)).await?;
        assert_eq!(
            (answer.status.as_u16(), answer.code()),
            (*status, *code),
            "{method} {path} {body}: {}",
            answer.body
        );
        assert!(answer.body["error"]["message"].is_string(), "{method} {path}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_input_is_told_and_changes_nothing() -> Outcome {
    let mut installation = Installation::new(SIMULATED)?;
    let (_server, admin) = first_start(&mut installation).await?;
    let demo = demo_tenant(&admin).await?;
    let before = admin.get(&demo).await?.body;
    let unknown = "/tenants/01980000-0000-7000-8000-000000000000";
    let keys = format!("{demo}/keys");
    let rows: Vec<Row<'_>> = vec![
        ("POST", "/tenants", json!({"name": "a"}), 400, "missing_required_parameter"),
        ("POST", "/tenants", json!({"name": "A", "plan": "demo"}), 400, "invalid_value"),
        ("POST", "/tenants", json!({"name": "a", "plan": "no"}), 400, "unknown_plan"),
        ("POST", "/tenants", json!({"name": "a", "plan": "demo", "zone": "Mars"}), 400, "invalid_value"),
        ("POST", "/tenants", json!({"name": "a", "plan": "demo", "colour": 1}), 400, "unknown_field"),
        ("POST", "/tenants", json!(["a", "demo"]), 400, "invalid_json"),
        ("POST", "/tenants", json!({"name": "a\u{0}", "plan": "demo"}), 400, "invalid_value"),
        ("PATCH", demo.as_str(), json!({"limits": {"concurrency": 0}}), 400, "invalid_value"),
        ("PATCH", demo.as_str(), json!({"limits": {"concurrency": -1}}), 400, "invalid_value"),
        ("PATCH", demo.as_str(), json!({"limits": {"concurrency": u64::MAX}}), 400, "invalid_value"),
        ("PATCH", demo.as_str(), json!({"limits": {"tokens": 1}}), 400, "unknown_field"),
        ("PATCH", demo.as_str(), json!({"plan": "no"}), 400, "unknown_plan"),
        ("PATCH", unknown, json!({}), 404, "not_found"),
        ("GET", unknown, Value::Null, 404, "not_found"),
        ("GET", "/tenants/acme", Value::Null, 400, "invalid_value"),
        ("GET", "/tenants?limit=0", Value::Null, 400, "invalid_query"),
        ("GET", "/tenants?limit=1001", Value::Null, 400, "invalid_query"),
        ("GET", "/tenants?colour=1", Value::Null, 400, "invalid_query"),
        ("GET", "/tenants?cursor=x", Value::Null, 400, "invalid_value"),
        ("GET", "/nothing", Value::Null, 404, "unknown_url"),
        ("DELETE", "/tenants", Value::Null, 405, "method_not_allowed"),
        ("PUT", demo.as_str(), json!({}), 405, "method_not_allowed"),
        ("POST", "/openapi.json", Value::Null, 405, "method_not_allowed"),
        ("POST", keys.as_str(), json!({"name": ""}), 400, "invalid_value"),
        ("POST", keys.as_str(), json!({"name": "a\nb"}), 400, "invalid_value"),
        ("POST", keys.as_str(), json!({"name": "a", "models": []}), 400, "invalid_value"),
        ("POST", keys.as_str(), json!({"name": "a", "models": ["a b"]}), 400, "invalid_value"),
        ("GET", "/keys/a-b", Value::Null, 400, "invalid_value"),
        ("POST", "/keys/nothing/revoke", Value::Null, 404, "not_found"),
        ("POST", "/plans", json!({"source": "name = 1"}), 400, "invalid_plan"),
        ("POST", "/plans/validate", json!({"source": "\u{0}"}), 400, "invalid_plan"),
        ("GET", "/plans/demo@99", Value::Null, 404, "not_found"),
        ("GET", "/plans/a%00b", Value::Null, 400, "invalid_value"),
        ("GET", "/invoices/TG-9", Value::Null, 404, "not_found"),
        ("GET", "/invoices/%00", Value::Null, 404, "not_found"),
        ("GET", "/invoices/%ff", Value::Null, 404, "not_found"),
    ];
    refuses(&admin, &rows).await?;
    refuses(&admin, &rows_of_people_and_keys()).await?;
    refuses_spans(&admin, &demo).await?;
    assert_eq!(admin.get(&demo).await?.body, before);
    assert_eq!(admin.get("/tenants").await?.body["data"].as_array().map(Vec::len), Some(1));
    Ok(())
}

/// Spans of time that are none.
async fn refuses_spans(admin: &Admin, tenant: &str) -> Outcome {
    for path in [
        "?month=2026-13",
        "?month=2026-01&from=x",
        "?from=2026-01-01T00:00:00Z",
        "?by=colour",
        "?from=2026-02-01T00:00:00Z&to=2026-01-01T00:00:00Z",
        "?from=x&to=y",
        "?by=hour&from=2020-01-01T00:00:00Z&to=2026-01-01T00:00:00Z",
    ] {
        let answer = admin.get(&format!("{tenant}/usage{path}")).await?;
        assert_eq!(answer.status, 400, "{path}: {}", answer.body);
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn usage_and_invoices_say_what_the_command_line_says() -> Outcome {
    let mut installation = Installation::new(SIMULATED)?;
    let (server, admin) = first_start(&mut installation).await?;
    let key = server.banner().api_key.clone().unwrap_or_default();
    for _ in 0..3 {
        assert_eq!(server.chat(&key).send(&Chat::request("hello", 4)).await?.status, 200);
    }
    let demo = demo_tenant(&admin).await?;
    let asked = Instant::now();
    // A full page of three has all of them, however they were shipped.
    while admin.get(&format!("{demo}/records?limit=3")).await?.body["next_cursor"].is_null() {
        assert!(asked.elapsed() < TAKEN_OVER_MAX, "the records are not shipped");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let records = admin.get(&format!("{demo}/records?limit=2")).await?.body;
    assert_eq!(records["data"].as_array().map(Vec::len), Some(2), "{records}");
    let cursor = records["next_cursor"].as_str().unwrap_or_default();
    let rest = admin.get(&format!("{demo}/records?limit=2&cursor={cursor}")).await?.body;
    assert_eq!(rest["data"].as_array().map(Vec::len), Some(1), "{rest}");
    assert_eq!(json!(installation.records("demo")?[2]), rest["data"][0]);

    let usage = admin.get(&format!("{demo}/usage?by=day")).await?.body;
    assert_eq!(usage["data"][0]["requests"], 3, "{usage}");
    let draft = admin.get(&format!("{demo}/invoices/draft")).await?.body;
    let printed: Value = serde_json::from_str(&installation.run(&["invoice", "demo", "--format", "json"])?)
        .unwrap_or_default();
    assert_eq!(draft["lines"], printed["lines"]);
    let page = admin.get(&format!("{demo}/invoices/draft.html")).await?;
    assert!(page.header("content-type").starts_with("text/html"));
    // A month that still runs cannot be issued.
    let month = draft["period"]["start"].as_str().unwrap_or_default()[..7].to_owned();
    let refused = admin.post(&format!("{demo}/invoices"), &json!({"month": month})).await?;
    assert_eq!(refused.status, 409, "{}", refused.body);
    assert_eq!(admin.get(&format!("{demo}/invoices")).await?.body["data"], json!([]));
    let backends = admin.get("/backends").await?.body;
    assert_eq!(backends["is_ready"], true, "{backends}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn every_change_is_in_the_audit_log_whoever_makes_it() -> Outcome {
    let mut installation = Installation::new(SIMULATED)?;
    let (_server, admin) = first_start(&mut installation).await?;
    let made = admin.post("/tenants", &json!({"name": "acme", "plan": "demo"})).await?;
    let id = made.body["id"].as_str().unwrap_or_default().to_owned();
    let key = admin.post(&format!("/tenants/{id}/keys"), &json!({"name": "first"})).await?;
    let secret = key.body["secret"].as_str().unwrap_or_default();
    installation.run(&["tenant", "disable", "acme"])?;
    let log = admin.get(&format!("/audit-log?tenant_id={id}")).await?;
    assert_eq!(log.status, 200, "{}", log.body);
    let rows: Vec<_> = log.body["data"].as_array().into_iter().flatten().cloned().collect();
    let told: Vec<_> = rows.iter().map(|row| (row["action"].as_str(), row["actor_kind"].as_str())).collect();
    let expected = [
        (Some("tenant.changed"), Some("command_line")),
        (Some("key.created"), Some("operator")),
        (Some("tenant.created"), Some("operator")),
    ];
    assert_eq!(told, expected, "{}", log.body);
    assert_eq!(rows[2]["actor"], "operator");
    assert_eq!(rows[2]["request_id"].as_str(), Some(made.header("x-request-id")));
    assert!(!log.body.to_string().contains(secret.rsplit('-').next().unwrap_or("?")));
    let page = admin.get(&format!("/audit-log?tenant_id={id}&limit=1")).await?.body;
    assert_eq!(page["next_cursor"], rows[0]["sequence"].to_string(), "{page}");
    let printed = installation.run(&["audit", "--tenant", "acme"])?;
    assert_eq!(printed.lines().count(), 3, "{printed}");
    for query in ["tenant_id=x", "cursor=-1", "cursor=x", "actor=", "colour=1", "object_id=%00"] {
        assert_eq!(admin.get(&format!("/audit-log?{query}")).await?.status, 400, "{query}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn projects_limits_grants_and_rotation_work_over_http() -> Outcome {
    let mut installation = Installation::new(SIMULATED)?;
    let (server, admin) = first_start(&mut installation).await?;
    let demo = demo_tenant(&admin).await?;
    let (projects, keys, limits, grants) = (
        format!("{demo}/projects"),
        format!("{demo}/keys"),
        format!("{demo}/limits"),
        format!("{demo}/grants"),
    );
    let top = admin.post(&projects, &json!({"name": "research"})).await?;
    assert_eq!(top.status, 201, "{}", top.body);
    let below = json!({"name": "nlp", "parent_id": top.body["id"], "limits": {"requests_per_day": 9}});
    let below = admin.post(&projects, &below).await?;
    assert_eq!(
        (below.status.as_u16(), below.body["path"].as_str()),
        (201, Some("research/nlp")),
        "{}",
        below.body
    );
    let key = json!({"name": "k", "project_id": below.body["id"], "scopes": ["models:read"]});
    let key = admin.post(&keys, &key).await?;
    assert_eq!(key.status, 201, "{}", key.body);
    let secret = key.body["secret"].as_str().unwrap_or_default();
    server.knows(secret).await?;
    let refused = server.chat(secret).send(&Chat::request("hello", 3)).await?;
    assert_eq!((refused.status.as_u16(), refused.code()), (403, "missing_scope"), "{}", refused.body);
    let path = format!("/keys/{}", key.body["key"]["id"].as_str().unwrap_or_default());
    let rotated = admin.post(&format!("{path}/rotate"), &json!({"overlap_seconds": 0})).await?;
    assert_eq!(rotated.status, 201, "{}", rotated.body);
    assert_eq!(rotated.body["key"]["project_id"], below.body["id"]);
    server.knows(rotated.body["secret"].as_str().unwrap_or_default()).await?;
    becomes(&server, secret, 401).await?;
    let budget = json!({"scope": {"project_id": top.body["id"]}, "model": "demo",
        "limits": {"budget": {"amount_nanos": 5, "period": "month"}}});
    let set = admin.send(Method::PUT, &limits, Some(&budget)).await?;
    assert_eq!(set.status, 200, "{}", set.body);
    let all = admin.get(&limits).await?.body;
    assert_eq!(all["data"].as_array().map(Vec::len), Some(2), "{all}");
    let grant = json!({"amount_nanos": 7_000_000_000_i64, "idempotency_key": "first"});
    for status in [201, 200] {
        assert_eq!(admin.post(&grants, &grant).await?.status.as_u16(), status);
    }
    let balance = admin.get(&format!("{demo}/balance")).await?.body;
    assert_eq!(balance["left_nanos"], 7_000_000_000_i64, "{balance}");
    let terms = json!({"overage": "allow", "overage_nanos": 5, "recharge_below_nanos": 8_000_000_000_i64});
    let set = admin.send(Method::PUT, &format!("{demo}/credit-terms"), Some(&terms)).await?;
    assert_eq!((set.status.as_u16(), &set.body), (200, &terms), "{}", set.body);
    assert_eq!(admin.get(&format!("{demo}/credit-terms")).await?.body, terms);
    let events = admin.get(&format!("{demo}/events")).await?.body;
    assert_eq!(
        (&events["data"][0]["type"], &events["data"][0]["data"]["balance"]),
        (&json!("credit.low"), &json!("7.00"))
    );
    let transfers = admin.get(&format!("{demo}/transfers")).await?.body;
    assert_eq!(
        (&transfers["data"][0]["from"], &transfers["data"][0]["amount_nanos"]),
        (&json!("issued"), &grant["amount_nanos"])
    );
    let project = format!("{projects}/{}", top.body["id"].as_str().unwrap_or_default());
    assert!(!admin.post(&format!("{project}/disable"), &Value::Null).await?.body["disabled_at"].is_null());
    assert!(admin.post(&format!("{project}/enable"), &Value::Null).await?.body["disabled_at"].is_null());
    refuses_wrong_resources(&admin, &demo).await
}

/// Projects, keys and grants that are none; the tenant has the project `research` and the grant `first`.
async fn refuses_wrong_resources(admin: &Admin, tenant: &str) -> Outcome {
    let [projects, keys, grants] = ["projects", "keys", "grants"].map(|name| format!("{tenant}/{name}"));
    let other = json!({"amount_nanos": 8, "idempotency_key": "first"});
    let unknown = json!({"name": "k", "project_id": "01980000-0000-7000-8000-000000000001"});
    let rows = [
        (grants.as_str(), other, 409, "conflict"),
        (&grants, json!({"amount_nanos": 0, "idempotency_key": "x"}), 400, "invalid_value"),
        (&grants, json!({"amount_nanos": 1.5, "idempotency_key": "x"}), 400, "invalid_value"),
        (&grants, json!({"amount_nanos": 1, "idempotency_key": ""}), 400, "invalid_value"),
        (&grants, json!({"amount_nanos": 1, "idempotency_key": "x", "priority": 3}), 400, "invalid_value"),
        (&grants, json!({"amount_nanos": 1, "idempotency_key": "x", "models": []}), 400, "invalid_value"),
        (
            &grants,
            json!({"amount_nanos": 1, "idempotency_key": "x", "expires_at": "2001-01-01T00:00:00Z"}),
            400,
            "invalid_value",
        ),
        (
            &grants,
            json!({"amount_nanos": 7_000_000_000_i64, "idempotency_key": "first", "kind": "refund"}),
            409,
            "conflict",
        ),
        (&grants, json!({"amount_nanos": 1, "idempotency_key": "a\u{0}"}), 400, "invalid_value"),
        (&projects, json!({"name": "research"}), 409, "conflict"),
        (&projects, json!({"name": "Bad"}), 400, "invalid_value"),
        (&projects, json!({"name": "a", "parent_id": "x"}), 400, "invalid_value"),
        (&keys, unknown, 404, "not_found"),
        (&keys, json!({"name": "k", "scopes": []}), 400, "invalid_value"),
        (&keys, json!({"name": "k", "scopes": ["admin"]}), 400, "invalid_value"),
        (&keys, json!({"name": "k", "expires_at": "tomorrow"}), 400, "invalid_value"),
        (&keys, json!({"name": "k", "expires_at": "2001-01-01T00:00:00Z"}), 400, "invalid_value"),
    ];
    for (path, body, status, code) in rows {
        let answer = admin.post(path, &body).await?;
        assert_eq!((answer.status.as_u16(), answer.code()), (status, code), "{path} {body}: {}", answer.body);
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_runs_through_a_reload() -> Outcome {
    let slow = SIMULATED.replace("decode_step_us = 0", "decode_step_us = 10000");
    let mut installation = Installation::new(&slow)?;
    let (server, admin) = first_start(&mut installation).await?;
    let key = server.banner().api_key.clone().unwrap_or_default();
    let file = installation.folder().join("tallygate.toml");
    let write =
        |text: &str| std::fs::write(&file, text).map_err(tests::harness::HarnessError::io("tallygate.toml"));
    let mut stream = server.chat(&key).stream(&Chat::request("a story", 150)).await?;
    assert!(stream.next().await?.is_some());
    assert_eq!(admin.post("/reload", &Value::Null).await?.body["sections"], json!([]));
    // A fault is told with its place; a section that needs a restart is named; neither changes anything.
    write(&format!("{slow}[server]\nworkers = \"many\"\n"))?;
    let fault = admin.post("/reload", &Value::Null).await?;
    assert_eq!((fault.status.as_u16(), fault.code()), (400, "invalid_config"), "{}", fault.body);
    assert!(fault.body["error"]["message"].as_str().is_some_and(|text| text.contains("tallygate.toml:")));
    write(&format!("{slow}[server]\nworkers = 3\n"))?;
    let restart = admin.post("/reload", &Value::Null).await?;
    assert_eq!((restart.status.as_u16(), restart.code()), (409, "needs_restart"), "{}", restart.body);
    assert!(restart.body["error"]["message"].as_str().is_some_and(|text| text.contains("server")));
    // A new issuer counts at once, although its keys cannot be read: its tokens are no longer unknown.
    let token = "eyJhbGciOiJFZERTQSJ9.eyJpc3MiOiJodHRwczovL2xvZ2luLmV4YW1wbGUuY29tIn0.AAAA";
    assert_eq!(server.chat(token).get("/models").await?.code(), "invalid_token");
    let issuer = "[[issuer]]\nissuer = \"https://login.example.com\"\naudience = [\"x\"]\n\
                  jwks_file = \"nothing.json\"\ntenant = \"demo\"\n";
    write(&format!("{slow}{issuer}"))?;
    let taken = admin.post("/reload", &Value::Null).await?;
    assert_eq!(taken.body["sections"], json!(["issuer"]), "{}", taken.body);
    assert_eq!(server.chat(token).get("/models").await?.code(), "issuer_unavailable");
    // The same by signal, back again.
    write(&slow)?;
    server.signal(libc::SIGHUP);
    let asked = Instant::now();
    while server.chat(token).get("/models").await?.code() != "invalid_token" {
        assert!(asked.elapsed() < TAKEN_OVER_MAX, "SIGHUP was not heard");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let received = stream.finish().await?;
    assert!(received.is_done && received.finish_reason.is_some(), "{received:?}");
    Ok(())
}
