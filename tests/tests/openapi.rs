//! Requests made out of the documents of both ports: no status above 499, no hang, nothing undocumented.
//! Never judges whether an answer makes sense: that is for the tests with clients.
//! Run by `cargo xtask test`; `TALLYGATE_TEST_SEED` repeats a run, `TALLYGATE_TEST_EXAMPLES` makes it longer.

#![expect(clippy::print_stdout, reason = "a test speaks through its captured output")]

use std::{
    collections::BTreeSet,
    env, fs,
    time::{SystemTime, UNIX_EPOCH},
};

use serde_json::{Value, json};
use tests::harness::{
    Described, HarnessError, Installation, Outcome, PYTHON, Server, data_plane_document, needed,
    send_generated,
};

/// A simulated model: what is tested is the interface, and answers cost nothing.
const CONFIG: &str = "[[model]]\nname = \"demo\"\nsource = \"sim\"\n[model.sim]\ndecode_step_us = 0\n";

#[tokio::test(flavor = "multi_thread")]
async fn generated_requests_break_nothing() -> Outcome {
    let Some(python) = needed(PYTHON) else { return Ok(()) };
    let mut installation = Installation::new(CONFIG)?;
    let server = installation.start().await?;
    let key = server.banner().api_key.clone().unwrap_or_default();
    let request = json!({"model": "demo", "input": "x", "max_output_tokens": 2});
    let response = server.wire(&key).post("/responses", &request).await?;
    let described = Described {
        document: data_plane_document().display().to_string(),
        origin: server.origin().to_owned(),
        credential: key,
        known: vec![("model", "demo".to_owned()), ("id", field(&response.body, "id"))],
        seed: seed(),
    };
    port_stands(&python, &installation, server, &described).await
}

#[tokio::test(flavor = "multi_thread")]
async fn generated_requests_break_nothing_at_the_admin_port() -> Outcome {
    let Some(python) = needed(PYTHON) else { return Ok(()) };
    let mut installation = Installation::new(CONFIG)?;
    let server = installation.start().await?;
    let banner = server.banner().clone();
    let token = banner.operator_token.unwrap_or_default();
    let admin = server.admin(&token);
    let tenant = field(&admin.get("/tenants").await?.body["data"][0], "id");
    let project = admin.post(&format!("/tenants/{tenant}/projects"), &json!({"name": "research"})).await?;
    let key = banner.api_key.unwrap_or_default().split('-').nth(1).unwrap_or_default().to_owned();
    let described = Described {
        document: format!("{}/openapi.json", banner.admin_url),
        origin: banner.admin_url.trim_end_matches("/admin/v1").to_owned(),
        credential: token,
        known: vec![
            ("tenant_id", tenant),
            ("project_id", field(&project.body, "id")),
            ("key_id", key),
            ("plan_version", "demo@1".to_owned()),
        ],
        seed: seed(),
    };
    port_stands(&python, &installation, server, &described).await
}

fn field(value: &Value, name: &str) -> String {
    value[name].as_str().unwrap_or_default().to_owned()
}

/// What a document says of a path with a parameter in it, whatever the parameter's name and form.
fn without_names(path: &str) -> String {
    let part = |part: &str| if part.starts_with('{') { "{}".to_owned() } else { part.to_owned() };
    path.split('/').map(part).collect::<Vec<_>>().join("/")
}

#[test]
fn every_route_is_documented_and_no_other() -> Outcome {
    let installation = Installation::new(CONFIG)?;
    let routes = installation.run_json_lines(&["routes", "--format", "json"])?;
    let text = fs::read_to_string(data_plane_document()).map_err(HarnessError::io("openapi.json"))?;
    let document: Value =
        serde_json::from_str(&text).map_err(|source| HarnessError::Json { text, source })?;
    let mut documented = BTreeSet::new();
    for (path, item) in document["paths"].as_object().into_iter().flatten() {
        let methods = item.as_object().into_iter().flatten().map(|(method, _)| method);
        documented.extend(
            methods
                .filter(|method| *method != "parameters")
                .map(|method| (without_names(path), method.to_uppercase())),
        );
    }
    let served: BTreeSet<_> = routes
        .iter()
        .map(|route| (without_names(&field(route, "path")), field(route, "method")))
        // What answers GET answers HEAD; a description that says it everywhere says nothing.
        .filter(|(_, method)| method != "HEAD")
        .collect();
    assert_eq!(documented, served);
    Ok(())
}

async fn port_stands(
    python: &str,
    installation: &Installation,
    server: Server,
    described: &Described,
) -> Outcome {
    assert!(described.known.iter().all(|(_, value)| !value.is_empty()), "{described:?}");
    println!("{}", send_generated(python, described, installation.folder())?);
    // Every request that was admitted has ended: draining does not wait for any.
    assert!(server.stop().await?.success());
    Ok(())
}

fn seed() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| u64::from(since.subsec_nanos()));
    let seed = env::var("TALLYGATE_TEST_SEED").ok().and_then(|text| text.parse().ok()).unwrap_or(now);
    println!("seed {seed}: set TALLYGATE_TEST_SEED={seed} to repeat");
    seed
}
