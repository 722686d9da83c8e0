//! Published clients against a gateway whose models run elsewhere: tools, structured output, embeddings, retries.
//! Never judges what the gateway keeps of an answer: the clients do, by their own types.
//! Run by `cargo xtask test`, which installs the packages.

use serde_json::json;
use tests::harness::{
    At, Behaviour, Case, HarnessError, Installation, NODE, Outcome, PYTHON, Upstream, check_cases, needed,
    run_cases, run_node_cases,
};

/// Every case the script has; one that vanished would otherwise pass unseen.
const OPENAI_CASES: [&str; 12] = [
    "tools",
    "streamed_tools",
    "the_answer_of_a_tool",
    "structured_output",
    "embeddings",
    "responses_with_tools",
    "streamed_responses",
    "structured_responses",
    "errors_of_the_backend",
    "a_busy_server_is_retried_until_it_answers",
    "what_no_retry_can_help_is_not_retried",
    "a_failing_server_is_retried",
];

/// As above.
const ANTHROPIC_CASES: [&str; 9] = [
    "tools",
    "streamed_tools",
    "thinking",
    "structured_output",
    "errors_of_the_backend",
    "a_stream_that_breaks_off_is_an_error",
    "a_busy_server_is_retried_until_it_answers",
    "what_no_retry_can_help_is_not_retried",
    "a_failing_server_is_retried",
];

/// As above.
const LANGCHAIN_CASES: [&str; 7] = [
    "tools",
    "streamed_tools",
    "structured_output",
    "embeddings",
    "errors_of_the_backend",
    "a_busy_server_is_retried_until_it_answers",
    "what_no_retry_can_help_is_not_retried",
];

/// As above.
const OPENAI_NODE_CASES: [&str; 9] = [
    "tools",
    "streamed_tools",
    "structured_output",
    "embeddings",
    "responses_with_tools",
    "errors_of_the_backend",
    "a_busy_server_is_retried_until_it_answers",
    "what_no_retry_can_help_is_not_retried",
    "a_failing_server_is_retried",
];

/// As above.
const VERCEL_CASES: [&str; 8] = [
    "tools_are_called",
    "streamed_tools_are_called",
    "an_object",
    "embeddings",
    "errors_of_the_backend",
    "a_busy_server_is_retried_until_it_answers",
    "a_spent_budget_says_that_no_retry_helps",
    "a_failing_server_is_retried",
];

/// As above.
const CURL_CASES: [&str; 6] = [
    "tools_are_called",
    "an_output_of_a_schema",
    "vectors",
    "errors_of_the_backend",
    "a_busy_server_is_retried_until_it_answers",
    "a_spent_budget_says_that_no_retry_helps",
];

/// What the scripts ask for.
const MODELS: [&str; 9] = ["tools", "json", "embed", "thinking", "hot", "torn", "flaky", "dear", "broken"];

/// How often a client must ask for the model that is busy twice; the gateway itself has nobody else to ask.
const FLAKY_REQUESTS: usize = 3;

#[tokio::test(flavor = "multi_thread")]
async fn the_openai_client_uses_remote_models() -> Outcome {
    let Some(python) = needed(PYTHON) else { return Ok(()) };
    client_works(&OPENAI_CASES, move |variables| run_cases(&python, "openai_remote.py", variables)).await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_anthropic_client_uses_remote_models() -> Outcome {
    let Some(python) = needed(PYTHON) else { return Ok(()) };
    client_works(&ANTHROPIC_CASES, move |variables| run_cases(&python, "anthropic_remote.py", variables))
        .await
}

#[tokio::test(flavor = "multi_thread")]
async fn curl_uses_remote_models() -> Outcome {
    client_works(&CURL_CASES, move |variables| run_cases("bash", "curl_remote.sh", variables)).await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_langchain_client_uses_remote_models() -> Outcome {
    let Some(python) = needed(PYTHON) else { return Ok(()) };
    client_works(&LANGCHAIN_CASES, move |variables| run_cases(&python, "langchain_remote.py", variables))
        .await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_openai_node_client_uses_remote_models() -> Outcome {
    let Some(packages) = needed(NODE) else { return Ok(()) };
    client_works(&OPENAI_NODE_CASES, move |variables| {
        run_node_cases(&packages, "openai_remote.mjs", variables)
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_vercel_client_uses_remote_models() -> Outcome {
    let Some(packages) = needed(NODE) else { return Ok(()) };
    client_works(&VERCEL_CASES, move |variables| run_node_cases(&packages, "vercel_remote.mjs", variables))
        .await
}

/// Runs a script against a fresh server in front of an upstream; every case must be there and pass.
async fn client_works(
    expected: &[&str],
    run: impl FnOnce(&[(&str, &str)]) -> Outcome<Vec<Case>> + Send + 'static,
) -> Outcome {
    let upstream = upstream().await?;
    let mut installation = Installation::new(&config(&upstream))?;
    let server = installation.start().await?;
    let plan = installation.folder().join("plan.toml");
    std::fs::write(&plan, plan_text()).map_err(HarnessError::io("plan.toml"))?;
    installation.run(&["plan", "publish", &plan.display().to_string()])?;
    installation.run(&["tenant", "create", "remote", "--plan", "remote"])?;
    let key = installation.create_key("remote", &[])?;
    // Less than a token costs.
    let poor = installation.create_key("remote", &["--budget", "0.000000001", "--period", "ever"])?;
    server.knows(&poor).await?;

    let variables = [
        ("TALLYGATE_BASE_URL", server.banner().base_url.clone()),
        ("TALLYGATE_KEY", key),
        ("TALLYGATE_POOR_KEY", poor),
    ];
    // The upstream answers while the script runs.
    let running = tokio::task::spawn_blocking(move || {
        run(&variables.each_ref().map(|(name, value)| (*name, value.as_str())))
    });
    let cases = running.await.map_err(|error| HarnessError::NotEvents { text: error.to_string() })??;

    check_cases(&cases, expected, &server.printed());
    let asked = |model: &str| upstream.seen().iter().filter(|seen| seen.json()["model"] == model).count();
    assert_eq!((asked("flaky"), asked("dear")), (FLAKY_REQUESTS, 0));
    assert!(server.stop().await?.success());
    Ok(())
}

async fn upstream() -> Outcome<Upstream> {
    let upstream = Upstream::start().await?;
    let call = json!([{
        "index": 0, "id": "call_1", "type": "function",
        "function": {"name": "weather", "arguments": "{\"city\": \"Paris\"}"},
    }]);
    upstream.behave_for(
        "tools",
        Behaviour {
            usage: Some(json!({"prompt_tokens": 11, "completion_tokens": 7, "total_tokens": 18})),
            ..Behaviour::calling(&[call])
        },
    );
    let thoughts = Behaviour { reasoning: vec!["Hm.".to_owned()], ..Behaviour::saying(&["Sunny."]) };
    upstream.behave_for("thinking", thoughts);
    let hot = json!({"error": {"message": "too hot", "param": "temperature"}});
    upstream.behave_for("hot", Behaviour::failing(400, hot));
    upstream.behave_for("torn", Behaviour { breaks: At::After(2), ..Behaviour::saying(&["a", "b", "c"]) });
    let busy = |status| Behaviour {
        headers: vec![("retry-after".to_owned(), "1".to_owned())],
        ..Behaviour::failing(status, json!({"error": {"message": "busy"}}))
    };
    upstream.behave_in_turn("flaky", vec![busy(429), busy(503)]);
    upstream.behave_for("flaky", Behaviour::saying(&["at", " last"]));
    upstream.behave_for("json", Behaviour::saying(&["{\"city\"", ": \"Paris\"", "}"]));
    upstream.behave_for("broken", Behaviour::failing(500, json!({"error": {"message": "out of memory"}})));
    Ok(upstream)
}

fn config(upstream: &Upstream) -> String {
    let mut text =
        format!("[[backend]]\nname = \"there\"\nkind = \"openai\"\nurl = \"{}\"\n", upstream.url());
    for model in MODELS {
        let capabilities = if model == "embed" { "[\"embeddings\"]" } else { "[\"chat\"]" };
        text += &format!(
            "[[backend.model]]\nname = \"{model}\"\ncontext_tokens_max = 8192\ncapabilities = {capabilities}\n"
        );
    }
    text
}

fn plan_text() -> String {
    let mut text =
        "name = \"remote\"\nversion = 1\ncurrency = \"USD\"\n[slo]\nclass = \"batch\"\n".to_owned();
    for model in MODELS {
        text +=
            &format!("[[price]]\nmodel = \"{model}\"\ninput_per_mtok = \"0.1\"\noutput_per_mtok = \"0.4\"\n");
    }
    text
}
