//! Who is let into an engine node: every route of its table with every kind of credential, and what a gateway gets.
//! Never a list of routes of its own: a route that is added to the program is walked by the next run.
//! Run by `cargo xtask test`.
//!
//! Long because every way of being no gateway is made here, beside the one token that is good.

use std::{
    fs,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use base64::{Engine as _, prelude::BASE64_STANDARD, prelude::BASE64_URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use reqwest::{Method, RequestBuilder, StatusCode};
use serde_json::{Value, json};
use tests::harness::{Chat, EngineNode, HarnessError, Installation, NodeKeys, Outcome};

const SIMULATED: &str =
    "[[model]]\nname = \"demo\"\nsource = \"sim\"\n[model.sim]\nseed = 1\ndecode_step_us = 500\n";

/// How long a node may take to read its keys again.
const NOTICED_MAX: Duration = Duration::from_secs(10);

/// What goes along with every request that runs.
const TERMS: [(&str, &str); 4] = [
    ("x-request-id", "0193-test"),
    ("x-tallygate-deadline-ms", "60000"),
    ("x-tallygate-fairness-key", "00000000000000aa"),
    ("x-tallygate-cache-scope", "00000000000000bb"),
];

/// A gateway's signing key in the hands of a test.
struct Forge {
    key: EncodingKey,
    kid: String,
}

impl Forge {
    fn new(keys: &NodeKeys) -> Outcome<Self> {
        let pem = fs::read_to_string(keys.private()).map_err(HarnessError::io("the private key"))?;
        let der = der(&pem);
        // The name of the key is told by the node's banner; here it is derived as the program derives it.
        let public = der_of_public(&keys.public_pem()?);
        let kid = sha256_prefix(&public);
        Ok(Self { key: EncodingKey::from_ed_der(&der), kid })
    }

    fn header(&self) -> Header {
        let mut header = Header::new(Algorithm::EdDSA);
        header.kid = Some(self.kid.clone());
        header.typ = Some("tallygate-node+jwt".to_owned());
        header
    }

    fn sign(&self, header: &Header, claims: &Value) -> String {
        signed(header, claims, &self.key)
    }

    /// A token with some claims changed.
    fn token(&self, changes: &Value) -> String {
        self.sign(&self.header(), &claims(changes))
    }
}

/// # Panics
/// When it cannot be signed: an empty text would be refused for another reason than the test's.
fn signed(header: &Header, claims: &Value, key: &EncodingKey) -> String {
    let token = encode(header, claims, key).unwrap_or_default();
    assert!(!token.is_empty(), "not signed: {header:?}");
    token
}

fn der(pem: &str) -> Vec<u8> {
    let text: String = pem.lines().filter(|line| !line.starts_with('-')).collect();
    BASE64_STANDARD.decode(text).unwrap_or_default()
}

fn der_of_public(pem: &str) -> Vec<u8> {
    der(pem).split_off(12)
}

fn sha256_prefix(bytes: &[u8]) -> String {
    use sha2::Digest as _;
    sha2::Sha256::digest(bytes).iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}

fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or_default()
}

fn claims(changes: &Value) -> Value {
    let now = now();
    let mut claims =
        json!({"iss": "tallygate-gateway", "aud": "one", "iat": now, "exp": now + 60, "jti": "test"});
    for (name, value) in changes.as_object().into_iter().flatten() {
        claims[name] = value.clone();
    }
    claims
}

/// A request of a route that runs something if it is let in.
fn body(path: &str) -> Option<Value> {
    match path {
        _ if path.ends_with("/chat/completions") => Some(Chat::request("Hello.", 3)),
        _ if path.ends_with("/completions") => {
            Some(json!({"model": "demo", "prompt": "Hello.", "max_tokens": 3}))
        }
        _ => None,
    }
}

fn ask(client: &reqwest::Client, method: &str, origin: &str, path: &str) -> RequestBuilder {
    let method = method.parse::<Method>().unwrap_or_default();
    let request =
        TERMS.iter().fold(client.request(method, format!("{origin}{path}")), |request, (name, value)| {
            request.header(*name, *value)
        });
    match body(path) {
        Some(body) => request.json(&body),
        None => request,
    }
}

/// What is no credential of a gateway of this node, with a name for it.
async fn bad_credentials(keys: &NodeKeys, forge: &Forge) -> Outcome<Vec<(&'static str, Vec<String>)>> {
    let mut gateway = Installation::new("[[model]]\nname = \"demo\"\nsource = \"sim\"\n")?;
    let banner = gateway.start().await?.banner().clone();
    let (tenant, operator) = (banner.api_key.unwrap_or_default(), banner.operator_token.unwrap_or_default());
    let stranger = Forge::new(&NodeKeys::create()?)?;
    let bearer = |token: &str| vec![format!("Bearer {token}")];
    let now = now();
    let mut as_us = stranger.header();
    as_us.kid = Some(forge.kid.clone());
    let mut typed = forge.header();
    typed.typ = Some("JWT".to_owned());
    let shared = |secret: &[u8]| {
        let header = Header { alg: Algorithm::HS256, ..forge.header() };
        signed(&header, &claims(&json!({})), &EncodingKey::from_secret(secret))
    };
    let good = forge.token(&json!({}));
    let parts: Vec<&str> = good.split('.').collect();
    let encoded = |value: &Value| BASE64_URL_SAFE_NO_PAD.encode(value.to_string());
    let unsigned = json!({"alg": "none", "kid": forge.kid, "typ": "tallygate-node+jwt"});
    Ok(vec![
        ("nothing", vec![]),
        ("an empty header", vec![String::new()]),
        ("nonsense", bearer("nonsense")),
        ("a tenant's key", bearer(&tenant)),
        ("an operator's token", bearer(&operator)),
        ("another scheme", vec![format!("Basic {good}")]),
        ("no scheme", vec![good.clone()]),
        ("two good tokens", vec![format!("Bearer {good}"), format!("Bearer {good}")]),
        ("an expired token", bearer(&forge.token(&json!({"iat": now - 120, "exp": now - 60})))),
        ("a token from the future", bearer(&forge.token(&json!({"iat": now + 100, "exp": now + 160})))),
        ("a token for too long", bearer(&forge.token(&json!({"exp": now + 3_600})))),
        ("a token for another node", bearer(&forge.token(&json!({"aud": "two"})))),
        ("a token for nobody", bearer(&forge.token(&json!({"aud": null})))),
        ("a token of another issuer", bearer(&forge.token(&json!({"iss": "https://login.example.com"})))),
        ("a token of another kind", bearer(&forge.sign(&typed, &claims(&json!({}))))),
        ("a stranger's token", bearer(&stranger.token(&json!({})))),
        ("a stranger's token in a known name", bearer(&stranger.sign(&as_us, &claims(&json!({}))))),
        ("the public key as a secret", bearer(&shared(keys.public_pem()?.as_bytes()))),
        ("the public key's bytes as a secret", bearer(&shared(&der_of_public(&keys.public_pem()?)))),
        ("no signature", bearer(&format!("{}.{}.", parts[0], parts[1]))),
        ("no algorithm", bearer(&format!("{}.{}.", encoded(&unsigned), parts[1]))),
        (
            "other claims below the signature",
            bearer(&format!("{}.{}.{}", parts[0], encoded(&claims(&json!({"jti": "other"}))), parts[2])),
        ),
    ])
}

#[tokio::test(flavor = "multi_thread")]
async fn every_route_of_a_node_refuses_every_bad_credential() -> Outcome {
    let keys = NodeKeys::create()?;
    let node = EngineNode::start("one", &[&keys], SIMULATED).await?;
    let forge = Forge::new(&keys)?;
    let routes = node.installation.run_json_lines(&["routes", "--role", "engine", "--format", "json"])?;
    assert!(routes.len() > 5, "{routes:?}");
    let (client, origin) = (reqwest::Client::new(), node.server.origin());
    let (mut opened, credentials) = (0, bad_credentials(&keys, &forge).await?);
    for route in &routes {
        let (method, pattern) =
            (route["method"].as_str().unwrap_or(""), route["path"].as_str().unwrap_or(""));
        let path = pattern.replace("{id}", "none");
        for (what, headers) in &credentials {
            let request = headers.iter().fold(ask(&client, method, origin, &path), |request, value| {
                request.header("authorization", value)
            });
            let answer = request.send().await?;
            let about = format!("{method} {path} with {what}: {}", answer.status());
            if route["access"] == "public" {
                assert_eq!(answer.status(), StatusCode::OK, "{about}");
                continue;
            }
            assert_eq!(answer.status(), StatusCode::UNAUTHORIZED, "{about}");
            assert!(answer.headers().contains_key("www-authenticate"), "{about}");
            let text = answer.text().await?;
            assert!(method == "HEAD" || text.contains("invalid_gateway_token"), "{about}: {text}");
        }
        let request = ask(&client, method, origin, &path).bearer_auth(forge.token(&json!({})));
        let answer = request.send().await?;
        let status = answer.status();
        let is_open = status.is_success() || (method == "DELETE" && status == StatusCode::NOT_FOUND);
        assert!(is_open, "{method} {path} for a gateway: {status} {}", answer.text().await?);
        opened += 1;
    }
    assert_eq!(opened, routes.len());
    let printed = node.server.printed();
    assert!(!printed.contains("eyJ") && !printed.contains("tg-"), "no credential is written down: {printed}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn two_gateways_have_keys_of_their_own_and_one_can_be_taken_away() -> Outcome {
    let (first, second) = (NodeKeys::create()?, NodeKeys::create()?);
    let node = EngineNode::start("one", &[&first, &second], SIMULATED).await?;
    for keys in [&first, &second] {
        let mut gateway = Installation::new(&node.backend(keys, ""))?;
        let server = gateway.start().await?;
        let chat = server.chat(&server.banner().api_key.clone().unwrap_or_default());
        assert_eq!(chat.send(&Chat::request("Hello.", 3)).await?.status, 200);
    }
    let mut gateway = Installation::new(&node.backend(&first, "health_interval_ms = 0"))?;
    let server = gateway.start().await?;
    let chat = server.chat(&server.banner().api_key.clone().unwrap_or_default());
    let mut running = chat.stream(&Chat::request("Hello.", 2_000)).await?;
    running.next().await?;
    // Something else changed as well: nothing is taken over.
    let file = node.installation.folder().join("tallygate.toml");
    let config = fs::read_to_string(&file).map_err(HarnessError::io("the configuration"))?;
    let without = config.replace(&format!("\"{}\", ", first.public().display()), "");
    assert_ne!(without, config);
    for (text, said) in [
        (format!("{without}[slo]\nwhen_late = \"serve\"\n"), "these sections change only at a restart: slo"),
        (without, "keys were read again"),
    ] {
        fs::write(&file, text).map_err(HarnessError::io("the configuration"))?;
        node.server.signal(libc::SIGHUP);
        let asked = Instant::now();
        while !node.server.printed().contains(said) {
            assert!(asked.elapsed() < NOTICED_MAX, "{said}: {}", node.server.printed());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let is_open = said.starts_with("these");
        let answer = chat.send(&Chat::request("Hello.", 3)).await?;
        match is_open {
            true => assert_eq!(answer.status, 200, "{}", answer.body),
            false => {
                assert_eq!((answer.status.as_u16(), answer.code()), (502, "backend_auth"), "{}", answer.body);
            }
        }
    }
    let received = running.finish().await?;
    assert!(received.is_done, "no stream ends by it: {:?}", received.error);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_says_what_it_runs_and_refuses_what_it_cannot_honour() -> Outcome {
    let keys = NodeKeys::create()?;
    let node = EngineNode::start("one", &[&keys], SIMULATED).await?;
    let (forge, client, origin) = (Forge::new(&keys)?, reqwest::Client::new(), node.server.origin());
    let token = forge.token(&json!({}));
    let send = async |request: RequestBuilder| -> Outcome<(u16, Value)> {
        let answer = request.bearer_auth(&token).send().await?;
        let status = answer.status().as_u16();
        let text = answer.text().await?;
        let body = serde_json::from_str(&text).map_err(|source| HarnessError::Json { text, source })?;
        Ok((status, body))
    };
    let (status, models) = send(ask(&client, "GET", origin, "/engine/v1/models")).await?;
    let model = &models["data"][0];
    assert_eq!((status, &models["node"], &model["id"]), (200, &json!("one"), &json!("demo")), "{models}");
    assert_eq!(
        (&model["max_model_len"], &model["energy_source"]),
        (&json!(8192), &json!("modelled")),
        "{models}"
    );

    const CHAT: &str = "/engine/v1/chat/completions";
    let (status, answer) = send(ask(&client, "POST", origin, CHAT)).await?;
    assert_eq!(
        (status, &answer["object"], &answer["choices"][0]["finish_reason"]),
        (200, &json!("chat.completion"), &json!("length")),
        "{answer}"
    );
    assert_eq!(answer["usage"]["completion_tokens"], 3, "{answer}");
    assert!(answer["usage"]["energy_mj"].is_u64() && answer["usage"]["queue_us"].is_u64(), "{answer}");

    let changed = |change: Value| {
        let mut body = Chat::request("Hello.", 3);
        for (name, value) in change.as_object().into_iter().flatten() {
            body[name] = value.clone();
        }
        let post = client.post(format!("{origin}{CHAT}"));
        TERMS.iter().fold(post, |post, (name, value)| post.header(*name, *value)).json(&body)
    };
    for (change, status, param) in [
        (json!({"model": "none"}), 404, "model"),
        (json!({"n": 2}), 400, "n"),
        (json!({"tools": [{}]}), 400, "tools"),
        (json!({"temperature": 9}), 400, "temperature"),
        (json!({"messages": []}), 400, "messages"),
        (json!({"max_tokens": 0}), 400, "max_tokens"),
        (json!({"messages": [{"role": "user", "content": "word ".repeat(9_000)}]}), 400, "messages"),
    ] {
        let (found, body) = send(changed(change.clone())).await?;
        assert_eq!((found, &body["error"]["param"]), (status, &json!(param)), "{change}: {body}");
    }
    // Without a scope prompts would be shared by all; a request without its terms is not run.
    for missing in TERMS.map(|(name, _)| name) {
        let post = client.post(format!("{origin}{CHAT}")).json(&Chat::request("Hello.", 3));
        let some = TERMS.iter().filter(|(name, _)| *name != missing);
        let (status, body) = send(some.fold(post, |post, (name, value)| post.header(*name, *value))).await?;
        assert_eq!((status, &body["error"]["param"]), (400, &json!(missing)), "{body}");
    }
    for (method, path) in
        [("GET", "/v1/models"), ("GET", "/"), ("GET", "/admin/v1/tenants"), ("POST", "/v1/chat/completions")]
    {
        let (status, body) = send(ask(&client, method, origin, path)).await?;
        assert_eq!((status, &body["error"]["code"]), (404, &json!("unknown_url")), "{method} {path}");
    }
    let (status, body) = send(ask(&client, "GET", origin, CHAT)).await?;
    assert_eq!((status, &body["error"]["code"]), (405, &json!("method_not_allowed")), "{body}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn records_add_up_to_the_joules_that_the_node_gave_to_requests() -> Outcome {
    let (keys, modelled) =
        (NodeKeys::create()?, "[energy]\nsource = \"modelled\"\nbusy_milliwatts = 80000\n");
    let node = EngineNode::start("one", &[&keys], &format!("{modelled}{SIMULATED}")).await?;
    let mut gateway =
        Installation::new(&format!("{}mj_per_output_token = 1000000\n", node.backend(&keys, "")))?;
    let server = gateway.start().await?;
    let chat = server.chat(&server.banner().api_key.clone().unwrap_or_default());
    for tokens in [3, 40, 200] {
        let mut asked = Chat::request("Hello.", tokens);
        asked["ignore_eos"] = json!(true);
        assert_eq!(chat.send(&asked).await?.status, 200);
        assert!(chat.stream(&asked).await?.finish().await?.is_done);
        // One whose client leaves.
        chat.stream(&asked).await?.next().await?;
    }
    let (forge, client) = (Forge::new(&keys)?, reqwest::Client::new());
    let asked = Instant::now();
    loop {
        let records = gateway.records("demo")?;
        let energies = records.iter().filter_map(|line| line["record"]["energy_mj"].as_u64());
        let models = ask(&client, "GET", node.server.origin(), "/engine/v1/models")
            .bearer_auth(forge.token(&json!({})));
        let models: Value = models.send().await?.json().await?;
        let energy = &models["data"][0]["energy"];
        let [meter, requests, idle] =
            ["meter_mj", "requests_mj", "idle_mj"].map(|part| energy[part].as_u64().unwrap_or(0));
        assert_eq!(meter, requests + idle, "{models}");
        if records.len() == 9 && requests > 0 && energies.sum::<u64>() == requests {
            return Ok(());
        }
        assert!(asked.elapsed() < NOTICED_MAX, "{models}: {records:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_speaks_tls_and_a_gateway_checks_its_certificate() -> Outcome {
    let (keys, folder) = (NodeKeys::create()?, tempfile::tempdir().map_err(HarnessError::io("a folder"))?);
    let pair = |name: &str| -> Outcome<(String, String)> {
        let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).expect("a certificate");
        let path = |ending: &str| folder.path().join(format!("{name}.{ending}"));
        fs::write(path("crt"), made.cert.pem()).map_err(HarnessError::io("a certificate"))?;
        fs::write(path("key"), made.signing_key.serialize_pem()).map_err(HarnessError::io("a key"))?;
        Ok((path("crt").display().to_string(), path("key").display().to_string()))
    };
    let ((certificate, key), (other, _)) = (pair("node")?, pair("other")?);
    let tls = format!("[node.tls]\ncertificate = \"{certificate}\"\nkey = \"{key}\"\n{SIMULATED}");
    let node = EngineNode::start("one", &[&keys], &tls).await?;
    assert!(node.server.banner().base_url.starts_with("https://"), "{:?}", node.server.banner());
    for (trusted, status) in [(&certificate, 200), (&other, 502)] {
        let lines = format!("ca_file = \"{trusted}\"\nhealth_interval_ms = 0");
        let mut gateway = Installation::new(&node.backend(&keys, &lines))?;
        let server = gateway.start().await?;
        let chat = server.chat(&server.banner().api_key.clone().unwrap_or_default());
        let mut streamed = Chat::request("Hello.", 3);
        streamed["stream"] = json!(status != 200);
        assert_eq!(chat.send(&streamed).await?.status.as_u16(), status, "{}", server.printed());
    }
    // Plain HTTP gets nothing out of it.
    let plain = node.server.origin().replace("https://", "http://");
    let answer = reqwest::get(format!("{plain}/healthz")).await;
    assert!(answer.is_err() || answer.is_ok_and(|answer| !answer.status().is_success()));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_role_is_checked_before_anything_starts() -> Outcome {
    let keys = NodeKeys::create()?;
    let node =
        format!("[node]\nname = \"one\"\ngateway_keys = [\"{}\"]\n{SIMULATED}", keys.public().display());
    let said = Installation::new(&node)?.run(&["check", "--role", "engine"])?;
    for part in ["gateway keys", "model demo", "listen"] {
        assert!(said.lines().any(|line| line.starts_with(part) && line.contains(" ok: ")), "{part}: {said}");
    }
    assert!(!said.contains("ledger") && !said.contains("journal"), "{said}");
    // A private key in the place of a public one, and two halves that are not there.
    let swapped = node.replace("gateway.pub.pem", "gateway.key.pem");
    assert!(Installation::new(&swapped)?.run(&["check", "--role", "engine"]).is_err());
    let backend = keys.backend("one", "http://127.0.0.1:9/engine/v1", "");
    Installation::new(&backend)?.run(&["check", "--role", "gateway"])?;
    for (config, role) in [(&node, "gateway"), (&node, "worker"), (&node, "none"), (&backend, "engine")] {
        let refused = Installation::new(config)?.run(&["check", "--role", role]);
        assert!(refused.is_err(), "{role}: {refused:?}");
    }
    Ok(())
}
