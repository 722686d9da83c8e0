//! Where SQL statements, HTTP types and device code may stand, so that a reader knows where to look.
//! Never looks at tests, benchmarks or the crates that only serve development.
//! Run by `tidy`.

use super::{
    Tree, Violation,
    code::{Code, Token},
    tree::File,
};

/// Crates that are the product.
const PRODUCT: [&str; 5] = ["domain", "engine", "billing", "web", "gateway"];

/// Crates whose types speak HTTP.
const HTTP_CRATES: [&str; 5] = ["actix_web", "actix_http", "actix_rt", "actix_server", "awc"];

/// Types of the crate `http`, whose name is also a module's.
const HTTP_TYPES: [&str; 6] = ["StatusCode", "HeaderMap", "HeaderName", "HeaderValue", "Uri", "header"];

/// HTTP comes in here; the commands that start and stop the program put it together.
const HTTP_PLACES: [&str; 5] = [
    "gateway/src/http/",
    "gateway/src/main.rs",
    "gateway/src/cli/mod.rs",
    "gateway/src/cli/serve.rs",
    "web/",
];

/// Words of the crate `actix_web` that make a route.
const ROUTE_WORDS: [&str; 13] = [
    "delete", "get", "head", "method", "patch", "post", "put", "redirect", "resource", "route", "scope",
    "service", "to",
];

/// The tables of routes: a route made anywhere else would escape the tests that walk them.
const ROUTE_PLACES: [&str; 3] =
    ["gateway/src/http/routes.rs", "gateway/src/http/node/routes.rs", "gateway/src/http/admin/"];

/// Crates that reach a device.
const DEVICE_CRATES: [&str; 5] =
    ["candle_core", "candle_nn", "candle_transformers", "cudarc", "nvml_wrapper"];

/// Running, measuring and loading touch devices; scheduling does not.
const DEVICE_PLACES: [&str; 6] = [
    "engine/src/runner/",
    "engine/src/runner.rs",
    "engine/src/energy/",
    "engine/src/energy.rs",
    "engine/src/model/",
    "engine/src/model.rs",
];

/// Runs the statements that `sql.rs` files hold, on either database; holds none itself.
const STATEMENT_RUNNER: &str = "billing/src/ledger/pool.rs";

/// How statements begin, wherever they stand in a text.
const STATEMENTS: [&str; 12] = [
    "SELECT ",
    "INSERT INTO",
    "UPDATE ",
    "DELETE FROM",
    "CREATE TABLE",
    "CREATE INDEX",
    "ALTER TABLE",
    "DROP TABLE",
    "PRAGMA ",
    "BEGIN IMMEDIATE",
    "ON CONFLICT",
    "ORDER BY ",
];

/// What a text that begins so must also contain to be a statement in small letters.
const SMALL_STATEMENTS: [(&str, &str); 4] =
    [("select ", " from "), ("insert into ", " values"), ("update ", " set "), ("delete from ", " where ")];

/// Checks the product's sources.
pub(super) fn check(tree: &Tree) -> Vec<Violation> {
    let files = tree.code().filter(|(file, _)| PRODUCT.contains(&file.member()) && !file.is_test());
    files.flat_map(|(file, code)| check_one(file, code)).collect()
}

fn check_one(file: &File, code: &Code) -> Vec<Violation> {
    let is_in = |places: &[&str]| places.iter().any(|place| file.path.starts_with(place));
    let is_sql = file.path.split('/').any(|part| matches!(part, "sql.rs" | "sql"));
    let (is_http, is_device) = (is_in(&HTTP_PLACES), is_in(&DEVICE_PLACES));
    let is_route = is_in(&ROUTE_PLACES);
    let mut violations = Vec::new();
    let mut add = |token: &Token, rule, message: &str| {
        violations.push(Violation::new(&file.path, token.line, rule, message));
    };
    for (index, token) in code.product_tokens() {
        let is_call = file.path != STATEMENT_RUNNER && is_statement_call(code, index);
        if !is_sql && (is_statement(token) || is_call) {
            add(token, "sql-place", "statements live in files named sql.rs");
        }
        if !is_http && is_http_name(code, index) {
            add(token, "http-place", "HTTP types live in gateway/src/http, web and the composition root");
        }
        if !is_route && is_route_word(code, index) {
            add(token, "route-place", "routes are made in the table of gateway/src/http/routes.rs");
        }
        if !is_device && is_device_name(token) {
            add(token, "device-place", "device code lives in engine/src/runner, energy and model");
        }
    }
    violations
}

fn is_statement(token: &Token) -> bool {
    let Some(text) = token.text_content() else { return false };
    // Line breaks, written or escaped, count as spaces.
    let text = text.replace("\\n", " ").replace(char::is_whitespace, " ");
    let small = text.trim_start().to_ascii_lowercase();
    STATEMENTS.iter().any(|statement| text.contains(statement))
        || SMALL_STATEMENTS.iter().any(|(start, middle)| small.starts_with(start) && small.contains(middle))
}

/// `sqlx::query…(`, `sqlx::raw_sql(`, `use sqlx::{query, …}`, `sqlx::QueryBuilder`.
fn is_statement_call(code: &Code, index: usize) -> bool {
    let is_call = |name: &Token| {
        name.text.starts_with("query") || matches!(name.text.as_str(), "raw_sql" | "QueryBuilder")
    };
    let is_sqlx = code.after(index, 0).is_some_and(|token| token.is_word("sqlx"));
    if !is_sqlx || !code.after(index, 1).is_some_and(|sign| sign.is_sign("::")) {
        return false;
    }
    match code.after(index, 2) {
        Some(open) if open.is_sign("{") => {
            let end = code.closing(index + 2);
            code.tokens.get(index + 3..end).into_iter().flatten().any(is_call)
        }
        Some(name) => is_call(name),
        None => false,
    }
}

fn is_http_name(code: &Code, index: usize) -> bool {
    let Some(token) = code.after(index, 0) else { return false };
    if HTTP_CRATES.iter().any(|name| token.is_word(name)) {
        return true;
    }
    let is_root = !code.before(index).is_some_and(|sign| sign.is_sign("::") || sign.is_sign("."));
    let is_path = code.after(index, 1).is_some_and(|sign| sign.is_sign("::"));
    let is_type = code.after(index, 2).is_some_and(|name| HTTP_TYPES.contains(&name.text.as_str()));
    token.is_word("http") && is_root && is_path && is_type
}

/// `web::resource`, `web::post` and so on, with or without the crate's name before it.
fn is_route_word(code: &Code, index: usize) -> bool {
    let Some(token) = code.after(index, 0) else { return false };
    let is_path = code.after(index, 1).is_some_and(|sign| sign.is_sign("::"));
    let is_word = code.after(index, 2).is_some_and(|name| ROUTE_WORDS.contains(&name.text.as_str()));
    token.is_word("web") && is_path && is_word
}

fn is_device_name(token: &Token) -> bool {
    DEVICE_CRATES.iter().any(|name| token.is_word(name))
        || token.text_content().is_some_and(|text| text.contains("/sys/class/powercap"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::tests::broken_lines;

    #[test]
    fn statements_live_in_sql_files() {
        let bad = [
            "const A: &str = \"SELECT 1\";",
            "const A: &str = \"SELECT\\n 1\";",
            "const A: &str = r#\"\n  select a from b\"#;",
            "fn a() { println!(\"DELETE FROM b\"); }",
            "fn a() { sqlx::query(A); }",
            "use sqlx::{Row, query_as};",
        ];
        for text in bad {
            assert_eq!(broken_lines(check, "billing/src/ledger.rs", text).len(), 1, "{text}");
            assert!(broken_lines(check, "billing/src/ledger/sql.rs", text).is_empty(), "{text}");
            assert!(broken_lines(check, "tests/src/lib.rs", text).is_empty(), "{text}");
            let in_test = format!("#[cfg(test)] mod tests {{ {text} }}");
            assert!(broken_lines(check, "billing/src/ledger.rs", &in_test).is_empty(), "{text}");
        }
        for text in ["/// SELECT 1\nfn a() {}", "const A: &str = \"selected from\";", "use sqlx::Row;"] {
            assert!(broken_lines(check, "billing/src/ledger.rs", text).is_empty(), "{text}");
        }
    }

    #[test]
    fn http_types_live_at_the_edge() {
        for text in
            ["use actix_web::web;", "#[actix_web::main] async fn main() {}", "fn a(s: http::StatusCode) {}"]
        {
            assert_eq!(broken_lines(check, "gateway/src/admit.rs", text).len(), 1, "{text}");
            assert!(broken_lines(check, "gateway/src/http/chat.rs", text).is_empty(), "{text}");
            assert!(broken_lines(check, "web/src/lib.rs", text).is_empty(), "{text}");
        }
        let own = "use crate::http::error; mod http; fn a() { http::serve(); }";
        assert!(broken_lines(check, "gateway/src/lib.rs", own).is_empty());
    }

    #[test]
    fn routes_are_made_in_their_table() {
        for text in [
            "fn a() { web::resource(P); }",
            "fn a() { c.route(P, actix_web::web::get()); }",
            "fn a() { web::scope(P); }",
        ] {
            let broken = |path| broken_lines(check, path, text).len();
            assert_eq!(broken("gateway/src/http/openai/chat.rs"), 1, "{text}");
            assert_eq!(broken("gateway/src/http/node/create.rs"), 1, "{text}");
            assert_eq!(broken("gateway/src/http/routes.rs"), 0, "{text}");
            assert_eq!(broken("gateway/src/http/node/routes.rs"), 0, "{text}");
            assert_eq!(broken("gateway/src/http/admin/mod.rs"), 0, "{text}");
        }
        let own = "fn a() { web::block(b); web::HealthPage {}; web::Data::new(c) }";
        assert!(broken_lines(check, "gateway/src/http/openai/chat.rs", own).is_empty());
    }

    #[test]
    fn device_code_lives_with_the_runner() {
        for text in ["use candle_core::Tensor;", "const A: &str = \"/sys/class/powercap/x\";"] {
            assert_eq!(broken_lines(check, "engine/src/schedule.rs", text).len(), 1, "{text}");
            assert_eq!(broken_lines(check, "gateway/src/main.rs", text).len(), 1, "{text}");
            assert!(broken_lines(check, "engine/src/runner/cpu.rs", text).is_empty(), "{text}");
            assert!(broken_lines(check, "engine/src/energy/rapl.rs", text).is_empty(), "{text}");
        }
    }
}
