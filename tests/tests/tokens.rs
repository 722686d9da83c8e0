//! Signed tokens of identity providers over the real program: discovery and key files, good tokens and bad ones, keys
//! that rotate, and what claims say of tenant, project and rights.
//! Never looks inside the program, and no provider but those on this machine.
//! Run by `cargo xtask test`, one at a time.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tests::harness::{Admin, Chat, Installation, Issuer, Outcome, Server, Signer, key_set, unix_seconds};

/// A simulated engine under the priced name.
const SIMULATED: &str = "[[model]]\nname = \"demo\"\nsource = \"sim\"\n[model.sim]\ndecode_step_us = 0\n";
/// A running server takes a change over within two seconds, and asks an issuer again after five; a busy machine takes
/// longer.
const TAKEN_OVER_MAX: Duration = Duration::from_secs(30);
/// The leeway of the configuration below. Unit: seconds.
const LEEWAY: i64 = 60;

/// An issuer by discovery, another by a file, and the server that takes the tokens of both.
struct World {
    issuer: Issuer,
    signer: Signer,
    filed: Signer,
    server: Server,
    admin: Admin,
    /// Where the demo tenant is below the admin API.
    tenant: String,
    installation: Installation,
}

async fn world() -> Outcome<World> {
    let (issuer, signer, filed) = (Issuer::start().await?, Signer::new("first")?, Signer::new("filed")?);
    issuer.publish(&[&signer])?;
    let rights = "[issuer.roles]\nagent = [\"inference\", \"models:read\"]\nanalyst = [\"models:read\"]\n";
    let config = format!(
        "{SIMULATED}[[issuer]]\nissuer = \"{address}\"\naudience = [\"tallygate\"]\ntenant_claim = \"org\"\n\
         project_claim = \"project\"\nroles_claim = \"access.roles\"\ndefault_scopes = [\"models:read\"]\n\
         leeway_seconds = {LEEWAY}\n{rights}\
         [[issuer]]\nissuer = \"https://filed.example.com\"\naudience = [\"tallygate\"]\ntenant = \"demo\"\n\
         jwks_file = \"keys.json\"\nalgorithms = [\"ES256\"]\n",
        address = issuer.address(),
    );
    let mut installation = Installation::new(&config)?;
    let keys = installation.folder().join("keys.json");
    std::fs::write(&keys, key_set(&[&filed])?).map_err(tests::harness::HarnessError::io("keys.json"))?;
    let server = installation.start().await?;
    let admin = server.admin(&server.banner().operator_token.clone().unwrap_or_default());
    let tenants = admin.get("/tenants").await?.body;
    let tenant = format!("/tenants/{}", tenants["data"][0]["id"].as_str().unwrap_or_default());
    Ok(World { issuer, signer, filed, server, admin, tenant, installation })
}

impl World {
    /// Claims of a good token of an agent, with some changed; null takes one away.
    fn claims(&self, changes: &Value) -> Value {
        let now = unix_seconds();
        let mut claims = json!({
            "iss": self.issuer.address(), "aud": "tallygate", "sub": "anna", "org": "demo",
            "iat": now, "exp": now + 600, "access": {"roles": ["agent"]},
        });
        for (name, value) in changes.as_object().into_iter().flatten() {
            claims[name] = value.clone();
        }
        claims.as_object_mut().into_iter().for_each(|claims| claims.retain(|_, value| !value.is_null()));
        claims
    }

    fn token(&self, changes: &Value) -> Outcome<String> {
        self.signer.sign(&self.claims(changes))
    }

    /// What a token is answered when it asks for the list of models.
    async fn models(&self, token: &str) -> Outcome<(u16, String)> {
        let answer = self.server.chat(token).get("/models").await?;
        Ok((answer.status.as_u16(), answer.code().to_owned()))
    }

    /// Waits until a token is answered so.
    async fn becomes(&self, token: &str, status: u16, code: &str) -> Outcome {
        let asked = Instant::now();
        loop {
            let found = self.models(token).await?;
            if found == (status, code.to_owned()) {
                return Ok(());
            }
            assert!(asked.elapsed() < TAKEN_OVER_MAX, "{status} {code} never came: {found:?}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

/// RFC 4648, section 5, without padding; of bytes whose number is a multiple of three, so that none is needed.
fn base64_url(text: &str) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let padded = format!("{text}{}", " ".repeat((3 - text.len() % 3) % 3));
    let groups = padded.as_bytes().chunks(3);
    let letters = groups.flat_map(|group| {
        let bits = group.iter().fold(0_u32, |bits, byte| bits << 8 | u32::from(*byte));
        (0..4).map(move |place| {
            let index = usize::try_from(bits >> (18 - 6 * place) & 63).unwrap_or(0);
            char::from(LETTERS[index])
        })
    });
    letters.collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn good_tokens_open_and_bad_ones_are_told_apart_as_far_as_they_may() -> Outcome {
    let world = world().await?;
    let now = unix_seconds();
    assert_eq!(world.models(&world.token(&json!({}))?).await?, (200, String::new()));
    // Edges of the leeway stand apart from it by half of it, so that a slow machine does not decide.
    let rows = [
        (json!({"exp": now - LEEWAY / 2}), 200, ""),
        (json!({"exp": now - 2 * LEEWAY}), 401, "token_expired"),
        (json!({"nbf": now + LEEWAY / 2}), 200, ""),
        (json!({"nbf": now + 3 * LEEWAY}), 401, "token_not_yet_valid"),
        (json!({"iat": now + 3 * LEEWAY}), 401, "token_not_yet_valid"),
        (json!({"exp": null}), 401, "invalid_token"),
        (json!({"exp": "soon"}), 401, "invalid_token"),
        (json!({"aud": "somebody"}), 401, "invalid_token"),
        (json!({"aud": ["x", "tallygate"]}), 200, ""),
        (json!({"aud": null}), 401, "invalid_token"),
        (json!({"iss": "https://evil.example.com"}), 401, "invalid_token"),
        (json!({"sub": null}), 401, "invalid_token"),
        (json!({"org": null}), 401, "invalid_token"),
        (json!({"org": "nobody"}), 403, "unknown_tenant"),
        (json!({"org": 7}), 401, "invalid_token"),
        (json!({"project": "nothing"}), 403, "unknown_project"),
        (json!({"project": "01980000-0000-7000-8000-000000000001"}), 403, "unknown_project"),
        (json!({"project": ["a"]}), 401, "invalid_token"),
        (json!({"access": {"roles": ["stranger"]}}), 403, "missing_scope"),
        (json!({"access": {"roles": 7}}), 401, "invalid_token"),
    ];
    for (changes, status, code) in rows {
        let found = world.models(&world.token(&changes)?).await?;
        assert_eq!(found, (status, code.to_owned()), "{changes}");
    }
    let good = world.token(&json!({}))?;
    let parts: Vec<_> = good.split('.').collect();
    let none = base64_url("{\"alg\": \"none\", \"typ\": \"JWT\", \"kid\": \"first\"}");
    let forged = base64_url(&world.claims(&json!({"org": "victim"})).to_string());
    let strangers = Signer::new("first")?;
    let bad = [
        format!("{none}.{}.", parts[1]),
        format!("{}.{forged}.{}", parts[0], parts[2]),
        format!("{}.{}.", parts[0], parts[1]),
        world.signer.confuse(&world.claims(&json!({})))?,
        strangers.sign(&world.claims(&json!({})))?,
        // A good key of another issuer.
        world.filed.sign(&world.claims(&json!({})))?,
    ];
    for token in bad {
        let found = world.models(&token).await?;
        assert_eq!(
            found,
            (401, "invalid_token".to_owned()),
            "{}",
            token.chars().take(60).collect::<String>()
        );
    }
    let filed =
        json!({"iss": "https://filed.example.com", "aud": "tallygate", "sub": "bert", "exp": now + 600});
    assert_eq!(world.models(&world.filed.sign(&filed)?).await?, (200, String::new()));
    assert_eq!(world.models(&world.signer.sign(&filed)?).await?, (401, "invalid_token".to_owned()));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_rotates_its_keys_while_tokens_come() -> Outcome {
    let world = world().await?;
    let second = Signer::new("second")?;
    let token = second.sign(&world.claims(&json!({})))?;
    assert_eq!(world.models(&token).await?, (401, "invalid_token".to_owned()), "not published yet");
    world.issuer.publish(&[&world.signer, &second])?;
    world.becomes(&token, 200, "").await?;
    assert_eq!(world.models(&world.token(&json!({}))?).await?, (200, String::new()), "both open meanwhile");
    // The old key goes; the next look finds that, and an unknown key asks for one.
    world.issuer.publish(&[&second])?;
    let third = Signer::new("third")?.sign(&world.claims(&json!({})))?;
    let old = world.token(&json!({}))?;
    let asked = Instant::now();
    while world.models(&old).await?.0 == 200 {
        assert_eq!(world.models(&third).await?.0, 401);
        assert!(asked.elapsed() < TAKEN_OVER_MAX, "the old key goes on opening");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(world.models(&token).await?, (200, String::new()));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_that_is_down_or_another_opens_nothing_until_it_is_right() -> Outcome {
    let (issuer, signer) = (Issuer::start().await?, Signer::new("first")?);
    let config = format!(
        "{SIMULATED}[[issuer]]\nissuer = \"{}\"\naudience = [\"tallygate\"]\ntenant = \"demo\"\nrefresh_seconds = 1\n",
        issuer.address()
    );
    let mut installation = Installation::new(&config)?;
    // It publishes nothing yet. A gateway starts all the same, and opens to API keys.
    let server = installation.start().await?;
    let key = server.banner().api_key.clone().unwrap_or_default();
    assert_eq!(server.chat(&key).get("/models").await?.status, 200);
    let now = unix_seconds();
    let claims =
        json!({"iss": issuer.address(), "aud": "tallygate", "sub": "anna", "iat": now, "exp": now + 600});
    let token = signer.sign(&claims)?;
    let becomes = async |status: u16, code: &str| -> Outcome {
        let asked = Instant::now();
        loop {
            let answer = server.chat(&token).get("/models").await?;
            if (answer.status.as_u16(), answer.code()) == (status, code) {
                return Ok(());
            }
            assert!(asked.elapsed() < TAKEN_OVER_MAX, "{status} {code} never came: {}", answer.body);
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    // Every token asks for a look; the log says what each one found.
    let is_told = async |text: &str, times: usize| -> Outcome {
        let asked = Instant::now();
        while server.printed().matches(text).count() < times {
            server.chat(&token).get("/models").await?;
            assert!(asked.elapsed() < TAKEN_OVER_MAX, "{text:?} was not told: {}", server.printed());
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        Ok(())
    };
    becomes(503, "issuer_unavailable").await?;
    // A document that names another issuer gives no keys, wherever its keys are.
    let other = "the discovery document is of another issuer";
    issuer.publish_as("https://evil.example", &[&signer])?;
    is_told(other, 1).await?;
    becomes(503, "issuer_unavailable").await?;
    issuer.publish(&[&signer])?;
    becomes(200, "").await?;
    // Once known, keys outlive a document that is not the issuer's.
    let before = server.printed().matches(other).count();
    issuer.publish_as("https://evil.example", &[])?;
    is_told(other, before + 1).await?;
    becomes(200, "").await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_check_finds_tenants_and_projects_that_are_not_there() -> Outcome {
    let issuer = |whose: &str| {
        format!(
            "{SIMULATED}[[issuer]]\nissuer = \"https://login.example.com\"\naudience = [\"x\"]\n\
             jwks_file = \"keys.json\"\n{whose}\n"
        )
    };
    let mut installation = Installation::new(SIMULATED)?;
    installation.start().await?.stop().await?;
    let file = installation.folder().join("tallygate.toml");
    let rows = [
        ("tenant = \"demo\"", None),
        ("tenant_claim = \"org\"", None),
        ("tenant = \"nobody\"", Some("there is no tenant")),
        ("tenant = \"demo\"\nproject = \"nothing\"", Some("there is no project")),
    ];
    for (whose, expected) in rows {
        std::fs::write(&file, issuer(whose)).map_err(tests::harness::HarnessError::io("tallygate.toml"))?;
        let told = installation.run(&["check"]).err().map(|error| error.to_string());
        let is_told = told.as_ref().zip(expected).map(|(told, expected)| {
            told.contains("issuer https://login.example.com: ") && told.contains(expected)
        });
        assert_eq!(is_told, expected.map(|_| true), "{whose}: {told:?}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn claims_say_whose_a_token_is_and_what_for() -> Outcome {
    let world = world().await?;
    let projects = format!("{}/projects", world.tenant);
    let top = world.admin.post(&projects, &json!({"name": "research"})).await?.body;
    let below = json!({"name": "nlp", "parent_id": top["id"]});
    let below = world.admin.post(&projects, &below).await?.body;
    let by_path = world.token(&json!({"project": "research/nlp"}))?;
    let by_id = world.token(&json!({"project": below["id"], "sub": "carl"}))?;
    world.becomes(&by_path, 200, "").await?;
    world.becomes(&by_id, 200, "").await?;
    for token in [&by_path, &by_id, &world.token(&json!({}))?] {
        let answer = world.server.chat(token).send(&Chat::request("hello", 3)).await?;
        assert_eq!(answer.status, 200, "{}", answer.body);
    }
    // Roles: an analyst may look, and so may who has none; neither may run anything.
    for roles in [json!({"roles": ["analyst"]}), json!({})] {
        let token = world.token(&json!({"access": roles}))?;
        assert_eq!(world.models(&token).await?, (200, String::new()));
        let refused = world.server.chat(&token).send(&Chat::request("hello", 3)).await?;
        assert_eq!((refused.status.as_u16(), refused.code()), (403, "missing_scope"), "{}", refused.body);
        let text = refused.body["error"]["message"].as_str().unwrap_or_default();
        assert!(text.starts_with("this token may not be used for this"), "{text}");
    }
    // Their usage is the project's.
    let asked = Instant::now();
    let records = loop {
        let records = world.installation.records("demo")?;
        if records.len() == 3 || asked.elapsed() > TAKEN_OVER_MAX {
            break records;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    };
    let mut paths: Vec<_> = records.iter().map(|record| record["project_path"].clone()).collect();
    paths.sort_by_key(ToString::to_string);
    assert_eq!(paths, [json!("research/nlp"), json!("research/nlp"), Value::Null]);
    // A shut project, below a shut one or itself, and a shut tenant.
    let project = format!("{projects}/{}", top["id"].as_str().unwrap_or_default());
    world.admin.post(&format!("{project}/disable"), &Value::Null).await?;
    world.becomes(&by_path, 403, "project_disabled").await?;
    world.admin.post(&format!("{project}/enable"), &Value::Null).await?;
    world.becomes(&by_path, 200, "").await?;
    world.admin.post(&format!("{}/disable", world.tenant), &Value::Null).await?;
    world.becomes(&by_path, 403, "account_disabled").await
}
