//! What the admin API changes of keys, tenants, people and operators, and what it lists of usage, holds and journals.
//! Never looks inside the program, but to put a journal into the ledger that no gateway speaks for.
//! Run by `cargo xtask test`, one at a time.

use std::time::{Duration, Instant};

use billing::ledger::{Complete, Ledger};
use domain::JournalId;
use reqwest::Method;
use serde_json::{Value, json};
use tests::harness::{Admin, Chat, Installation, Outcome, Server};

/// A simulated engine under the priced name, slow enough that a request is seen running.
const SLOW: &str = "[[model]]\nname = \"demo\"\nsource = \"sim\"\n[model.sim]\ndecode_step_us = 20000\n";
/// A running server takes a change over within two seconds; a busy machine takes longer.
const TAKEN_OVER_MAX: Duration = Duration::from_secs(20);

/// A started server, an operator at its admin API, and the path of the demo tenant.
async fn first_start(installation: &mut Installation) -> Outcome<(Server, Admin, String)> {
    let server = installation.start().await?;
    let admin = server.admin(&server.banner().operator_token.clone().unwrap_or_default());
    let tenants = admin.get("/tenants").await?;
    let tenant = format!("/tenants/{}", tenants.body["data"][0]["id"].as_str().unwrap_or_default());
    Ok((server, admin, tenant))
}

/// Asks until what is found is as wanted.
async fn until(admin: &Admin, path: &str, is_there: impl Fn(&Value) -> bool) -> Outcome<Value> {
    let asked = Instant::now();
    loop {
        let found = admin.get(path).await?;
        assert_eq!(found.status, 200, "{path}: {}", found.body);
        if is_there(&found.body) {
            return Ok(found.body);
        }
        assert!(asked.elapsed() < TAKEN_OVER_MAX, "{path}: {}", found.body);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// What was noted of an object, newest first.
async fn noted(admin: &Admin, id: &str) -> Outcome<Vec<Value>> {
    let log = admin.get(&format!("/audit-log?object_id={id}")).await?;
    Ok(log.body["data"].as_array().cloned().unwrap_or_default())
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_and_tenants_change_whole_and_are_noted_so() -> Outcome {
    let mut installation = Installation::new(SLOW)?;
    let (_server, admin, tenant) = first_start(&mut installation).await?;
    let made = admin.post(&format!("{tenant}/keys"), &json!({"name": "first"})).await?;
    let id = made.body["key"]["id"].as_str().unwrap_or_default();
    let path = format!("/keys/{id}");
    let change = json!({"name": "server", "scopes": ["inference"], "models": ["demo"], "slo_class": "batch",
        "expires_at": "2099-01-01T00:00:00Z"});
    let changed = admin.patch(&path, &change).await?;
    assert_eq!(changed.status, 200, "{}", changed.body);
    for (field, value) in change.as_object().into_iter().flatten() {
        let found = &changed.body[field];
        assert!(found == value || found.as_str() == Some("2099-01-01T00:00:00.000000Z"), "{field}: {found}");
    }
    // What is left out stays, null takes away.
    let less =
        admin.patch(&path, &json!({"models": null, "expires_at": null, "slo_class": null})).await?.body;
    assert_eq!(
        (&less["name"], &less["models"], &less["expires_at"]),
        (&json!("server"), &Value::Null, &Value::Null)
    );
    let rows = [
        (json!({"name": "x", "scopes": []}), 400),
        (json!({"name": "x", "expires_at": "2001-01-01T00:00:00Z"}), 400),
        (json!({"name": "x", "slo_class": "golden"}), 400),
    ];
    for (body, status) in rows {
        assert_eq!(admin.patch(&path, &body).await?.status, status, "{body}");
    }
    assert_eq!(admin.get(&path).await?.body["name"], "server", "a refusal changes nothing");
    let log = noted(&admin, id).await?;
    let actions: Vec<_> = log.iter().map(|entry| entry["action"].as_str().unwrap_or_default()).collect();
    assert_eq!(actions, ["key.changed", "key.changed", "key.created"]);
    let last = &log[1];
    assert_eq!(
        (&last["actor"], &last["before"]["name"], &last["after"]["name"]),
        (&json!("operator"), &json!("first"), &json!("server"))
    );
    assert!(last["request_id"].is_string());

    // A tenant: a wrong plan keeps the limits that come with it from counting.
    let both = json!({"plan": "nothing", "limits": {"concurrency": 3}});
    assert_eq!(admin.patch(&tenant, &both).await?.code(), "unknown_plan");
    let wrong = json!({"terms": {"billing": "prepaid"}, "limits": {"concurrency": 0}});
    assert_eq!(admin.patch(&tenant, &wrong).await?.status, 400);
    let found = admin.get(&tenant).await?.body;
    assert_eq!(
        (&found["limits"]["concurrency"], &found["terms"]["billing"]),
        (&Value::Null, &json!("postpaid"))
    );
    subscriptions(&installation, &admin, &tenant).await
}

/// Another plan, and what is kept of the one before.
async fn subscriptions(installation: &Installation, admin: &Admin, tenant: &str) -> Outcome {
    let source = installation.run(&["plan", "show", "demo@1"])?;
    let gold = source.replacen("\"demo\"", "\"gold\"", 1);
    let published = admin.post("/plans", &json!({"source": gold})).await?;
    assert_eq!(published.status, 201, "{}", published.body);
    let path = format!("{tenant}/subscription");
    let before = admin.get(&path).await?.body;
    assert_eq!((&before["sequence"], &before["plan"]), (&json!(1), &json!("demo")));
    let refused = admin.send(Method::PUT, &path, Some(&json!({"plan": "none"}))).await?;
    assert_eq!((refused.status.as_u16(), refused.code()), (400, "unknown_plan"), "{}", refused.body);
    for _ in 0..2 {
        let changed = admin.send(Method::PUT, &path, Some(&json!({"plan": "gold"}))).await?.body;
        assert_eq!((&changed["sequence"], &changed["plan"]), (&json!(2), &json!("gold")), "{changed}");
    }
    let page = admin.get(&format!("{path}/history?limit=1")).await?.body;
    assert_eq!(page["data"][0]["plan"], "gold");
    let cursor = page["next_cursor"].as_str().unwrap_or_default();
    let rest = admin.get(&format!("{path}/history?limit=1&cursor={cursor}")).await?.body;
    assert_eq!((&rest["data"][0], &rest["next_cursor"]), (&before, &Value::Null));
    assert_eq!(admin.get(tenant).await?.body["plan"], "gold");
    let log = noted(admin, tenant.trim_start_matches("/tenants/")).await?;
    assert_eq!(
        (&log[0]["before"]["plan_name"], &log[0]["after"]["plan_name"]),
        (&json!("demo"), &json!("gold"))
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn people_are_made_listed_changed_and_shut_out() -> Outcome {
    let mut installation = Installation::new(SLOW)?;
    let (_server, admin, tenant) = first_start(&mut installation).await?;
    let users = format!("{tenant}/users");
    for (email, role) in [("Anna@example.com", "owner"), ("bert@example.com", "viewer")] {
        let made = admin.post(&users, &json!({"email": email, "role": role})).await?;
        assert_eq!((made.status.as_u16(), &made.body["role"]), (201, &json!(role)), "{}", made.body);
    }
    let rows = [
        (json!({"email": "anna@example.com", "role": "viewer"}), 409, "conflict"),
        (json!({"email": "carl", "role": "viewer"}), 400, "invalid_value"),
        (json!({"email": "carl@example.com", "role": "king"}), 400, "invalid_value"),
        (json!({"email": "carl@example.com", "role": "viewer", "password": "x"}), 400, "unknown_field"),
    ];
    for (body, status, code) in rows {
        let answer = admin.post(&users, &body).await?;
        assert_eq!((answer.status.as_u16(), answer.code()), (status, code), "{body}: {}", answer.body);
    }
    let page = admin.get(&format!("{users}?limit=1")).await?.body;
    let anna = page["data"][0].clone();
    assert_eq!(anna["email"], "anna@example.com");
    let cursor = page["next_cursor"].as_str().unwrap_or_default();
    let rest = admin.get(&format!("{users}?limit=1&cursor={cursor}")).await?.body;
    assert_eq!((&rest["data"][0]["email"], &rest["next_cursor"]), (&json!("bert@example.com"), &Value::Null));
    let path = format!("{users}/{}", anna["id"].as_str().unwrap_or_default());
    assert_eq!(admin.patch(&path, &json!({"role": "billing"})).await?.body["role"], "billing");
    assert!(!admin.post(&format!("{path}/disable"), &Value::Null).await?.body["disabled_at"].is_null());
    assert!(admin.post(&format!("{path}/enable"), &Value::Null).await?.body["disabled_at"].is_null());
    let log = noted(&admin, anna["id"].as_str().unwrap_or_default()).await?;
    assert_eq!(log.len(), 4, "{log:?}");
    Ok(())
}

/// Over HTTP and on the command line; a token is in one answer and in no other.
#[tokio::test(flavor = "multi_thread")]
async fn operators_are_made_listed_and_shut_out() -> Outcome {
    let mut installation = Installation::new(SLOW)?;
    let (server, admin, _) = first_start(&mut installation).await?;
    let made = admin.post("/operators", &json!({"name": "reader", "role": "read_only"})).await?;
    assert_eq!(made.status, 201, "{}", made.body);
    let token = made.body["token"].as_str().unwrap_or_default().to_owned();
    let secret = token.rsplit('-').next().unwrap_or("?").to_owned();
    let printed = installation.run(&["operator", "create", "second", "--role", "admin"])?;
    let second = printed.split_whitespace().find(|word| word.starts_with("tgop-")).unwrap_or_default();
    let (reader, second) = (server.admin(&token), server.admin(second));
    for operator in [&reader, &second] {
        let asked = Instant::now();
        while operator.get("/tenants").await?.status != 200 {
            assert!(asked.elapsed() < TAKEN_OVER_MAX, "a new operator is not known");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
    assert_eq!(reader.post("/operators", &json!({"name": "x"})).await?.code(), "operator_read_only");
    let listed = admin.get("/operators").await?.body;
    let names: Vec<_> =
        listed["data"].as_array().into_iter().flatten().map(|one| one["name"].clone()).collect();
    assert_eq!(names, ["operator", "reader", "second"]);
    assert!(installation.run(&["operator", "list"])?.contains("read_only"));
    assert!(!listed.to_string().contains(&secret));
    assert!(!json!(noted(&admin, "reader").await?).to_string().contains(&secret));
    let own = second.post("/operators/second/disable", &Value::Null).await?;
    assert_eq!((own.status.as_u16(), own.code()), (409, "own_operator"), "{}", own.body);
    assert_eq!(second.post("/operators/reader/disable", &Value::Null).await?.status, 200);
    installation.run(&["operator", "disable", "second"])?;
    for operator in [&reader, &second] {
        let asked = Instant::now();
        while operator.get("/tenants").await?.status != 401 {
            assert!(asked.elapsed() < TAKEN_OVER_MAX, "a disabled operator still gets in");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
    let last = installation.run(&["operator", "disable", "operator"]).err();
    let told = last.map(|error| error.to_string()).unwrap_or_default();
    assert!(told.contains("this is the last operator who may change things"), "{told}");
    assert_eq!(admin.get("/tenants").await?.status, 200);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn holds_are_seen_while_requests_run_and_usage_by_project_after() -> Outcome {
    let mut installation = Installation::new(SLOW)?;
    let (server, admin, tenant) = first_start(&mut installation).await?;
    let projects = format!("{tenant}/projects");
    let top = admin.post(&projects, &json!({"name": "research"})).await?.body;
    let below = admin.post(&projects, &json!({"name": "nlp", "parent_id": top["id"]})).await?.body;
    let budget = json!({"limits": {"budget": {"amount_nanos": 900_000_000, "period": "month"}}});
    assert_eq!(admin.patch(&tenant, &budget).await?.status, 200);
    let mut keys = Vec::new();
    for project in [&top["id"], &below["id"], &Value::Null] {
        let made =
            admin.post(&format!("{tenant}/keys"), &json!({"name": "k", "project_id": project})).await?.body;
        keys.push(made["secret"].as_str().unwrap_or_default().to_owned());
    }
    for key in &keys {
        server.knows(key).await?;
    }
    let holds = format!("{tenant}/holds");
    assert_eq!(admin.get(&holds).await?.body["data"], json!([]));
    let mut stream = server.chat(&keys[0]).stream(&Chat::request("a story", 60)).await?;
    assert!(stream.next().await?.is_some());
    let held = until(&admin, &holds, |page| page["data"][0].is_object()).await?;
    let hold = &held["data"][0];
    assert!(hold["amount_nanos"].as_i64() > Some(0) && hold["tokens"].as_u64() >= Some(60), "{held}");
    assert!(hold["expires_at"].as_str() > hold["held_at"].as_str(), "{held}");
    stream.finish().await?;
    until(&admin, &holds, |page| page["data"] == json!([])).await?;
    for key in &keys {
        assert_eq!(server.chat(key).send(&Chat::request("hello", 3)).await?.status, 200);
    }
    usage_by_project(&installation, &admin, &tenant, [&top["id"], &below["id"]]).await
}

/// Four requests: one of no project, two of `research`, one of the project below it.
async fn usage_by_project(
    installation: &Installation,
    admin: &Admin,
    tenant: &str,
    [top, below]: [&Value; 2],
) -> Outcome {
    let by_project = format!("{tenant}/usage?by=project");
    let requests = |page: &Value| {
        page["data"].as_array().into_iter().flatten().filter_map(|row| row["requests"].as_u64()).sum::<u64>()
    };
    let usage = until(admin, &by_project, |page| requests(page) == 4).await?;
    let rows: Vec<_> = usage["data"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|row| (row["group"].clone(), row["project_id"].clone(), row["requests"].clone()))
        .collect();
    let expected = [
        (json!("(no project)"), Value::Null, json!(1)),
        (json!("research"), top.clone(), json!(2)),
        (json!("research/nlp"), below.clone(), json!(1)),
    ];
    assert_eq!(rows, expected);
    // A project includes those below it, wherever it is asked for.
    for (project, count) in [("research", 3), ("research/nlp", 1)] {
        let found = admin.get(&format!("{tenant}/usage?project={project}")).await?.body;
        assert_eq!(requests(&found), count, "{project}: {found}");
        let records = admin.get(&format!("{tenant}/records?project={project}")).await?.body;
        assert_eq!(records["data"].as_array().map(Vec::len), usize::try_from(count).ok(), "{records}");
    }
    let page = admin.get(&format!("{by_project}&limit=2")).await?.body;
    assert_eq!(page["next_cursor"], "research");
    let rest = admin.get(&format!("{by_project}&limit=2&cursor=research")).await?.body;
    assert_eq!(rest["data"].as_array().map(Vec::len), Some(1), "{rest}");
    let unknown = admin.get(&format!("{tenant}/usage?project=nothing")).await?;
    assert_eq!((unknown.status.as_u16(), unknown.code()), (400, "unknown_project"));
    exports_name_projects(installation)?;
    // The invoice divides as usage does, and shows whole paths.
    let draft = admin.get(&format!("{tenant}/invoices/draft")).await?.body;
    let shares: Vec<_> = draft["projects"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|share| (share["path"].clone(), share["records"].clone()))
        .collect();
    assert_eq!(
        shares,
        [(json!("(no project)"), json!(1)), (json!("research"), json!(2)), (json!("research/nlp"), json!(1))]
    );
    Ok(())
}

/// The records' CSV of the command line, with projects by path and id.
fn exports_name_projects(installation: &Installation) -> Outcome {
    let csv =
        installation.run(&["usage", "demo", "--records", "--format", "csv", "--project", "research"])?;
    let mut lines = csv.lines().map(|line| line.split(',').collect::<Vec<_>>());
    let head = lines.next().unwrap_or_default();
    let column = |name: &str| head.iter().position(|found| *found == name).unwrap_or(usize::MAX);
    let (path, id, source, charge) =
        (column("project_path"), column("project_id"), column("usage_source"), column("charge_nanos"));
    let rows: Vec<_> = lines.collect();
    assert_eq!(rows.len(), 3, "{csv}");
    for row in rows {
        assert!(row[path].starts_with("research") && row[id].len() == 36, "{row:?}");
        assert!(
            row[source] == "engine" && row[charge].parse::<u64>().is_ok_and(|charge| charge > 0),
            "{row:?}"
        );
    }
    let sums = installation.run(&["usage", "demo", "--by", "project", "--format", "csv"])?;
    assert!(
        sums.lines().next().is_some_and(|head| head.starts_with("group,") && head.ends_with(",project_id"))
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_month_is_issued_when_every_journal_is_complete() -> Outcome {
    let mut installation = Installation::new(SLOW)?;
    let url = format!("sqlite://{}", installation.folder().join("shared.sqlite").display());
    installation = installation.with("LEDGER__URL", &url);
    let mut other = Installation::new(SLOW)?.with("LEDGER__URL", &url);
    let (_server, admin, tenant) = first_start(&mut installation).await?;
    let gone = other.start().await?;
    let journals = until(&admin, "/journals", |page| {
        let all = page["data"].as_array().cloned().unwrap_or_default();
        all.len() == 2 && all.iter().all(|journal| journal["complete_before"].is_string())
    })
    .await?;
    // A gateway that dies is complete up to when it last said so, and not beyond; months that ended before are not kept.
    gone.kill()?;
    let before = admin.post("/tenants", &json!({"name": "acme", "plan": "demo"})).await?;
    assert_eq!(before.status, 201);
    let issue = |body: Value| {
        let admin = admin.clone();
        let path = format!("{tenant}/invoices");
        async move { admin.post(&path, &body).await }
    };
    let last_month = issue(json!({"month": "2020-01"})).await?;
    assert_eq!(
        (last_month.status.as_u16(), last_month.code()),
        (400, "invalid_value"),
        "{}",
        last_month.body
    );
    // It comes back, says at once that it does not know, then that it is complete, and stops for good.
    let back = other.start().await?;
    until(&admin, "/journals", |page| {
        page["data"].as_array().into_iter().flatten().all(|journal| journal["complete_before"].is_string())
    })
    .await?;
    back.stop().await?;
    let ids: Vec<_> =
        journals["data"].as_array().into_iter().flatten().map(|journal| journal["id"].clone()).collect();
    let states = until(&admin, "/journals", |page| page["data"].to_string().contains("\"complete\"")).await?;
    let complete: Vec<_> =
        states["data"].as_array().into_iter().flatten().filter(|one| one["state"] == "complete").collect();
    assert_eq!(complete.len(), 1, "{states}");
    // One that nobody speaks for keeps months from being issued, until it is said to be lost.
    let ledger = Ledger::connect(&url).await.expect("the ledger that the gateways made");
    let lost = JournalId::from_uuid(uuid::Uuid::new_v4());
    ledger.note_complete(lost, Complete::Unknown).await.expect("noted");
    let waiting = issue(json!({"month": "2020-01"})).await?;
    assert_eq!((waiting.status.as_u16(), waiting.code()), (409, "usage_not_shipped"), "{}", waiting.body);
    assert!(waiting.body["error"]["message"].as_str().is_some_and(|text| text.contains(&lost.to_string())));
    let told = issue(json!({"month": "2020-01", "ignore_journals": [lost]})).await?;
    assert_eq!(
        told.code(),
        "invalid_value",
        "it is asked no more, and that month was before the tenant: {}",
        told.body
    );
    let printed = installation.run(&["invoice", "demo", "--period", "2020-01", "--issue"]);
    assert!(printed.expect_err("refused").to_string().contains(&lost.to_string()));
    let lost = lost.to_string();
    let printed =
        installation.run(&["invoice", "demo", "--period", "2020-01", "--issue", "--ignore-journal", &lost]);
    assert!(printed.expect_err("refused").to_string().contains("before tenant"));
    // Nobody may call the journal lost that he asks.
    let mine = states["data"].as_array().into_iter().flatten().find(|one| one["state"] == "open");
    let mine = mine.map(|journal| journal["id"].clone()).unwrap_or_default();
    assert!(ids.contains(&mine));
    let refused = issue(json!({"month": "2020-01", "ignore_journals": [mine]})).await?;
    assert_eq!(refused.body["error"]["param"], "ignore_journals", "{}", refused.body);
    Ok(())
}
