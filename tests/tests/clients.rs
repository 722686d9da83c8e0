//! Official clients against the real program with the demo model, as customers use them.
//! Never imitates a client: each test runs the published package.
//! Run by `cargo xtask test`, which installs the packages.

use tests::harness::{Installation, Outcome, PYTHON, needed, run_cases};

/// Every case the script has; one that vanished would otherwise pass unseen.
const OPENAI_CASES: [&str; 20] = [
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

#[tokio::test(flavor = "multi_thread")]
async fn the_openai_client_works() -> Outcome {
    client_works("openai_client.py", &OPENAI_CASES).await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_anthropic_client_works() -> Outcome {
    client_works("anthropic_client.py", &ANTHROPIC_CASES).await
}

/// Runs a script against a fresh server; every case must be there and pass.
async fn client_works(script: &str, expected: &[&str]) -> Outcome {
    let Some(python) = needed(PYTHON) else { return Ok(()) };
    let mut installation = Installation::new("")?;
    let server = installation.start().await?;
    let key = server.banner().api_key.clone().unwrap_or_default();
    let limited = installation.create_key("demo", &["--requests-per-minute", "2"])?;
    server.knows(&limited).await?;

    let variables = [
        ("TALLYGATE_BASE_URL", server.banner().base_url.as_str()),
        ("TALLYGATE_ORIGIN", server.origin()),
        ("TALLYGATE_KEY", key.as_str()),
        ("TALLYGATE_LIMITED_KEY", limited.as_str()),
    ];
    let cases = run_cases(&python, script, &variables)?;

    let names: Vec<&str> = cases.iter().map(|case| case.name.as_str()).collect();
    let failed: Vec<_> = cases.iter().filter(|case| case.failure.is_some()).collect();
    assert!(failed.is_empty(), "{failed:#?}\n{}", server.printed());
    assert_eq!(names, expected);
    assert!(server.stop().await?.success());
    Ok(())
}
