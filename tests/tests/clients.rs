//! Published clients against the real program with the demo model, as customers use them.
//! Never imitates a client: each test runs the published package.
//! Run by `cargo xtask test`, which installs the packages.

use tests::harness::{
    Case, Installation, NODE, Outcome, PYTHON, Server, check_cases, needed, run_cases, run_node_cases,
};

/// Every case the script has; one that vanished would otherwise pass unseen.
const OPENAI_CASES: [&str; 21] = [
    "plain_chat",
    "headers_of_a_plain_chat",
    "the_same_seed_gives_the_same_answer",
    "max_tokens_ends_an_answer",
    "a_stop_text_ends_an_answer",
    "streamed_chat_with_usage",
    "streamed_chat_without_usage",
    "usage_off_by_name",
    "stream_helper_of_the_client",
    "closing_a_stream_early",
    "content_in_parts",
    "a_conversation",
    "list_of_models",
    "bad_keys",
    "unknown_models",
    "bad_requests",
    "broken_bodies",
    "too_long_a_prompt",
    "limits",
    "a_retry_after_a_refusal_succeeds",
    "eight_streams_at_once",
];

/// As above.
const ANTHROPIC_CASES: [&str; 14] = [
    "create_a_message",
    "a_bearer_token",
    "max_tokens_ends_an_answer",
    "a_stop_text_ends_an_answer",
    "stream_with_the_helper",
    "stream_of_raw_events",
    "closing_a_stream_early",
    "count_tokens",
    "bad_keys",
    "unknown_models",
    "bad_requests",
    "too_long_a_prompt",
    "limits",
    "four_streams_at_once",
];

/// As above.
const LANGCHAIN_CASES: [&str; 7] =
    ["invoke", "a_conversation", "stream", "a_chain_in_a_batch", "asynchronous_calls", "errors", "limits"];

/// As above.
const OPENAI_NODE_CASES: [&str; 12] = [
    "plain_chat",
    "the_request_id_is_given",
    "streamed_chat_with_usage",
    "stream_helper_of_the_client",
    "aborting_a_stream",
    "list_of_models",
    "bad_keys",
    "unknown_models",
    "bad_requests",
    "limits_are_told",
    "a_retry_after_a_refusal_succeeds",
    "eight_streams_at_once",
];

/// As above.
const VERCEL_CASES: [&str; 7] = [
    "plain_text",
    "a_conversation_with_a_system_text",
    "streamed_text",
    "usage_of_a_stream_when_asked_for",
    "aborting_a_stream",
    "errors_keep_status_and_message",
    "limits_are_told",
];

/// As above.
const CURL_CASES: [&str; 8] = [
    "a_plain_chat",
    "a_stream",
    "http_1_0",
    "a_body_in_chunks_after_a_permission",
    "one_connection_for_many",
    "errors_have_a_status_and_a_code",
    "a_retry_waits_as_told",
    "limits_are_told",
];

#[tokio::test(flavor = "multi_thread")]
async fn the_openai_client_works() -> Outcome {
    let Some(python) = needed(PYTHON) else { return Ok(()) };
    client_works(&OPENAI_CASES, |variables| run_cases(&python, "openai_client.py", variables)).await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_anthropic_client_works() -> Outcome {
    let Some(python) = needed(PYTHON) else { return Ok(()) };
    client_works(&ANTHROPIC_CASES, |variables| run_cases(&python, "anthropic_client.py", variables)).await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_langchain_client_works() -> Outcome {
    let Some(python) = needed(PYTHON) else { return Ok(()) };
    client_works(&LANGCHAIN_CASES, |variables| run_cases(&python, "langchain_client.py", variables)).await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_openai_node_client_works() -> Outcome {
    let Some(packages) = needed(NODE) else { return Ok(()) };
    client_works(&OPENAI_NODE_CASES, |variables| run_node_cases(&packages, "openai_client.mjs", variables))
        .await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_vercel_client_works() -> Outcome {
    let Some(packages) = needed(NODE) else { return Ok(()) };
    client_works(&VERCEL_CASES, |variables| run_node_cases(&packages, "vercel_client.mjs", variables)).await
}

#[tokio::test(flavor = "multi_thread")]
async fn curl_works() -> Outcome {
    client_works(&CURL_CASES, |variables| run_cases("bash", "curl_client.sh", variables)).await
}

/// Runs a script against a fresh server; every case must be there and pass.
async fn client_works(expected: &[&str], run: impl FnOnce(&[(&str, &str)]) -> Outcome<Vec<Case>>) -> Outcome {
    let mut installation = Installation::new("")?;
    let server = installation.start().await?;
    let key = server.banner().api_key.clone().unwrap_or_default();
    let limited = create_key(&installation, &server, &["--requests-per-minute", "2"]).await?;
    let single = create_key(&installation, &server, &["--concurrency", "1"]).await?;

    let variables = [
        ("TALLYGATE_BASE_URL", server.banner().base_url.as_str()),
        ("TALLYGATE_ORIGIN", server.origin()),
        ("TALLYGATE_KEY", key.as_str()),
        ("TALLYGATE_LIMITED_KEY", limited.as_str()),
        ("TALLYGATE_SINGLE_KEY", single.as_str()),
    ];
    let cases = run(&variables)?;

    check_cases(&cases, expected, &server.printed());
    assert!(server.stop().await?.success());
    Ok(())
}

async fn create_key(installation: &Installation, server: &Server, limits: &[&str]) -> Outcome<String> {
    let key = installation.create_key("demo", limits)?;
    server.knows(&key).await?;
    Ok(key)
}
