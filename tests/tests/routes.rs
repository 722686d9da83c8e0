//! Every route with every kind of credential, method, host and path: generated from the program's own table.
//! Never a list of routes of its own: a route that is added to the program is walked by the next run.
//! Run by `cargo xtask test`, one at a time.
//!
//! Long because the world that every walk needs, with all its credentials, is made here.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tests::harness::{HarnessError, Installation, Outcome, Raw, RawAnswer, Server};

const SIMULATED: &str = "[server]\ndrain_seconds = 1\nbody_bytes_max = 65536\n\
    [[model]]\nname = \"demo\"\nsource = \"sim\"\n[model.sim]\nseed = 1\ndecode_step_us = 1000\n";

/// A running server takes a change over within two seconds; a busy machine takes longer.
const TAKEN_OVER_MAX: Duration = Duration::from_secs(10);

/// A row of the program's table.
#[derive(Clone, Debug)]
struct Route {
    method: String,
    /// As in the table.
    pattern: String,
    /// With something in the place of what is in braces.
    path: String,
    is_anthropic: bool,
    is_public: bool,
    /// What a key must be for; empty for what is public.
    scope: String,
}

/// What a request says of who asks, and what must come of it.
struct Credential {
    what: &'static str,
    headers: String,
    /// What every route that wants a key answers; `None`: the credential is good.
    refused: Option<(u16, &'static str)>,
}

struct World {
    installation: Installation,
    server: Server,
    raw: Raw,
    routes: Vec<Route>,
    key: String,
    credentials: Vec<Credential>,
}

fn routes(installation: &Installation) -> Outcome<Vec<Route>> {
    let rows = installation.run_json_lines(&["routes", "--format", "json"])?;
    let text = |row: &Value, field: &str| row[field].as_str().unwrap_or_default().to_owned();
    let route = |row: &Value| Route {
        method: text(row, "method"),
        pattern: text(row, "path"),
        path: example(&text(row, "path")),
        is_anthropic: row["dialect"] == "anthropic",
        is_public: row["access"] == "public",
        scope: text(row, "scope"),
    };
    Ok(rows.iter().map(route).collect())
}

/// The pattern with a name in the place of each part in braces.
fn example(pattern: &str) -> String {
    let mut path = String::new();
    for (index, part) in pattern.split(['{', '}']).enumerate() {
        path.push_str(match index % 2 {
            0 => part,
            _ if part.starts_with("model") => "demo",
            _ => "none-such",
        });
    }
    path
}

fn bearer(key: &str) -> String {
    format!("Authorization: Bearer {key}\r\n")
}

/// Asks until the answer is the one wanted, which a running server takes over within two seconds.
async fn wait_for_status(server: &Server, key: &str, status: u16) -> Outcome {
    let asked = Instant::now();
    while server.chat(key).get("/models").await?.status != status {
        assert!(asked.elapsed() < TAKEN_OVER_MAX, "{status} does not come");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    Ok(())
}

/// A key of a project that is disabled afterwards, and one of a project below it.
async fn shut_projects(installation: &Installation, server: &Server) -> Outcome<[String; 2]> {
    installation.run(&["project", "create", "demo", "shut"])?;
    installation.run(&["project", "create", "demo", "shut/below"])?;
    let shut = installation.create_key("demo", &["--project", "shut"])?;
    let below = installation.create_key("demo", &["--project", "shut/below"])?;
    server.knows(&below).await?;
    installation.run(&["project", "disable", "demo", "shut"])?;
    Ok([shut, below])
}

async fn world() -> Outcome<World> {
    let mut installation = Installation::new(SIMULATED)?;
    let server = installation.start().await?;
    let banner = server.banner().clone();
    let (key, operator) = (banner.api_key.unwrap_or_default(), banner.operator_token.unwrap_or_default());
    let revoked = installation.create_key("demo", &[])?;
    server.knows(&revoked).await?;
    let public = |key: &str| key.split('-').nth(1).unwrap_or_default().to_owned();
    installation.run(&["key", "revoke", &public(&revoked)])?;
    installation.run(&["tenant", "create", "gone"])?;
    let disabled = installation.create_key("gone", &[])?;
    server.knows(&disabled).await?;
    installation.run(&["tenant", "disable", "gone"])?;
    let off = installation.create_key("demo", &[])?;
    let [shut, below] = shut_projects(&installation, &server).await?;
    installation.run(&["key", "disable", &public(&off)])?;
    for (key, status) in [(&revoked, 401), (&off, 401), (&disabled, 403), (&shut, 403), (&below, 403)] {
        wait_for_status(&server, key, status).await?;
    }

    let bad = |what, headers: String| Credential { what, headers, refused: Some((401, "invalid_api_key")) };
    let closed =
        |what, headers: String| Credential { what, headers, refused: Some((403, "project_disabled")) };
    let secret = key.rsplit('-').next().unwrap_or_default();
    let credentials = vec![
        Credential { what: "no key", headers: String::new(), refused: Some((401, "missing_api_key")) },
        Credential {
            what: "an empty header",
            headers: "Authorization: \r\n".to_owned(),
            refused: Some((401, "missing_api_key")),
        },
        bad("another form", bearer("nonsense")),
        bad("another scheme", format!("Authorization: Basic {key}\r\n")),
        bad("no scheme", format!("Authorization: {key}\r\n")),
        bad("a key that nobody has", bearer(&format!("tg-aaaaaaaaaaaa-{secret}"))),
        bad("another secret", bearer(&format!("tg-{}-{}", public(&key), "a".repeat(52)))),
        bad("the public half alone", bearer(&format!("tg-{}", public(&key)))),
        bad("a longer secret", bearer(&format!("{key}a"))),
        bad("a shorter secret", bearer(&key[..key.len() - 1])),
        bad("the secret in capitals", bearer(&format!("tg-{}-{}", public(&key), secret.to_uppercase()))),
        bad("bytes that are no text", "Authorization: Bearer tg-\u{fc}-\u{fc}\r\n".to_owned()),
        bad("a revoked key", bearer(&revoked)),
        bad("a key that is switched off", bearer(&off)),
        bad("an operator's token", bearer(&operator)),
        bad("an operator's token as a key", bearer(&operator.replacen("tgop-", "tg-", 1))),
        bad("a very long key", bearer(&format!("tg-{}-{}", "a".repeat(2_000), "b".repeat(2_000)))),
        Credential {
            what: "a key of a disabled tenant",
            headers: bearer(&disabled),
            refused: Some((403, "account_disabled")),
        },
        closed("a key of a disabled project", bearer(&shut)),
        closed("a key of a project below a disabled one", bearer(&below)),
        Credential {
            what: "two keys",
            headers: bearer(&key).repeat(2),
            refused: Some((400, "two_api_keys")),
        },
        Credential { what: "a good key", headers: bearer(&key), refused: None },
    ];
    let routes = routes(&installation)?;
    let raw = server.raw()?;
    Ok(World { installation, server, raw, routes, key, credentials })
}

/// A request whose connection ends with it.
fn request(method: &str, target: &[u8], headers: &str, body: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    bytes.extend_from_slice(method.as_bytes());
    bytes.push(b' ');
    bytes.extend_from_slice(target);
    let host = if headers.contains("Host:") { "" } else { "Host: test\r\n" };
    let length = body.len();
    let head = format!(
        " HTTP/1.1\r\n{host}{headers}Connection: close\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n"
    );
    bytes.extend_from_slice(head.as_bytes());
    bytes.extend_from_slice(body.as_bytes());
    bytes
}

/// What is sent as a body: nothing where there is none, else something that is refused before it runs.
fn body_of(method: &str) -> &'static str {
    if matches!(method, "POST" | "PUT" | "PATCH") { "{}" } else { "" }
}

impl World {
    async fn ask(&self, method: &str, target: &[u8], headers: &str) -> Outcome<RawAnswer> {
        let request = request(method, target, headers, body_of(method));
        let answer = self.raw.exchange(&request).await?;
        let shown = String::from_utf8_lossy(target);
        let closed = HarnessError::io(format!("no answer to {method} {shown} with {headers:?}"));
        answer.ok_or_else(|| closed(std::io::ErrorKind::ConnectionAborted.into()))
    }
}

/// An error comes as JSON in the form of the path's clients, with the id that its headers name.
fn check_error(answer: &RawAnswer, is_head: bool, is_anthropic: bool, code: &str, about: &str) {
    assert!(!answer.header("x-request-id").is_empty(), "{about}: {}", answer.head);
    if is_head {
        assert!(answer.rest.is_empty(), "{about}: an answer to HEAD has no body");
        return;
    }
    let body: Value = serde_json::from_slice(&answer.rest).unwrap_or_default();
    assert_eq!(body["error"]["code"], code, "{about}: {body}");
    assert_eq!(body["type"] == "error", is_anthropic, "{about}: {body}");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_route_refuses_every_bad_credential() -> Outcome {
    let world = world().await?;
    assert!(world.routes.len() > 5, "{:?}", world.routes);
    for route in &world.routes {
        for credential in &world.credentials {
            let about = format!("{} {} with {}", route.method, route.path, credential.what);
            let mut headers = vec![credential.headers.clone()];
            // Anthropic's clients have a header of their own for the same key.
            if route.is_anthropic && credential.headers.starts_with("Authorization: Bearer") {
                headers.push(credential.headers.replace("Authorization: Bearer", "x-api-key:"));
            }
            for headers in &headers {
                let answer = world.ask(&route.method, route.path.as_bytes(), headers).await?;
                match credential.refused {
                    Some((status, code)) if !route.is_public => {
                        assert_eq!(answer.status, status, "{about}: {}", answer.head);
                        check_error(&answer, route.method == "HEAD", route.is_anthropic, code, &about);
                        assert_eq!(status == 401, !answer.header("www-authenticate").is_empty(), "{about}");
                    }
                    _ => {
                        let is_refused = matches!(answer.status, 401 | 403 | 405) || answer.status >= 500;
                        assert!(!is_refused, "{about}: {}", answer.head);
                        // Here is no account at Stripe; where there is one, its signature is asked for.
                        let expected = if route.pattern == "/webhooks/stripe" { 404 } else { 200 };
                        assert!(!route.is_public || answer.status == expected, "{about}: {}", answer.head);
                    }
                }
            }
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_opens_only_what_it_is_for_and_only_while_it_lasts() -> Outcome {
    let world = world().await?;
    let create = |options: &[&str]| world.installation.create_key("demo", options);
    let expired = create(&["--expires", "1s"])?;
    let usage_only = create(&["--scope", "usage:read"])?;
    let models_only = create(&["--scope", "models:read"])?;
    world.server.knows(&models_only).await?;
    // The one before it is known as well; by then the first has expired.
    tokio::time::sleep(Duration::from_secs(2)).await;
    let rows = [
        (&expired, "", 401, "expired_api_key"),
        (&usage_only, "usage:read", 403, "missing_scope"),
        (&models_only, "models:read", 403, "missing_scope"),
    ];
    for route in world.routes.iter().filter(|route| !route.is_public) {
        for (key, scope, status, code) in rows {
            let about =
                format!("{} {} for {:?} with a key for {scope:?}", route.method, route.path, route.scope);
            let answer = world.ask(&route.method, route.path.as_bytes(), &bearer(key)).await?;
            if route.scope == scope {
                assert!(!matches!(answer.status, 401 | 403), "{about}: {}", answer.head);
                continue;
            }
            assert_eq!(answer.status, status, "{about}: {}", answer.head);
            check_error(&answer, route.method == "HEAD", route.is_anthropic, code, &about);
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_counts_whatever_the_scheme_and_spaces() -> Outcome {
    let world = world().await?;
    for scheme in ["Bearer", "bearer", "BEARER", "bEaReR", " Bearer ", "Bearer  "] {
        let headers = format!("Authorization: {scheme} {}\r\n", world.key);
        assert_eq!(world.ask("GET", b"/v1/models", &headers).await?.status, 200, "{scheme:?}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn methods_that_a_route_does_not_have_are_refused() -> Outcome {
    let world = world().await?;
    let methods =
        ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "BREW", "get", "PROPFIND"];
    for route in &world.routes {
        let same_path = || world.routes.iter().filter(|other| other.pattern == route.pattern);
        for method in methods.into_iter().filter(|method| same_path().all(|other| other.method != *method)) {
            for headers in [String::new(), bearer(&world.key)] {
                let about = format!("{method} {}", route.path);
                let answer = world.ask(method, route.path.as_bytes(), &headers).await?;
                assert_eq!(answer.status, 405, "{about}: {}", answer.head);
                check_error(&answer, method == "HEAD", route.is_anthropic, "method_not_allowed", &about);
                let allowed: Vec<_> = answer.header("allow").split(", ").collect();
                assert!(
                    same_path().all(|other| allowed.contains(&other.method.as_str())),
                    "{about}: {allowed:?}"
                );
            }
        }
    }
    // A proxy would open a connection here; a gateway has nothing of the kind.
    for target in ["example.com:443", "/v1/models", "/"] {
        let answer = world.raw.exchange(&request("CONNECT", target.as_bytes(), "", "")).await?;
        let status = answer.map_or(400, |answer| answer.status);
        assert!((400..500).contains(&status), "CONNECT {target}: {status}");
    }
    Ok(())
}

/// Ways to write a path that some server takes for another one.
fn tricks(path: &str) -> Vec<Vec<u8>> {
    let upper = path.to_uppercase();
    let escaped: String = path.chars().skip(1).map(|letter| format!("%{:02x}", u32::from(letter))).collect();
    let mut tricks: Vec<Vec<u8>> = [
        format!("/{path}"),
        format!("//{path}/"),
        format!("{path}/"),
        format!("{path}//"),
        format!("{path}."),
        format!("{path}.."),
        format!("{path}%2e"),
        path.replace('/', "//"),
        path.replace('/', "/./"),
        path.replace('/', "%2f"),
        path.replacen("/v1/", "/v1%2F", 1),
        path.replacen("/v1/", "/v1\\", 1),
        path.replacen("/v1/", "/v1/%2e%2e/v1/", 1),
        path.replacen("/v1/", "/v1/..%2fv1/", 1),
        format!("{path}/."),
        format!("{path}/.."),
        format!("{path}/../admin/v1/tenants"),
        format!("/.{path}"),
        format!("/..{path}"),
        format!("/x/..{path}"),
        format!("/healthz/..{path}"),
        format!("/healthz/%2e%2e{path}"),
        format!("/healthz%2f..{path}"),
        format!("/healthz\\..\\{path}"),
        format!("/healthz;{path}"),
        format!("{path};jsessionid=1"),
        format!("{path}%00"),
        format!("{path}%00/healthz"),
        format!("{path}%0d%0aX-Tenant:%20demo"),
        format!("{path}%20"),
        format!("{path}%2f"),
        format!("{path}%2e%2e"),
        format!("{path}%252e%252e/"),
        format!("{path}%c0%ae%c0%ae/"),
        format!("{path}%ff"),
        format!("{path}%"),
        format!("{path}%zz"),
        format!("{path}?"),
        format!("{path}?x=%00&x=%ff&x"),
        format!("{path}?{}", "x".repeat(4_000)),
        format!("{path}#healthz"),
        format!("{path}{}", "/x".repeat(2_000)),
        format!("{path}{}", "x".repeat(60_000)),
        format!("{path}{}", "x".repeat(200_000)),
        format!("/{escaped}"),
        upper,
        format!("http://127.0.0.1{path}"),
        format!("http://evil.example{path}"),
        format!("http://evil.example:0{path}"),
        format!("https://user:secret@evil.example{path}"),
        format!("ftp://evil.example{path}"),
        format!("http:{path}"),
        path.trim_start_matches('/').to_owned(),
        "*".to_owned(),
        String::new(),
    ]
    .map(String::into_bytes)
    .into();
    tricks.extend([[path.as_bytes(), b"\xff\xfe"].concat(), [path.as_bytes(), b"\x00"].concat()]);
    tricks.push([path.as_bytes(), b"\xc0\xae"].concat());
    tricks
}

#[tokio::test(flavor = "multi_thread")]
async fn no_path_leads_around_authentication() -> Outcome {
    let world = world().await?;
    let public: Vec<_> =
        world.routes.iter().filter(|route| route.is_public).map(|route| &route.path).collect();
    for route in world.routes.iter().filter(|route| !route.is_public && route.method != "HEAD") {
        for target in tricks(&route.path) {
            let shown = String::from_utf8_lossy(&target[..target.len().min(80)]).into_owned();
            for (headers, has_key) in [(String::new(), false), (bearer(&world.key), true)] {
                let about = format!("{} {shown} (key: {has_key})", route.method);
                let bytes = request(&route.method, &target, &headers, body_of(&route.method));
                // Closing without a word is an answer to what is no HTTP.
                let Some(answer) = world.raw.exchange(&bytes).await? else { continue };
                let is_fine = has_key && (200..300).contains(&answer.status);
                assert!(is_fine || (400..500).contains(&answer.status), "{about}: {}", answer.head);
                let text = String::from_utf8_lossy(&answer.rest).into_owned();
                assert!(has_key || !text.contains("max_model_len"), "{about}: {text}");
                if answer.status == 404 || answer.status == 401 {
                    let body: Value = serde_json::from_str(&text).unwrap_or_default();
                    assert!(body["error"]["code"].is_string(), "{about}: {text}");
                }
            }
        }
    }
    // A public path with something around it is another path.
    for path in public.iter().filter(|path| path.as_str() != "/") {
        for target in [format!("/{path}"), format!("{path}/"), format!("{path}/x"), path.to_uppercase()] {
            assert_eq!(world.ask("GET", target.as_bytes(), "").await?.status, 404, "{target}");
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn odd_hosts_change_nothing_or_are_refused() -> Outcome {
    let world = world().await?;
    // What is in the header, and whether it is one host in form.
    let rows = [
        ("Host: test\r\n", true),
        ("Host: TEST:8080\r\n", true),
        ("Host: [::1]:8080\r\n", true),
        ("Host: evil.example\r\n", true),
        ("Host: 127.0.0.1\r\n", true),
        ("Host: localhost:0\r\n", true),
        ("Host: test.\r\n", true),
        ("X-Host:\r\n", false),
        ("Host:\r\n", false),
        ("Host: a b\r\n", false),
        ("Host: a/b\r\n", false),
        ("Host: http://a\r\n", false),
        ("Host: user@a\r\n", false),
        ("Host: a,b\r\n", false),
        ("Host: a?b\r\n", false),
        ("Host: a#b\r\n", false),
        ("Host: a:b\r\n", false),
        ("Host: a:99999999\r\n", false),
        ("Host: \u{fc}\r\n", false),
        ("Host: a\r\nHost: b\r\n", false),
        ("Host: a\r\nHost: a\r\n", false),
    ];
    for route in &world.routes {
        for (host, is_good) in rows {
            // What the client says of itself or of the way here decides nothing.
            for forwarded in
                ["", "X-Forwarded-For: 127.0.0.1\r\nX-Forwarded-Host: admin\r\nX-Original-URL: /healthz\r\n"]
            {
                for (key, has_key) in [(String::new(), false), (bearer(&world.key), true)] {
                    let about = format!("{} {} with {host:?} (key: {has_key})", route.method, route.path);
                    let headers = format!("{host}{forwarded}{key}");
                    let answer = world.ask(&route.method, route.path.as_bytes(), &headers).await?;
                    match (is_good, has_key || route.is_public) {
                        (false, _) => assert_eq!(answer.status, 400, "{about}: {}", answer.head),
                        (true, false) => assert_eq!(answer.status, 401, "{about}: {}", answer.head),
                        (true, true) => {
                            let is_bad = matches!(answer.status, 401 | 403 | 405) || answer.status >= 500;
                            assert!(!is_bad, "{about}: {}", answer.head);
                        }
                    }
                }
            }
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_older_version_without_a_host_opens_no_more() -> Outcome {
    let world = world().await?;
    for route in &world.routes {
        let body = body_of(&route.method);
        for (hosts, is_good) in [("", true), ("Host: a\r\n", true), ("Host: a\r\nHost: b\r\n", false)] {
            for (key, has_key) in [(String::new(), false), (bearer(&world.key), true)] {
                let about = format!("{} {} with {hosts:?} (key: {has_key})", route.method, route.path);
                let length = body.len();
                let bytes = format!(
                    "{} {} HTTP/1.0\r\n{hosts}{key}Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}",
                    route.method, route.path
                );
                let answer = world.raw.exchange(bytes.as_bytes()).await?;
                let status = answer.as_ref().map_or(0, |answer| answer.status);
                match (is_good, has_key || route.is_public) {
                    (false, _) => assert_eq!(status, 400, "{about}: {answer:?}"),
                    (true, false) => assert_eq!(status, 401, "{about}: {answer:?}"),
                    (true, true) => {
                        let is_fine = (200..500).contains(&status) && !matches!(status, 401 | 403 | 405);
                        assert!(is_fine, "{about}: {answer:?}");
                    }
                }
            }
        }
    }
    Ok(())
}

/// An answer without what differs each time, and with the id that was asked for taken out of it.
fn without_ids(answer: &RawAnswer, id: &str) -> (String, String) {
    let is_own = |line: &&str| {
        let name = line.split(':').next().unwrap_or_default().to_ascii_lowercase();
        !matches!(name.as_str(), "date" | "x-request-id" | "request-id" | "content-length")
    };
    let head: Vec<_> = answer.head.lines().filter(is_own).collect();
    (head.join("\n"), String::from_utf8_lossy(&answer.rest).replace(id, "ID"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_strangers_response_is_as_one_that_never_was() -> Outcome {
    let world = world().await?;
    world.installation.run(&["tenant", "create", "stranger"])?;
    let stranger = world.installation.create_key("stranger", &[])?;
    world.server.knows(&stranger).await?;
    let owner = world.server.wire(&world.key);
    let said = json!({"model": "demo", "input": "a secret", "max_output_tokens": 3});
    let stored = owner.post("/responses", &said).await?.body;
    let id = stored["id"].as_str().unwrap_or_default().to_owned();
    assert_eq!(stored["store"], true, "{stored}");
    // One of the same form that nobody has.
    let unknown =
        id.chars().map(|letter| if letter.is_ascii_digit() { '0' } else { letter }).collect::<String>();
    let row = |route: &&Route| route.pattern == "/v1/responses/{id}";
    let routes: Vec<_> = world.routes.iter().filter(row).collect();
    assert_eq!(routes.len(), 3, "{routes:?}");
    for route in routes {
        let mut answers = Vec::new();
        for id in [&id, &unknown] {
            let path = format!("/v1/responses/{id}");
            let answer = world.ask(&route.method, path.as_bytes(), &bearer(&stranger)).await?;
            assert_eq!(answer.status, 404, "{} {path}: {}", route.method, answer.head);
            answers.push(without_ids(&answer, id));
        }
        assert_eq!(answers[0], answers[1], "{}", route.method);
    }
    let mut answers = Vec::new();
    for id in [&id, &unknown] {
        let next = json!({"model": "demo", "input": "go on", "previous_response_id": id}).to_string();
        let bytes = request("POST", b"/v1/responses", &bearer(&stranger), &next);
        let answer = world.raw.exchange(&bytes).await?.map(|answer| without_ids(&answer, id));
        answers.push(answer.unwrap_or_default());
    }
    assert!(answers[0].1.contains("previous_response_not_found"), "{answers:?}");
    assert_eq!(answers[0], answers[1]);
    // It is still there for whose it is.
    let kept = owner.bare(reqwest::Method::GET, &format!("/responses/{id}")).await?;
    assert_eq!(kept.body, stored);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_admin_api_is_asked_under_its_own_hosts_and_kept_nowhere() -> Outcome {
    let mut installation = Installation::new(&format!("[admin]\nhosts = [\"admin.example\"]\n{SIMULATED}"))?;
    let server = installation.start().await?;
    let banner = server.banner();
    let raw = Raw::new(banner.admin_url.trim_end_matches("/admin/v1"))?;
    let token = bearer(&banner.operator_token.clone().unwrap_or_default());
    let rows = [
        ("localhost", 200),
        ("127.0.0.1:8081", 200),
        ("[::1]", 200),
        ("ADMIN.example:443", 200),
        ("evil.example", 403),
        ("127.0.0.1.evil.example", 403),
        ("10.0.0.7", 403),
    ];
    for (host, status) in rows {
        for path in ["/admin/v1/tenants", "/admin/v1/openapi.json", "/admin/v1/docs", "/elsewhere"] {
            let headers = format!("Host: {host}\r\n{token}");
            let answer = raw.exchange(&request("GET", path.as_bytes(), &headers, "")).await?;
            let answer =
                answer.ok_or_else(|| HarnessError::NotEvents { text: format!("no answer to {path}") })?;
            let expected = if status == 200 && path == "/elsewhere" { 404 } else { status };
            assert_eq!(answer.status, expected, "{host} {path}: {}", answer.head);
            assert_eq!(answer.header("cache-control"), "no-store", "{host} {path}");
            let is_foreign = String::from_utf8_lossy(&answer.rest).contains("host_not_allowed");
            assert_eq!(is_foreign, status == 403, "{host} {path}");
        }
    }
    // A change under another name is none.
    let made = "{\"name\":\"acme\",\"plan\":\"demo\"}";
    let headers = format!("Host: evil.example\r\n{token}");
    raw.exchange(&request("POST", b"/admin/v1/tenants", &headers, made)).await?;
    let tenants = server.admin(&banner.operator_token.clone().unwrap_or_default()).get("/tenants").await?;
    assert_eq!(tenants.body["data"].as_array().map(Vec::len), Some(1), "{}", tenants.body);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn no_path_leads_into_the_admin_api() -> Outcome {
    let mut installation = Installation::new(&format!("[admin]\nhosts = [\"test\"]\n{SIMULATED}"))?;
    let server = installation.start().await?;
    let banner = server.banner();
    let raw = Raw::new(banner.admin_url.trim_end_matches("/admin/v1"))?;
    let document = server.admin("").get("/openapi.json").await?;
    let paths: Vec<_> =
        document.body["paths"].as_object().into_iter().flatten().map(|(path, _)| path.clone()).collect();
    assert!(paths.len() > 5, "{}", document.body);
    let key = banner.api_key.clone().unwrap_or_default();
    let headers = [
        String::new(),
        bearer(&key),
        format!("x-api-key: {key}\r\n"),
        "X-Forwarded-For: 127.0.0.1\r\nX-Original-URL: /admin/v1/docs\r\nX-Rewrite-URL: /admin/v1/docs\r\n"
            .to_owned(),
    ];
    for path in paths.iter().map(|path| example(path)) {
        for target in tricks(&path) {
            for headers in &headers {
                let shown = String::from_utf8_lossy(&target[..target.len().min(80)]).into_owned();
                // Closing without a word is an answer to what is no HTTP.
                let Some(answer) = raw.exchange(&request("GET", &target, headers, "")).await? else {
                    continue;
                };
                assert!((400..500).contains(&answer.status), "{shown} with {headers:?}: {}", answer.head);
            }
        }
        for host in ["Host: a\r\nHost: b\r\n", "Host: a b\r\n", "X-Host:\r\n"] {
            let answer = raw.exchange(&request("GET", path.as_bytes(), host, "")).await?;
            assert!(answer.is_some_and(|answer| answer.status == 400), "{path} with {host:?}");
        }
    }
    Ok(())
}
