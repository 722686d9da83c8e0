//! Roles and nodes, good and bad, and which place a complaint names.
//! Never a key that is read: only that its file is there.
//! Run by `cargo test -p gateway`.

use super::*;
use crate::config::{
    BackendKind, ModelSource,
    tests::{backend, check, check_refusals, models},
};

/// A file that is there, for what only has to be there.
fn there() -> String {
    format!("{}/Cargo.toml", env!("CARGO_MANIFEST_DIR"))
}

#[test]
fn each_role_has_what_it_needs_and_nothing_else() {
    let there = there();
    let node = format!("role = \"engine\"\n[node]\nname = \"a\"\ngateway_keys = [\"{there}\"]\n");
    let config = check(&node, &[]).expect("good");
    assert_eq!((config.role, models(&config)), (Role::Engine, vec![("demo", ModelSource::Demo)]));
    let gateway = format!("role = \"gateway\"\n{}", backend("", ""));
    assert_eq!(models(&check(&gateway, &[]).expect("good")), []);
    let files: [(String, &str); 11] = [
        ("role = \"worker\"\n".into(), "FILE:1:8: there is no role worker yet"),
        ("role = \"both\"\n".into(), "FILE:1:8: a role is all, gateway or engine, not \"both\""),
        ("role = \"gateway\"\n".into(), "FILE:1:1: at least one [[model]] or [[backend]]"),
        (
            "role = \"gateway\"\n[[model]]\nname = \"a\"\nsource = \"sim\"\n".into(),
            "FILE:2:1: role = \"gateway\" runs no [[model]]",
        ),
        (format!("role = \"engine\"\n{}", backend("", "")), "FILE:2:1: role = \"engine\" has no [[backend]]"),
        ("role = \"engine\"\n".into(), "FILE:1:8: role = \"engine\" needs node.name"),
        (
            "role = \"engine\"\n[node]\nname = \"a\"\n".into(),
            "FILE:1:8: role = \"engine\" needs node.gateway_keys",
        ),
        (node.replace(&there, "/nowhere"), "FILE:4:16: /nowhere is not a file"),
        (node.replace("\"a\"", "\"a b\""), "FILE:3:8: a node's name must be"),
        (
            format!("{node}[node.tls]\ncertificate = \"/nowhere\"\nkey = \"{there}\"\n"),
            "FILE:6:15: /nowhere is not a file",
        ),
        (
            format!("{node}[node.tls]\ncertificate = \"{there}\"\nkey = \"/nowhere\"\n"),
            "FILE:7:7: /nowhere is not a file",
        ),
    ];
    for (file, expected) in &files {
        check_refusals(&[(file, &[], expected)]);
    }
}

#[test]
fn a_node_is_opened_by_a_key_and_by_nothing_else() {
    let key = format!("signing_key = {{ file = \"{}\" }}", there());
    let node = |lines: &str, model_lines: &str| {
        let openai = backend(lines, model_lines);
        openai.replace("\"openai\"", "\"node\"").replace("http://h/v1", "http://h/engine/v1")
    };
    let config = check(&node(&key, ""), &[]).expect("good");
    assert_eq!(config.backends[0].kind, BackendKind::Node);
    let rows = [
        (node("", ""), "FILE:3:8: backend b: kind = \"node\" needs signing_key"),
        (node("signing_key = { file = \"/nowhere\" }", ""), "FILE:5:15: backend b: /nowhere is not a file"),
        (node("signing_key = \"x\"", ""), "FILE:5:15: invalid type: string"),
        (backend(&key, ""), "FILE:5:15: backend b: signing_key belongs to kind = \"node\""),
        (node(&format!("{key}\napi_key = \"x\""), ""), "FILE:6:11: backend b: a node takes no api_key"),
        (node(&key, "").replace("/engine/v1", "/v1"), "FILE:4:7: backend b: a node's url ends in /engine/v1"),
        (
            node(&key, "capabilities = [\"embeddings\"]"),
            "FILE:9:16: backend b: the model a has no embeddings on a node",
        ),
    ];
    for (file, expected) in &rows {
        check_refusals(&[(file, &[], expected)]);
    }
}
