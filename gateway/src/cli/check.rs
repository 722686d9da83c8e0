//! `tallygate check`: everything a start needs, tried one after another; a failure does not hide the next one.
//! Never serves and never makes a data folder, a journal or a SQLite ledger; tables of a ledger that is there are
//! brought up to date.
//! Called by `Cli::run` before a deployment.

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io::{self, ErrorKind},
    net::SocketAddr,
    path::Path,
};

use billing::{journal, ledger::Ledger, plan::Plan};
use domain::ModelName;
use engine::Engine;

use super::{CliError, listen, node, open, out};
use crate::{
    authenticate::Snapshot,
    config::{Backend, Config, Model, Role, Secret},
    dispatch::Remote,
    node::PublicKey,
};

/// The file that a running server keeps locked in its journal's folder. A test holds it against the journal.
const JOURNAL_LOCK: &str = "journal.lock";

const AT_FIRST_START: &str = "made at the first start";

/// What was tried, and how often it failed.
#[derive(Default)]
struct Report {
    parts: u32,
    failures: u32,
}

impl Report {
    /// Prints one part's result.
    fn note(&mut self, part: &str, result: Result<String, CliError>) {
        self.parts += 1;
        match result {
            Ok(found) => out::say(&format!("{part:<14} ok: {found}")),
            Err(error) => {
                self.failures += 1;
                out::say(&format!("{part:<14} FAILED: {error}"));
            }
        }
    }

    /// Whether all of it was good.
    fn outcome(&self) -> Result<(), CliError> {
        match self.failures {
            0 => Ok(()),
            failures => {
                Err(CliError::Usage(format!("{failures} of {} parts failed; see FAILED above", self.parts)))
            }
        }
    }
}

pub(super) async fn run(config: &Config) -> Result<(), CliError> {
    let mut report = Report::default();
    let elsewhere = config.backends.iter().flat_map(|backend| &backend.models).map(|model| &model.name);
    let mut names: Vec<_> = config.models.iter().map(|model| &model.name).chain(elsewhere).collect();
    names.dedup();
    let names: Vec<_> = names.into_iter().map(ModelName::as_str).collect();
    report.note("configuration", Ok(format!("models: {}", names.join(", "))));
    if config.role == Role::Engine {
        check_node(config, &mut report);
        return report.outcome();
    }
    report.note("listen", check_listen(config.server.listen));
    if config.admin.enabled {
        report.note("admin API", check_listen(config.admin.listen));
    }
    report.note("data folder", check_data_folder(&config.data.folder));
    let (ledger, plans) = match check_ledger(config).await {
        Ok((found, plans)) => (Ok(found), Some(plans)),
        Err(error) => (Err(error), None),
    };
    report.note("ledger", ledger);
    let folder = config.journal_folder();
    report.note("journal lock", check_journal_lock(&folder));
    report.note("journal", check_journal(&folder));
    if config.stripe.secret_key.is_some() {
        report.note("Stripe", check_stripe(config));
    }
    for model in &config.models {
        report.note(&format!("model {}", model.name), check_model(config, model));
        note_unpriced(&model.name, plans.as_deref());
    }
    for backend in &config.backends {
        report.note(&format!("backend {}", backend.name), check_backend(backend));
        for model in &backend.models {
            note_unpriced(&model.name, plans.as_deref());
        }
    }
    report.outcome()
}

/// What an engine node needs: no ledger, no journal, no data folder.
fn check_node(config: &Config, report: &mut Report) {
    report.note("listen", check_listen(config.node.listen));
    let ids = |keys: Vec<PublicKey>| keys.iter().map(PublicKey::id).collect::<Vec<_>>().join(", ");
    report.note("gateway keys", node::keys(config).map(ids));
    if config.node.tls.is_some() {
        report.note("TLS", node::tls(config).map(|_| "certificate and key fit together".to_owned()));
    }
    for model in &config.models {
        report.note(&format!("model {}", model.name), check_model(config, model));
    }
}

/// Takes the address as a start does, and gives it back.
fn check_listen(address: SocketAddr) -> Result<String, CliError> {
    let listener = listen::listener(address)?;
    drop(listener);
    Ok(address.to_string())
}

/// The folder, or what it is to be made in, takes a file.
fn check_data_folder(folder: &Path) -> Result<String, CliError> {
    let fault = |place: &Path| {
        let what = format!("data folder {}: {}", folder.display(), place.display());
        move |source| CliError::Io { what, source }
    };
    let mut place = std::path::absolute(folder).map_err(fault(folder))?;
    let is_there = match fs::metadata(&place) {
        Ok(_) => true,
        Err(error) if error.kind() == ErrorKind::NotFound => false,
        Err(error) => return Err(fault(&place)(error)),
    };
    // The root is always there; each round goes one folder up.
    while !place.exists() && place.pop() {}
    try_to_write(&place).map_err(fault(&place))?;
    Ok(match is_there {
        true => folder.display().to_string(),
        false => format!("{} is {AT_FIRST_START}", folder.display()),
    })
}

/// Makes a file of its own in a folder and removes it.
fn try_to_write(folder: &Path) -> io::Result<()> {
    let probe = folder.join(format!(".tallygate-check-{}", std::process::id()));
    OpenOptions::new().write(true).create_new(true).open(&probe)?;
    fs::remove_file(&probe)
}

/// What the ledger has, and its plans; the demo plan where the first start will publish it.
async fn check_ledger(config: &Config) -> Result<(String, Vec<Plan>), CliError> {
    let Some(path) = open::missing_ledger(config)? else {
        let ledger = open::existing_ledger(config).await?;
        let plans = ledger.plans().await?;
        let tenants = ledger.tenants().await?.len();
        // A start reads everything that requests need in one go.
        Snapshot::read(&ledger).await?;
        check_issuers(config, &ledger).await?;
        ledger.close().await;
        let found = format!("tenants: {tenants}, plan versions: {}", plans.len());
        return Ok((found, if plans.is_empty() { vec![Plan::demo()?] } else { plans }));
    };
    // The data folder is made with the ledger; any other folder has to be there.
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    if let Some(folder) = folder.filter(|folder| *folder != config.data.folder) {
        try_to_write(folder)
            .map_err(|source| CliError::Io { what: format!("ledger {}", path.display()), source })?;
    }
    Ok((format!("{} is {AT_FIRST_START}", path.display()), vec![Plan::demo()?]))
}

/// The tenants and projects that issuers' tokens are put under are there. A start does without: they may come later.
async fn check_issuers(config: &Config, ledger: &Ledger) -> Result<(), CliError> {
    for issuer in &config.issuers {
        let fault = |error: CliError| CliError::Usage(format!("issuer {}: {error}", issuer.issuer));
        let Some(name) = &issuer.tenant else { continue };
        let tenant = open::tenant(ledger, name).await.map_err(fault)?;
        if let Some(path) = &issuer.project {
            open::project(ledger, &tenant, path).await.map_err(fault)?;
        }
    }
    Ok(())
}

/// Whether a start could take the journal for itself. Takes the lock for a moment where it is free.
fn check_journal_lock(folder: &Path) -> Result<String, CliError> {
    let path = folder.join(JOURNAL_LOCK);
    let fault = |source| CliError::Io { what: path.display().to_string(), source };
    let file = match File::options().read(true).write(true).open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(AT_FIRST_START.to_owned()),
        Err(error) => return Err(fault(error)),
    };
    match file.try_lock() {
        Ok(()) => Ok("free".to_owned()),
        Err(TryLockError::WouldBlock) => {
            let process = fs::read_to_string(&path).map_err(fault)?;
            let process = process.trim();
            Err(CliError::Usage(format!(
                "a server is running on this journal (process {process}); stop it before another start"
            )))
        }
        Err(TryLockError::Error(error)) => Err(fault(error)),
    }
}

/// Reads the whole journal; a running server does not mind.
fn check_journal(folder: &Path) -> Result<String, CliError> {
    if !folder.exists() {
        return Ok(format!("{} is {AT_FIRST_START}", folder.display()));
    }
    let report = journal::verify(folder, |_| {})?;
    Ok(format!("{} records, the hash chain is whole", report.records))
}

/// Loads the model and lets it go.
fn check_model(config: &Config, model: &Model) -> Result<String, CliError> {
    let engine = Engine::start(config.engine(model))
        .map_err(|source| CliError::Engine { model: model.name.clone(), source })?;
    let info = engine.info();
    let found = format!(
        "{}, {} parameters, context of {} tokens, energy {}",
        info.architecture,
        info.parameters,
        info.context_tokens_max,
        info.energy_source.as_str()
    );
    engine.shutdown();
    Ok(found)
}

/// Reads a backend's secret, certificates and tokenizers; connects to nobody.
fn check_backend(backend: &Backend) -> Result<String, CliError> {
    let targets = Remote::build(backend)?;
    let names: Vec<_> = targets.iter().map(|target| target.model.as_str()).collect();
    Ok(format!("models: {}; not connected to", names.join(", ")))
}

/// What a start looks at: the secrets were read with the configuration. Connects to nobody.
fn check_stripe(config: &Config) -> Result<String, CliError> {
    let mode = match config.stripe.secret_key.as_ref().map(Secret::read) {
        Some(Ok(key)) if key.contains("_test_") => "a key for tests",
        Some(Ok(_)) => "a live key",
        Some(Err(why)) => return Err(CliError::Usage(why)),
        None => "no key",
    };
    let secrets = config.stripe.webhook_secrets.len();
    Ok(format!("{mode}, {secrets} webhook secrets; not connected to"))
}

/// A model without a price is loaded for nobody. Nothing can be said when the ledger does not open.
fn note_unpriced(model: &ModelName, plans: Option<&[Plan]>) {
    let is_priced = |plan: &Plan| plan.sells(model) || plan.sells_embeddings(model);
    if plans.is_some_and(|plans| !plans.iter().any(is_priced)) {
        out::say(&format!("  note: no plan prices {model}; requests for it will be refused"));
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use billing::journal::{Journal, JournalConfig};
    use domain::SystemClock;

    use super::*;

    #[tokio::test]
    async fn a_journal_in_use_is_told_from_a_broken_one() {
        let folder = tempfile::tempdir().expect("a folder");
        let folder = folder.path().join("journal");
        assert_eq!(check_journal_lock(&folder).expect("nothing there"), AT_FIRST_START);
        assert!(check_journal(&folder).is_ok_and(|found| found.contains(AT_FIRST_START)));
        assert!(!folder.exists(), "a check makes nothing");
        let (journal, _) =
            Journal::open(JournalConfig::new(&folder), Arc::new(SystemClock)).expect("a journal");
        let found = check_journal_lock(&folder).expect_err("in use").to_string();
        let process = std::process::id();
        assert!(found.starts_with("a server is running on this journal"), "{found}");
        assert!(found.contains(&format!("process {process}")), "{found}");
        assert!(check_journal(&folder).is_ok(), "its content is good all the same");
        journal.shutdown().await.expect("closed");
        drop(journal);
        assert_eq!(check_journal_lock(&folder).expect("free again"), "free");
        fs::write(folder.join("0000000001.journal"), "not a line\n").expect("written");
        assert!(check_journal(&folder).is_err(), "broken");
    }

    #[test]
    fn an_address_in_use_is_named() {
        let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = taken.local_addr().expect("its address");
        let found = check_listen(address).expect_err("in use").to_string();
        assert!(found.contains(&address.to_string()), "{found}");
        drop(taken);
        check_listen(address).expect("free again");
        check_listen(address).expect("given back");
    }

    #[tokio::test]
    async fn what_is_not_there_is_not_made() {
        let root = tempfile::tempdir().expect("a folder");
        let mut config = Config::default();
        config.data.folder = root.path().join("a/data");
        assert!(check_data_folder(&config.data.folder).is_ok_and(|found| found.ends_with(AT_FIRST_START)));
        let (found, plans) = check_ledger(&config).await.expect("can be made");
        assert!(found.ends_with(AT_FIRST_START), "{found}");
        assert!(plans[0].price_of(&config.models[0].name).is_some(), "the demo plan counts");
        assert_eq!(fs::read_dir(root.path()).expect("read").count(), 0);
        config.ledger.url = Some(format!("sqlite://{}/nowhere/ledger.sqlite", root.path().display()));
        assert!(check_ledger(&config).await.is_err(), "its folder is not made");
        fs::write(root.path().join("a"), "a file").expect("written");
        assert!(check_data_folder(&config.data.folder).is_err(), "below a file");
    }
}
