//! Requests for embeddings beside requests for text: sold apart, metered apart, charged apart, proved.
//! Never a real model: a server of the harness makes up the vectors.
//! Run by `cargo xtask test`.

use std::{
    fs,
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use tests::harness::{Answer, Behaviour, HarnessError, Installation, Outcome, Server, Upstream};

/// How long a key may take to the gateway, and a record to the ledger.
const KNOWN_MAX: Duration = Duration::from_secs(30);

/// What a plan of this name charges for the model `demo`.
const PLANS: [(&str, &str); 3] = [
    (
        "text",
        "[[charge]]\nname = \"text\"\nscheme = \"unit\"\nmeter = \"output_tokens\"\nprice = \"0.001\"\n",
    ),
    (
        "vectors",
        "[[charge]]\nname = \"vectors\"\nscheme = \"unit\"\nmeter = \"embeddings_tokens\"\nprice = \"0.02\"\nper = 1000\n",
    ),
    (
        "both",
        "[[price]]\nmodel = \"demo\"\ninput_per_mtok = \"1000\"\noutput_per_mtok = \"0\"\n\
         [[charge]]\nname = \"vectors\"\nscheme = \"unit\"\nmeter = \"embeddings_tokens\"\nprice = \"0.02\"\nper = 1000\n",
    ),
];

/// What a key is answered once the gateway knows it.
async fn ask(server: &Server, key: &str, path: &str) -> Outcome<Answer> {
    let body = match path {
        "/embeddings" => json!({"model": "demo", "input": ["one", "two"]}),
        _ => json!({"model": "demo", "messages": [{"role": "user", "content": "hi"}], "max_tokens": 2}),
    };
    let asked = Instant::now();
    loop {
        let answer = server.wire(key).post(path, &body).await?;
        if answer.status != 401 || asked.elapsed() > KNOWN_MAX {
            return Ok(answer);
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

async fn records(installation: &Installation, tenant: &str, count: usize) -> Outcome<Vec<Value>> {
    let asked = Instant::now();
    loop {
        let found = installation.records(tenant)?;
        if found.len() >= count || asked.elapsed() > KNOWN_MAX {
            return Ok(found.into_iter().map(|mut line| line["record"].take()).collect());
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn embeddings_are_sold_and_charged_apart_from_text() -> Outcome {
    let upstream = Upstream::start().await?;
    let able = "capabilities = [\"chat\", \"embeddings\"]\n";
    let mut installation = Installation::new(&format!("{}{able}", upstream.config("up", "")))?;
    let server = installation.start().await?;
    upstream.behave(Behaviour {
        usage: Some(json!({"prompt_tokens": 500, "completion_tokens": 1, "total_tokens": 501})),
        ..Behaviour::saying(&["a"])
    });
    let mut keys = Vec::new();
    for (name, charges) in PLANS {
        let file = installation.folder().join(format!("{name}.toml"));
        let head = format!("name = \"{name}\"\nversion = 1\ncurrency = \"USD\"\n[slo]\nclass = \"batch\"\n");
        fs::write(&file, head + charges).map_err(HarnessError::io("a plan"))?;
        installation.run(&["plan", "publish", &file.display().to_string()])?;
        installation.run(&["tenant", "create", name, "--plan", name])?;
        keys.push(installation.create_key(name, &[])?);
    }
    // A request that the plan does not price is refused, and leaves nothing.
    let rows = [
        (0, "/chat/completions", 200),
        (0, "/embeddings", 403),
        (1, "/chat/completions", 403),
        (1, "/embeddings", 200),
        (2, "/chat/completions", 200),
        (2, "/embeddings", 200),
    ];
    for (tenant, path, status) in rows {
        let answer = ask(&server, &keys[tenant], path).await?;
        assert_eq!(answer.status.as_u16(), status, "{tenant} {path}: {}", answer.body);
        if status == 403 {
            assert_eq!(answer.code(), "model_not_priced", "{}", answer.body);
        }
        let listed = server.wire(&keys[tenant]).bare(reqwest::Method::GET, "/models").await?;
        assert_eq!(listed.body["data"][0]["id"], "demo", "whoever may ask for one of both sees the model");
    }
    assert_eq!(records(&installation, "text", 1).await?.len(), 1);
    let vectors = records(&installation, "vectors", 1).await?;
    assert_eq!((&vectors[0]["prompt_tokens"], &vectors[0]["embeddings_tokens"]), (&json!(500), &json!(500)));
    assert_eq!(vectors[0]["charge_nanos"], 10_000_000, "500 × 0.02 ÷ 1000");
    // Text of the same model is input, and no embeddings.
    let both = records(&installation, "both", 2).await?;
    let mut charged: Vec<_> = both
        .iter()
        .map(|record| (record["embeddings_tokens"].as_u64(), record["charge_nanos"].as_u64()))
        .collect();
    charged.sort_unstable();
    assert_eq!(charged, [(None, Some(500_000_000)), (Some(500), Some(10_000_000))]);
    let told = installation.run(&["usage", "both", "--format", "csv"])?;
    assert!(told.contains("energy_mj,embeddings_tokens,project_id") && told.contains(",500,\n"), "{told}");
    billed(&installation)?;
    assert!(server.stop().await?.success());
    Ok(())
}

/// Each is on a line of its own, and the tenant computes the same.
fn billed(installation: &Installation) -> Outcome {
    installation.run(&["invoice", "both", "--format", "json", "--output", "invoice.json"])?;
    let file = installation.folder().join("invoice.json");
    let text = fs::read_to_string(file).map_err(HarnessError::io("an invoice"))?;
    let invoice: Value = serde_json::from_str(&text).map_err(|source| HarnessError::Json { text, source })?;
    let lines = invoice["lines"].as_array().into_iter().flatten().filter(|line| line["kind"] == "charge");
    let lines: Vec<_> = lines.map(|line| json!([line["item"], line["quantity"], line["exact"]])).collect();
    assert_eq!(
        json!(lines),
        json!([["input", 500, "0.50"], ["output", 1, "0.00"], ["vectors", 500, "0.01"]])
    );
    let usage = installation.run(&["usage", "both", "--records", "--format", "json"])?;
    let write = |name: &str, text: &str| {
        fs::write(installation.folder().join(name), text).map_err(HarnessError::io("a file"))
    };
    write("usage.jsonl", &usage)?;
    let verify = ["verify", "--invoice", "invoice.json", "--usage", "usage.jsonl", "--plan", "both.toml"];
    assert!(installation.run(&verify)?.contains("2 usage records"));
    // Calling text embeddings, or the other way round, is a change of the record.
    write("usage.jsonl", &usage.replacen("\"embeddings_tokens\":500", "\"embeddings_tokens\":0", 1))?;
    let told = installation.run(&verify).map_err(|error| error.to_string()).err().unwrap_or_default();
    assert!(told.contains("it was changed"), "{told}");
    Ok(())
}
