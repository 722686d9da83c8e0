//! Tokens signed by keys made here, good ones and every way of being bad; and issuers that rotate, move or die.
//! Never another machine: issuers are small servers in the test.
//! Run by `cargo test -p gateway`.
//!
//! Long because each way of being bad is a row beside the good token that it differs from in one thing.

use std::{
    sync::Mutex,
    time::{Duration, Instant},
};

use aws_lc_rs::{
    encoding::AsDer as _,
    rand::SystemRandom,
    rsa::KeySize,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, RsaKeyPair},
};
use domain::KeyScope;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode, jwk::Jwk};
use serde_json::json;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
};
use tokio_util::sync::CancellationToken;

use super::*;

const NOW: Timestamp = Timestamp::from_unix_micros(1_800_000_000_000_000);
const NOW_S: i64 = 1_800_000_000;
const ISSUER: &str = "https://login.example.com/acme";

/// A signing key and its public half.
struct Signer {
    kid: String,
    algorithm: Algorithm,
    key: EncodingKey,
}

impl Signer {
    fn new(kid: &str, algorithm: Algorithm) -> Self {
        let random = SystemRandom::new();
        let key = match algorithm {
            Algorithm::EdDSA => {
                let made = Ed25519KeyPair::generate_pkcs8v1(&random).expect("a key");
                EncodingKey::from_ed_der(made.as_ref())
            }
            Algorithm::ES256 => {
                let made =
                    EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).expect("a key");
                EncodingKey::from_ec_der(made.as_ref())
            }
            Algorithm::HS256 | Algorithm::HS384 | Algorithm::HS512 => panic!("no public key to check"),
            Algorithm::ES384
            | Algorithm::RS256
            | Algorithm::RS384
            | Algorithm::RS512
            | Algorithm::PS256
            | Algorithm::PS384
            | Algorithm::PS512
            | _ => {
                let made = RsaKeyPair::generate(KeySize::Rsa2048).expect("a key").as_der().expect("PKCS 8");
                // The header of PKCS 8 around a key of 2,048 bits has 26 bytes.
                EncodingKey::from_rsa_der(&made.as_ref()[26..])
            }
        };
        Self { kid: kid.to_owned(), algorithm, key }
    }

    fn public(&self) -> Value {
        let mut jwk = json!(Jwk::from_encoding_key(&self.key, self.algorithm).expect("a public key"));
        jwk["kid"] = json!(self.kid);
        jwk
    }

    fn header(&self) -> Header {
        Header { kid: Some(self.kid.clone()), ..Header::new(self.algorithm) }
    }

    fn sign(&self, claims: &Value) -> String {
        encode(&self.header(), claims, &self.key).expect("signed")
    }
}

fn set(keys: &[Value]) -> Vec<u8> {
    json!({"keys": keys}).to_string().into_bytes()
}

/// The usual configuration with some fields changed.
fn config(changes: &str) -> config::Issuer {
    let usual = format!("issuer = \"{ISSUER}\"\naudience = [\"tallygate\", \"other\"]\n");
    let tenant = if changes.contains("tenant") { "" } else { "tenant_claim = \"org\"\n" };
    toml::from_str(&format!("{usual}{tenant}{changes}")).expect("a good issuer")
}

fn issuers(config: config::Issuer, keys: &[Value]) -> Issuers {
    let issuers = Issuers::new(&[config]);
    let found = issuers.by_name.values().next().expect("one");
    found.keys.store(Some(Arc::new(KeySet::from_json(&set(keys)).expect("keys"))));
    issuers
}

fn claims() -> Value {
    json!({
        "iss": ISSUER, "aud": "tallygate", "sub": "anna", "org": "acme", "exp": NOW_S + 600, "iat": NOW_S,
    })
}

fn with(name: &str, value: Value) -> Value {
    let mut claims = claims();
    claims[name] = value;
    claims
}

fn without(name: &str) -> Value {
    let mut claims = claims();
    claims.as_object_mut().expect("an object").remove(name);
    claims
}

#[test]
fn good_tokens_open_whatever_signs_them() {
    for algorithm in [Algorithm::EdDSA, Algorithm::ES256, Algorithm::RS256, Algorithm::PS256] {
        let signer = Signer::new("a", algorithm);
        let issuers = issuers(config(""), &[signer.public()]);
        let found = issuers.identify(&signer.sign(&claims()), NOW).expect("a good token");
        assert_eq!((found.tenant.as_str(), found.scopes), ("acme", KeyScopes::ALL), "{algorithm:?}");
        assert!(found.key_id.as_str().starts_with("jwt") && found.models.is_none());
        assert!(!found.key_id.as_str().contains("anna"));
        let other = issuers.identify(&signer.sign(&with("sub", json!("bert"))), NOW).expect("a good token");
        assert_ne!(found.key_id, other.key_id, "another subject has another id");
        // A list of audiences, of which one is ours, and times with fractions.
        let listed = with("aud", json!(["x", "other"]));
        assert!(issuers.identify(&signer.sign(&listed), NOW).is_ok());
        assert!(issuers.identify(&signer.sign(&with("exp", json!(1_800_000_600.5))), NOW).is_ok());
    }
}

#[test]
fn claims_are_checked() {
    use TokenFault::{Audience, Claim, Expired, NotYetValid, UnknownIssuer};
    let signer = Signer::new("a", Algorithm::EdDSA);
    let issuers = issuers(config("leeway_seconds = 60\nrequired_claims = [\"iat\"]"), &[signer.public()]);
    let rows = [
        (with("exp", json!(NOW_S - 59)), Ok(())),
        (with("exp", json!(NOW_S - 60)), Err(Expired)),
        (with("exp", json!(0)), Err(Expired)),
        (with("exp", json!(-1)), Err(Claim)),
        (with("exp", json!("1900000000")), Err(Claim)),
        (with("exp", Value::Null), Err(Claim)),
        (with("exp", json!(1e300)), Err(Claim)),
        (without("exp"), Err(Claim)),
        (with("nbf", json!(NOW_S + 60)), Ok(())),
        (with("nbf", json!(NOW_S + 61)), Err(NotYetValid)),
        (with("nbf", json!("now")), Err(Claim)),
        (with("iat", json!(NOW_S + 3_600)), Err(NotYetValid)),
        (without("iat"), Err(Claim)),
        (with("aud", json!("somebody")), Err(Audience)),
        (with("aud", json!(["somebody"])), Err(Audience)),
        (with("aud", json!([])), Err(Audience)),
        (with("aud", json!(7)), Err(Claim)),
        (without("aud"), Err(Claim)),
        (with("iss", json!("https://login.example.com/acme/")), Err(UnknownIssuer)),
        (with("iss", json!("https://evil.example.com")), Err(UnknownIssuer)),
        (without("sub"), Err(Claim)),
        (with("sub", json!("")), Err(Claim)),
        (with("sub", json!("x".repeat(256))), Err(Claim)),
        (without("org"), Err(Claim)),
        (with("org", json!(["acme"])), Err(Claim)),
        (with("org", json!("")), Err(Claim)),
        (with("org", json!("x".repeat(64))), Err(Claim)),
    ];
    for (claims, expected) in rows {
        let found = issuers.identify(&signer.sign(&claims), NOW).map(|_| ());
        assert_eq!(found, expected, "{claims}");
    }
    let list = with("iss", json!([ISSUER]));
    assert_eq!(issuers.identify(&signer.sign(&list), NOW), Err(TokenFault::Malformed));
    assert_eq!(issuers.identify(&signer.sign(&without("iss")), NOW), Err(TokenFault::Malformed));
}

#[test]
fn signatures_cannot_be_got_around() {
    let signer = Signer::new("a", Algorithm::RS256);
    let issuers = issuers(config(""), &[signer.public()]);
    let good = signer.sign(&claims());
    let parts: Vec<_> = good.split('.').collect();
    let encoded = |value: &Value| base64_url(value.to_string().as_bytes());
    let forged = encoded(&with("org", json!("victim")));
    let none = encoded(&json!({"alg": "none", "typ": "JWT", "kid": "a"}));
    // The public key as a shared secret: the classic confusion.
    let public = signer.public().to_string();
    let hmac = Header { kid: Some("a".to_owned()), ..Header::new(Algorithm::HS256) };
    let confused = encode(&hmac, &claims(), &EncodingKey::from_secret(public.as_bytes())).expect("signed");
    let stranger = Signer::new("a", Algorithm::RS256);
    let unknown = Signer::new("b", Algorithm::RS256);
    let another_kind = Signer::new("a", Algorithm::EdDSA);
    let critical = Header { crit: Some(vec!["b64".to_owned()]), ..signer.header() };
    let critical = encode(&critical, &claims(), &signer.key).expect("signed");
    let rows = [
        (format!("{}.{forged}.{}", parts[0], parts[2]), TokenFault::Signature),
        (format!("{}.{}.", parts[0], parts[1]), TokenFault::Signature),
        (format!("{}.{}.AAAA", parts[0], parts[1]), TokenFault::Signature),
        (format!("{none}.{}.", parts[1]), TokenFault::Malformed),
        (confused, TokenFault::Algorithm),
        (stranger.sign(&claims()), TokenFault::Signature),
        (unknown.sign(&claims()), TokenFault::UnknownKey),
        (another_kind.sign(&claims()), TokenFault::UnknownKey),
        (critical, TokenFault::Critical),
        (format!("{good}.x"), TokenFault::Malformed),
        ("eyJ.eyJ.x".to_owned(), TokenFault::Malformed),
        ("..".to_owned(), TokenFault::Malformed),
        (format!("{good}{}", "A".repeat(TOKEN_BYTES_MAX)), TokenFault::TooLong),
    ];
    for (token, expected) in rows {
        let shown: String = token.chars().take(60).collect();
        assert_eq!(issuers.identify(&token, NOW), Err(expected), "{shown}");
    }
}

#[test]
fn only_allowed_signatures_count_and_a_key_without_a_name_must_be_the_only_one() {
    let (one, two) = (Signer::new("a", Algorithm::ES256), Signer::new("b", Algorithm::ES256));
    let strict = issuers(config("algorithms = [\"RS256\"]"), &[one.public()]);
    assert_eq!(strict.identify(&one.sign(&claims()), NOW), Err(TokenFault::Algorithm));
    let nameless = encode(&Header::new(Algorithm::ES256), &claims(), &one.key).expect("signed");
    assert!(issuers(config(""), &[one.public()]).identify(&nameless, NOW).is_ok());
    let both = issuers(config(""), &[one.public(), two.public()]);
    assert_eq!(both.identify(&nameless, NOW), Err(TokenFault::UnknownKey));
    assert!(both.identify(&two.sign(&claims()), NOW).is_ok());
}

#[test]
fn sets_keep_what_can_check_a_signature() {
    let good = Signer::new("a", Algorithm::EdDSA).public();
    let mut for_encryption = good.clone();
    for_encryption["use"] = json!("enc");
    let secret = json!({"kty": "oct", "k": "c2VjcmV0", "kid": "s", "alg": "HS256"});
    let strange = json!({"kty": "XYZ", "kid": "x"});
    let rows = [
        (set(&[good, secret.clone(), strange.clone(), for_encryption.clone()]), Some(1)),
        (set(&[secret]), None),
        (set(&[for_encryption]), None),
        (set(&[strange]), None),
        (set(&[]), None),
        (b"{}".to_vec(), None),
        (b"not json".to_vec(), None),
    ];
    for (text, expected) in rows {
        let found = KeySet::from_json(&text).ok().map(|keys| keys.len());
        assert_eq!(found, expected, "{}", String::from_utf8_lossy(&text));
    }
}

#[test]
fn claims_say_what_a_token_is_for() {
    let signer = Signer::new("a", Algorithm::EdDSA);
    let limited = "scopes_claim = \"scope\"\nmodels_claim = \"models\"\nmodels = [\"demo\", \"small\"]\n\
                   [subject_limits]\nconcurrency = 2\n";
    let issuers = issuers(config(limited), &[signer.public()]);
    let identify = |claims: &Value| issuers.identify(&signer.sign(claims), NOW);
    let rows = [
        (json!("openid inference"), Ok(vec![KeyScope::Inference])),
        (json!(["models:read", "x"]), Ok(vec![KeyScope::ModelsRead])),
        (json!("openid"), Err(TokenFault::NoScope)),
        (json!(""), Err(TokenFault::NoScope)),
        (json!(7), Err(TokenFault::Claim)),
        (json!([7]), Err(TokenFault::Claim)),
    ];
    for (scope, expected) in rows {
        let found =
            identify(&with("scope", scope.clone())).map(|found| found.scopes.iter().collect::<Vec<_>>());
        assert_eq!(found, expected, "{scope}");
    }
    assert_eq!(identify(&claims()), Err(TokenFault::NoScope));
    let mut claims = with("scope", json!("inference"));
    let models = |claims: &Value| {
        let found = identify(claims).map(|found| found.models.unwrap_or_default());
        found.map(|models| models.iter().map(ToString::to_string).collect::<Vec<_>>())
    };
    assert_eq!(models(&claims), Ok(vec!["demo".to_owned(), "small".to_owned()]));
    claims["models"] = json!("small large");
    assert_eq!(models(&claims), Ok(vec!["small".to_owned()]), "no token widens the configuration");
    claims["models"] = json!(["a b"]);
    assert_eq!(models(&claims), Err(TokenFault::Claim));
    claims["models"] = json!([]);
    assert_eq!(models(&claims), Ok(Vec::new()), "an empty list allows none");
    let limits = identify(&with("scope", json!("inference"))).expect("good").limits;
    assert_eq!((limits.concurrency, limits.requests_per_minute), (Some(2), None));
}

#[test]
fn roles_and_projects_are_read_from_claims() {
    let signer = Signer::new("a", Algorithm::EdDSA);
    let given = "roles_claim = \"realm_access.roles\"\nproject_claim = \"https://x.example/project\"\n\
                 project = \"common\"\ndefault_scopes = [\"usage:read\"]\n\
                 [roles]\nanalyst = [\"models:read\", \"usage:read\"]\nagent = [\"inference\"]\n";
    let issuers = issuers(config(given), &[signer.public()]);
    let identify = |claims: &Value| issuers.identify(&signer.sign(claims), NOW);
    let scopes = |roles: Value| {
        let mut claims = claims();
        claims["realm_access"] = roles;
        identify(&claims).map(|found| found.scopes.to_string())
    };
    let rows = [
        (json!({"roles": ["agent"]}), Ok("inference")),
        (json!({"roles": ["stranger", "analyst"]}), Ok("models:read,usage:read")),
        (json!({"roles": "agent analyst"}), Ok("inference,models:read,usage:read")),
        (json!({"roles": ["stranger"]}), Err(TokenFault::NoScope)),
        (json!({"roles": []}), Err(TokenFault::NoScope)),
        (json!({"roles": 7}), Err(TokenFault::Claim)),
        (json!({"roles": null}), Ok("usage:read")),
        (json!({}), Ok("usage:read")),
        (json!("agent"), Ok("usage:read")),
    ];
    for (roles, expected) in rows {
        assert_eq!(scopes(roles.clone()), expected.map(str::to_owned), "{roles}");
    }
    let rows = [
        (json!("research/nlp"), Ok(Some("research/nlp".to_owned()))),
        (Value::Null, Ok(Some("common".to_owned()))),
        (json!(["research"]), Err(TokenFault::Claim)),
        (json!(""), Err(TokenFault::Claim)),
        (json!("x".repeat(513)), Err(TokenFault::Claim)),
    ];
    for (project, expected) in rows {
        let found = identify(&with("https://x.example/project", project.clone())).map(|found| found.project);
        assert_eq!(found, expected, "{project}");
    }
    assert_eq!(identify(&claims()).expect("good").project.as_deref(), Some("common"));
}

#[test]
fn clients_learn_nothing_of_keys() {
    let told = |fault: TokenFault| fault.to_client().code();
    for fault in
        [TokenFault::Signature, TokenFault::UnknownKey, TokenFault::Audience, TokenFault::UnknownIssuer]
    {
        assert_eq!(told(fault), "invalid_token");
    }
    assert_eq!(told(TokenFault::Expired), "token_expired");
    assert_eq!(told(TokenFault::NotYetValid), "token_not_yet_valid");
    assert_eq!(told(TokenFault::NoKeys), "issuer_unavailable");
}

#[test]
fn only_private_places_are_asked() {
    let rows = [
        ("https://login.example.com/x", true),
        ("http://127.0.0.1:9/x", true),
        ("http://localhost/x", true),
        ("http://login.example.com/x", false),
        ("http://127.0.0.1.example.com/x", false),
        ("https://user:secret@login.example.com/", false),
        ("file:///etc/passwd", false),
        ("", false),
    ];
    for (url, expected) in rows {
        assert_eq!(config::private_url(url).is_some(), expected, "{url}");
    }
}

/// A small issuer: what each path answers can be changed while it runs.
struct Provider {
    address: String,
    answers: Arc<Mutex<HashMap<String, String>>>,
    asked: Arc<Mutex<u32>>,
}

impl Provider {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = format!("http://{}", listener.local_addr().expect("an address"));
        let answers = Arc::new(Mutex::new(HashMap::<String, String>::new()));
        let asked = Arc::new(Mutex::new(0));
        let (served, counted) = (Arc::clone(&answers), Arc::clone(&asked));
        tokio::spawn(async move {
            while let Ok((mut socket, _)) = listener.accept().await {
                let mut head = vec![0; 4_096];
                let length = socket.read(&mut head).await.unwrap_or(0);
                let head = String::from_utf8_lossy(&head[..length]).into_owned();
                let path = head.split(' ').nth(1).unwrap_or("/").to_owned();
                *counted.lock().expect("not poisoned") += u32::from(path == "/keys");
                let answer = match served.lock().expect("not poisoned").get(&path) {
                    Some(body) => format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len()),
                    None => "HTTP/1.1 503 Gone\r\ncontent-length: 0\r\n\r\n".to_owned(),
                };
                // A client that left needs no answer.
                socket.write_all(answer.as_bytes()).await.ok();
            }
        });
        Self { address, answers, asked }
    }

    fn answer(&self, path: &str, body: &str) {
        self.answers.lock().expect("not poisoned").insert(path.to_owned(), body.to_owned());
    }

    fn publish(&self, keys: &[Value]) {
        let discovery = json!({"issuer": self.address, "jwks_uri": format!("{}/keys", self.address)});
        self.answer("/.well-known/openid-configuration", &discovery.to_string());
        self.answer("/keys", &String::from_utf8(set(keys)).expect("text"));
    }

    fn config(&self) -> config::Issuer {
        config::Issuer { issuer: self.address.clone(), ..config("") }
    }

    fn sign(&self, signer: &Signer) -> String {
        signer.sign(&with("iss", json!(self.address)))
    }
}

async fn becomes(what: &str, is_so: impl Fn() -> bool) {
    let began = Instant::now();
    while !is_so() {
        assert!(began.elapsed() < Duration::from_secs(20), "{what} never came");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn keys_are_discovered_and_rotated_and_outlive_a_dead_issuer() {
    let provider = Provider::start().await;
    let (first, second) = (Signer::new("1", Algorithm::EdDSA), Signer::new("2", Algorithm::ES256));
    provider.publish(&[first.public()]);
    let issuers = Issuers::new(&[provider.config()]);
    let refresher = KeyRefresher::new(CancellationToken::new()).expect("a client");
    let refresher = refresher.with_look_pause(Duration::from_millis(300));
    assert_eq!(issuers.identify(&provider.sign(&first), NOW), Err(TokenFault::NoKeys));
    refresher.read_all(&issuers).await;
    assert!(issuers.identify(&provider.sign(&first), NOW).is_ok());
    refresher.keep_fresh(&issuers);
    // The issuer rotates: the first token with the new key asks for a look, a flood of made-up keys for no more.
    provider.publish(&[first.public(), second.public()]);
    let asked_before = *provider.asked.lock().expect("not poisoned");
    let stranger = Signer::new("3", Algorithm::EdDSA);
    for _ in 0..200 {
        assert_eq!(issuers.identify(&provider.sign(&stranger), NOW), Err(TokenFault::UnknownKey));
    }
    becomes("the new key", || issuers.identify(&provider.sign(&second), NOW).is_ok()).await;
    let asked = *provider.asked.lock().expect("not poisoned") - asked_before;
    assert!(asked <= 3, "{asked} looks for a flood");
    // It dies: what was known goes on opening.
    provider.answers.lock().expect("not poisoned").clear();
    // Asks for a look, which fails; that this token is refused was seen above.
    issuers.identify(&provider.sign(&stranger), NOW).ok();
    tokio::time::sleep(Duration::from_millis(700)).await;
    assert!(issuers.identify(&provider.sign(&first), NOW).is_ok());
    assert!(issuers.identify(&provider.sign(&second), NOW).is_ok());
}

#[tokio::test]
async fn what_an_issuer_may_not_answer_is_refused() {
    let good = Signer::new("1", Algorithm::EdDSA);
    let provider = Provider::start().await;
    let client = fetch::client().expect("a client");
    let discovery = "/.well-known/openid-configuration";
    let other = json!({"issuer": "https://evil.example.com", "jwks_uri": "https://evil.example.com/keys"});
    let open = json!({"issuer": provider.address, "jwks_uri": "http://login.example.com/keys"});
    let file = json!({"issuer": provider.address, "jwks_uri": "file:///etc/passwd"});
    let rows = [
        (None, "answered 503"),
        (Some("not json".to_owned()), "does not read"),
        (Some(other.to_string()), "of another issuer"),
        (Some(open.to_string()), "neither https"),
        (Some(file.to_string()), "neither https"),
        (Some(" ".repeat(300_000)), "more than"),
    ];
    for (answer, expected) in rows {
        if let Some(answer) = &answer {
            provider.answer(discovery, answer);
        }
        let found = fetch::keys(&client, &provider.config()).await.expect_err("refused").to_string();
        assert!(found.contains(expected), "{found}");
    }
    provider.publish(&[good.public()]);
    assert_eq!(fetch::keys(&client, &provider.config()).await.expect("keys").len(), 1);
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("keys.json");
    let from_file = config::Issuer { jwks_file: Some(path.clone()), ..provider.config() };
    assert!(fetch::keys(&client, &from_file).await.is_err(), "no file");
    std::fs::write(&path, set(&[good.public()])).expect("written");
    assert_eq!(fetch::keys(&client, &from_file).await.expect("keys").len(), 1);
}

/// RFC 4648, section 5, without padding.
fn base64_url(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut text = String::new();
    for group in bytes.chunks(3) {
        let bits =
            group.iter().fold(0_u32, |bits, byte| bits << 8 | u32::from(*byte)) << (8 * (3 - group.len()));
        for place in 0..=group.len() {
            let index = usize::try_from(bits >> (18 - 6 * place) & 63).unwrap_or(0);
            text.push(char::from(LETTERS[index]));
        }
    }
    text
}
