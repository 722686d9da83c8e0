//! `tallygate check`: everything a start needs, tried one after another.
//! Never serves and never changes a tenant; the ledger's tables are brought up to date.
//! Called by `Cli::run` before a deployment.

use billing::{journal, plan::Plan};

use super::{CliError, open, out, serve};
use crate::config::Config;

pub(super) async fn run(config: &Config) -> Result<(), CliError> {
    out::say("configuration  ok");
    open::data_folder(config)?;
    out::say(&format!("data folder    ok: {}", config.data.folder.display()));
    let ledger = open::ledger(config).await?;
    let plans = ledger.plans().await?;
    out::say(&format!(
        "ledger         ok: {} tenants, {} plan versions",
        ledger.tenants().await?.len(),
        plans.len()
    ));
    check_journal(config)?;
    let backends = serve::start_engines(config)?;
    for backend in backends.all() {
        let info = backend.engine.info();
        out::say(&format!(
            "model {:<8} ok: {}, {} parameters, context of {} tokens, energy {}",
            backend.model,
            info.architecture,
            info.parameters,
            info.context_tokens_max,
            info.energy_source.as_str()
        ));
        let is_priced = |plan: &Plan| plan.price_of(&backend.model).is_some();
        if !plans.is_empty() && !plans.iter().any(is_priced) {
            out::say(&format!(
                "  note: no published plan prices {}; requests for it will be refused",
                backend.model
            ));
        }
        backend.engine.shutdown();
    }
    ledger.close().await;
    Ok(())
}

/// A journal that is not there yet is made at the first start.
fn check_journal(config: &Config) -> Result<(), CliError> {
    let folder = config.journal_folder();
    if !folder.exists() {
        out::say("journal        ok: made at the first start");
        return Ok(());
    }
    let report = journal::verify(&folder, |_| {})?;
    out::say(&format!("journal        ok: {} records, the hash chain is whole", report.records));
    Ok(())
}
