//! Requests made out of the documents of both ports: no status above 499, no hang, nothing undocumented.
//! Never judges whether an answer makes sense: that is for the tests with clients.
//! Run by `cargo xtask test`; `TALLYGATE_TEST_SEED` repeats a run, `TALLYGATE_TEST_EXAMPLES` makes it longer.

#![expect(clippy::print_stdout, reason = "a test speaks through its captured output")]

use std::{
    collections::BTreeSet,
    env, fs,
    time::{SystemTime, UNIX_EPOCH},
};

use serde_json::Value;
use tests::harness::{
    Banner, Described, HarnessError, Installation, Outcome, PYTHON, data_plane_document, needed,
    send_generated,
};

/// A simulated model: what is tested is the interface, and answers cost nothing.
const CONFIG: &str = "[[model]]\nname = \"demo\"\nsource = \"sim\"\n[model.sim]\ndecode_step_us = 0\n";

#[tokio::test(flavor = "multi_thread")]
async fn generated_requests_break_nothing() -> Outcome {
    let document = data_plane_document().display().to_string();
    port_stands(|banner| Described {
        document: document.clone(),
        origin: banner.base_url.trim_end_matches("/v1").to_owned(),
        credential: banner.api_key.clone().unwrap_or_default(),
        seed: seed(),
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn generated_requests_break_nothing_at_the_admin_port() -> Outcome {
    port_stands(|banner| Described {
        document: format!("{}/openapi.json", banner.admin_url),
        origin: banner.admin_url.trim_end_matches("/admin/v1").to_owned(),
        credential: banner.operator_token.clone().unwrap_or_default(),
        seed: seed(),
    })
    .await
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
    let text = |route: &Value, name: &str| route[name].as_str().unwrap_or_default().to_owned();
    let served: BTreeSet<_> = routes
        .iter()
        .map(|route| (without_names(&text(route, "path")), text(route, "method")))
        // What answers GET answers HEAD; a description that says it everywhere says nothing.
        .filter(|(_, method)| method != "HEAD")
        .collect();
    assert_eq!(documented, served);
    Ok(())
}

async fn port_stands(describe: impl FnOnce(&Banner) -> Described) -> Outcome {
    let Some(python) = needed(PYTHON) else { return Ok(()) };
    let mut installation = Installation::new(CONFIG)?;
    let server = installation.start().await?;
    let described = describe(server.banner());
    println!("{}", send_generated(&python, &described, installation.folder())?);
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
