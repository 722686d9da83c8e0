//! The first start: an operator, a demo tenant and its key, each secret shown once; and the banner of every start.
//! Never runs twice: the ledger lets exactly one starter create them.
//! Called by `cli::serve`.

use std::net::SocketAddr;

use billing::{
    ledger::{
        FirstStart, Ledger, Limits, NewKey, NewOperator, NewTenant, OperatorRole, SecretHash, TenantTerms,
    },
    plan::Plan,
};
use domain::{ModelName, Timestamp};

use super::{CliError, out};
use crate::authenticate::key::{self, SecretText};

/// The secrets of a first start, for the one moment they are shown.
pub(super) struct FirstSecrets {
    operator: SecretText,
    key: SecretText,
}

/// Creates operator, demo plan, demo tenant and key when the ledger has no operator yet.
pub(super) async fn first_start(ledger: &Ledger, now: Timestamp) -> Result<Option<FirstSecrets>, CliError> {
    let operator = key::generate_operator_token()?;
    let demo_key = key::generate_key()?;
    let plan = Plan::demo()?;
    let first = FirstStart {
        operator: NewOperator {
            name: "operator",
            token_id: operator.key_id.clone(),
            secret_hash: SecretHash::from_bytes(operator.secret_hash),
            role: OperatorRole::Admin,
        },
        plan: &plan,
        tenant: NewTenant {
            name: "demo",
            plan_name: plan.name(),
            zone: "UTC",
            limits: Limits::default(),
            terms: TenantTerms::default(),
        },
        key: NewKey::unlimited(
            demo_key.key_id.clone(),
            "first key",
            SecretHash::from_bytes(demo_key.secret_hash),
        ),
    };
    let created = ledger.bootstrap(&first, now).await?;
    Ok(created.map(|_| FirstSecrets { operator: operator.text, key: demo_key.text }))
}

/// Tells a person what runs, where, and what to paste next.
pub(super) fn banner(
    address: SocketAddr,
    admin: Option<SocketAddr>,
    model: &ModelName,
    secrets: Option<&FirstSecrets>,
) {
    let base = format!("http://{address}/v1");
    out::say("");
    out::say(&format!("Tallygate {} is serving.", env!("CARGO_PKG_VERSION")));
    out::say("");
    out::say(&format!("  base URL        {base}"));
    out::say(&format!("  portal          http://{address}/"));
    if let Some(admin) = admin {
        out::say(&format!("  admin API       http://{admin}/admin/v1"));
    }
    let key = match secrets {
        Some(secrets) => {
            out::say(&format!("  operator token  {}", secrets.operator.reveal()));
            out::say("  tenant          demo");
            out::say(&format!("  API key         {}", secrets.key.reveal()));
            out::say("");
            out::say("Operator token and API key are shown this once; only their hashes are stored.");
            secrets.key.reveal()
        }
        None => {
            out::say("");
            out::say("Keys were shown when they were made; `tallygate key create demo` makes another.");
            "$TALLYGATE_KEY"
        }
    };
    snippets(&base, model, key);
}

fn snippets(base: &str, model: &ModelName, key: &str) {
    let quoted = if key.starts_with('$') {
        format!("\"Authorization: Bearer {key}\"")
    } else {
        format!("'Authorization: Bearer {key}'")
    };
    out::say("");
    out::say("Try it:");
    out::say("");
    out::say(&format!("  curl -N {base}/chat/completions -H {quoted} \\"));
    out::say("    -H 'Content-Type: application/json' \\");
    out::say(&format!(
        "    -d '{{\"model\":\"{model}\",\"stream\":true,\"stream_options\":{{\"include_usage\":true}},\"messages\":[{{\"role\":\"user\",\"content\":\"Tell me a short story about a fox.\"}}]}}'"
    ));
    out::say("");
    out::say("Or with the OpenAI Python package (pip install openai):");
    out::say("");
    let python_key = match key.strip_prefix('$') {
        Some(variable) => format!("os.environ[\"{variable}\"]"),
        None => format!("\"{key}\""),
    };
    if key.starts_with('$') {
        out::say("  import os");
    }
    out::say("  from openai import OpenAI");
    out::say(&format!("  client = OpenAI(base_url=\"{base}\", api_key={python_key})"));
    out::say(&format!(
        "  answer = client.chat.completions.create(model=\"{model}\", messages=[{{\"role\": \"user\", \"content\": \"What is goodput?\"}}])"
    ));
    out::say("  print(answer.choices[0].message.content, answer.usage)");
    out::say("");
    out::say(
        "Then: `tallygate usage demo` and `tallygate invoice demo`. Ctrl-C lets running streams end, then stops.",
    );
    out::say("");
}
