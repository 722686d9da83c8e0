//! An installation of Tallygate: a data folder and a configuration that outlive the server's processes.
//! Never reads the ledger behind the program's back: it asks by the program's own commands.
//! Made first by every test over the real program.

use std::{fs, path::Path, process::Command};

use serde_json::Value;
use tempfile::TempDir;

use super::{HarnessError, Outcome, Server, program};

/// A data folder and a configuration.
#[derive(Debug)]
pub struct Installation {
    folder: TempDir,
    environment: Vec<(String, String)>,
    starts: u32,
}

impl Installation {
    /// A fresh one with this configuration file. Address and data folder are set by variables, over the file.
    ///
    /// Errors: no temporary folder.
    pub fn new(config: &str) -> Outcome<Self> {
        let folder = tempfile::Builder::new()
            .prefix("tallygate-test-")
            .tempdir()
            .map_err(HarnessError::io("a temporary folder"))?;
        fs::write(folder.path().join("tallygate.toml"), config)
            .map_err(HarnessError::io("tallygate.toml"))?;
        let data = folder.path().join("data").display().to_string();
        let variable = |name: &str, value: &str| (format!("TALLYGATE__{name}"), value.to_owned());
        // Port 0 takes a free one; the banner says which.
        let environment = vec![
            variable("SERVER__LISTEN", "127.0.0.1:0"),
            variable("ADMIN__LISTEN", "127.0.0.1:0"),
            variable("NODE__LISTEN", "127.0.0.1:0"),
            variable("DATA__FOLDER", &data),
        ];
        Ok(Self { folder, environment, starts: 0 })
    }

    /// Sets a further variable, for example `LEDGER__URL`.
    #[must_use]
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.environment.push((format!("TALLYGATE__{name}"), value.to_owned()));
        self
    }

    /// Logs this much, such as `trace`.
    #[must_use]
    pub fn logging(mut self, level: &str) -> Self {
        self.environment.push(("TALLYGATE_LOG".to_owned(), level.to_owned()));
        self
    }

    /// Runs everything as the account with this name, as far as the environment says.
    #[must_use]
    pub fn as_user(mut self, name: &str) -> Self {
        for variable in ["SUDO_USER", "USER", "LOGNAME"] {
            self.environment.push((variable.to_owned(), name.to_owned()));
        }
        self
    }

    /// Where it lives: `tallygate.toml`, `data`, and what the servers printed.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Where its ledger is: the one set, or the SQLite file in the data folder.
    pub fn ledger_url(&self) -> String {
        let set = self.environment.iter().rev().find(|(name, _)| name == "TALLYGATE__LEDGER__URL");
        let file = || format!("sqlite://{}", self.folder().join("data/ledger.sqlite").display());
        set.map_or_else(file, |(_, url)| url.clone())
    }

    /// Starts a server and waits until it is ready.
    ///
    /// Errors: it ends early or is not ready in time; with all it printed.
    pub async fn start(&mut self) -> Outcome<Server> {
        self.starts += 1;
        let output = self.folder().join(format!("serve-{}", self.starts));
        let mut command = self.command()?;
        command.arg("serve");
        Server::start(command, &output).await
    }

    /// Runs a command, such as `["usage", "demo"]`, and gives what it printed.
    ///
    /// Errors: it does not succeed; with all it printed.
    pub fn run(&self, arguments: &[&str]) -> Outcome<String> {
        program::run(self.command()?.args(arguments))
    }

    /// Runs a command that prints one JSON value on each line.
    ///
    /// Errors: it does not succeed, or prints something else.
    pub fn run_json_lines(&self, arguments: &[&str]) -> Outcome<Vec<Value>> {
        let printed = self.run(arguments)?;
        let parse = |line: &str| {
            serde_json::from_str(line).map_err(|source| HarnessError::Json { text: line.to_owned(), source })
        };
        printed.lines().map(parse).collect()
    }

    /// Every usage record of a tenant in a month (the running one without it), as the ledger has it.
    ///
    /// Errors: as [`Self::run_json_lines`].
    pub fn records(&self, tenant: &str) -> Outcome<Vec<Value>> {
        self.run_json_lines(&["usage", tenant, "--records", "--format", "json"])
    }

    /// Creates a key, with limits such as `["--concurrency", "1"]`, and gives its text.
    ///
    /// Errors: the command fails or prints no key.
    pub fn create_key(&self, tenant: &str, options: &[&str]) -> Outcome<String> {
        let printed = self.run(&[&["key", "create", tenant], options].concat())?;
        let key = printed.split_whitespace().find(|word| word.starts_with("tg-")).map(ToOwned::to_owned);
        key.ok_or(HarnessError::NotEvents { text: printed })
    }

    fn command(&self) -> Outcome<Command> {
        let mut command = Command::new(program::find()?);
        command.arg("--config").arg(self.folder().join("tallygate.toml")).current_dir(self.folder());
        // A variable of the developer's shell must not configure the program under test.
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("TALLYGATE_") {
                command.env_remove(name);
            }
        }
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        Ok(command)
    }
}
