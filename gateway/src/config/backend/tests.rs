//! Addresses, energies and secrets of backends, good and bad.
//! Never a connection; only what text becomes.
//! Run by `cargo test -p gateway`.

use super::*;

/// An address, and what is made of it: TLS, host, port, path.
fn check(text: &str, expected: Option<(bool, &str, u16, &str)>) {
    let url = text.parse::<BackendUrl>().ok();
    let found = url.as_ref().map(|url| (url.is_https, url.host.as_str(), url.port, url.path.as_str()));
    assert_eq!(found, expected, "{text}");
}

#[test]
fn addresses_are_read() {
    check("http://a:8000/v1", Some((false, "a", 8000, "/v1")));
    check("https://api.example.com/v1/", Some((true, "api.example.com", 443, "/v1")));
    check("http://10.0.0.7", Some((false, "10.0.0.7", 80, "")));
    check("http://[::1]:9/x/y", Some((false, "::1", 9, "/x/y")));
    for bad in [
        "",
        "a:8000",
        "/v1",
        "ftp://a/v1",
        "unix:///tmp/x",
        "http://",
        "http:///v1",
        "http://user:word@a/v1",
        "http://a/v1?key=x",
        "http://a/v1#x",
        "http://a b/v1",
        "http://a:99999/v1",
        "http://a:0/v1",
        "http://a:/v1",
    ] {
        check(bad, None);
    }
}

#[test]
fn energy_is_exact() {
    let one = |text: &str, tokens| {
        let energy = text.parse::<TokenEnergy>().ok()?;
        Some(TokenEnergy::of((tokens, energy), (0, TokenEnergy::default())).get())
    };
    let rows = [
        ("0", 7, Some(0)),
        ("3", 7, Some(21)),
        ("0.5", 1, Some(1)),
        ("0.499999", 1, Some(0)),
        ("0.000001", 500_000, Some(1)),
        ("12.5", 3, Some(38)),
        ("1000000", u64::MAX, Some(u64::MAX)),
        ("1000001", 1, None),
        ("0.0000001", 1, None),
        ("-1", 1, None),
        ("1e3", 1, None),
        ("1.", 1, None),
        (".5", 1, None),
        ("", 1, None),
        ("1,5", 1, None),
    ];
    for (text, tokens, expected) in rows {
        assert_eq!(one(text, tokens), expected, "{text:?}");
    }
}

#[test]
fn secrets_are_read_and_never_shown() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = |text: &str| {
        let path = folder.path().join("secret");
        std::fs::write(&path, text).expect("written");
        Secret::File { file: path }.read()
    };
    assert_eq!(file("sk-a\n"), Ok("sk-a".to_owned()));
    for bad in ["", "\n", "two words", "sk-\u{e9}", "a\nb", &"x".repeat(SECRET_BYTES_MAX + 1)] {
        let why = file(bad).expect_err(bad);
        assert!(bad.trim().is_empty() || !why.contains(bad.trim()), "{why}");
    }
    assert!(Secret::File { file: folder.path().join("none") }.read().is_err());
    assert!(Secret::Variable { variable: "TALLYGATE_TEST_NO_SUCH".to_owned() }.read().is_err());
    assert!(!format!("{:?}", Secret::Value("sk-a".to_owned())).contains("sk-a"));
}
