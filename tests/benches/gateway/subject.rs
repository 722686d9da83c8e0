//! The gateway under measurement: one process in front of the mock backends, its keys, its CPU time and memory.
//! Never shares the load generator's process, so that what it costs is its own.
//! Set up by `main`; asked by `lanes` and `scenarios`.

use std::{fs, net::SocketAddr, time::Duration};

use tests::harness::{HarnessError, Installation, Outcome, Server};

use crate::mock::Mock;

/// So high that nothing is ever refused: what is measured is the deciding.
const LIMIT: &str = "1000000000";

/// The mock backends, by the name of the model that each serves.
pub(crate) struct Mocks {
    /// Answers at once.
    pub(crate) instant: Mock,
    /// Twenty pieces, one each 5 ms.
    pub(crate) paced: Mock,
    /// Twenty pieces, one each 100 ms.
    pub(crate) slow: Mock,
}

impl Mocks {
    fn all(&self) -> [(&'static str, Mock); 3] {
        [("instant", self.instant), ("paced", self.paced), ("slow", self.slow)]
    }
}

/// The running gateway.
pub(crate) struct Subject {
    server: Server,
    pub(crate) address: SocketAddr,
    /// A key without limits of its own.
    pub(crate) free_key: String,
    /// A key under every kind of limit.
    pub(crate) governed_key: String,
    /// The program cannot ask the mock backends: its simulated engine answers instead.
    pub(crate) is_simulated: bool,
    /// Its data must outlive it.
    _installation: Installation,
}

impl Subject {
    /// Starts it with a backend for each mock and a plan that prices them.
    pub(crate) async fn start(mocks: &Mocks) -> Outcome<Self> {
        let (installation, server, is_simulated) = start(mocks).await?;
        let plan = installation.folder().join("plan.toml");
        fs::write(&plan, plan_text(mocks)).map_err(HarnessError::io("plan.toml"))?;
        installation.run(&["plan", "publish", &plan.display().to_string()])?;
        installation.run(&["tenant", "create", "bench", "--plan", "bench"])?;
        let free_key = installation.create_key("bench", &[])?;
        let governed_key = installation.create_key("bench", &GOVERNED)?;
        server.knows(&governed_key).await?;
        let address = server.origin().trim_start_matches("http://").parse();
        let address = address.map_err(|_| HarnessError::NotEvents { text: server.origin().to_owned() })?;
        Ok(Self { server, address, free_key, governed_key, is_simulated, _installation: installation })
    }

    /// CPU time it has used since it started, of all its threads, in user and in system mode.
    pub(crate) fn cpu(&self) -> Duration {
        let path = format!("/proc/{}/stat", self.server.id());
        let stat = fs::read_to_string(path).unwrap_or_default();
        // The second field, the program's name, is in brackets and may hold blanks; the rest counts from 3.
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or("").split_whitespace().collect();
        let ticks =
            |field: usize| fields.get(field - 3).and_then(|text| text.parse::<u64>().ok()).unwrap_or(0);
        // SAFETY: `sysconf` only reads a constant of the system.
        let ticks_per_second = u64::try_from(unsafe { libc::sysconf(libc::_SC_CLK_TCK) }).unwrap_or(100);
        Duration::from_micros((ticks(14) + ticks(15)) * 1_000_000 / ticks_per_second.max(1))
    }

    /// Memory it holds now. Unit: kibibytes.
    pub(crate) fn memory_kib(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.server.id())).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or(0)
    }

    /// Lets it end.
    pub(crate) async fn stop(self) -> Outcome {
        self.server.stop().await.map(drop)
    }
}

/// Everything that a key can be held to.
const GOVERNED: [&str; 6] =
    ["--requests-per-minute", LIMIT, "--tokens-per-minute", LIMIT, "--concurrency", LIMIT];

/// Starts it in front of the mocks, or, where the program knows no backends, with simulated models of the same pace.
async fn start(mocks: &Mocks) -> Outcome<(Installation, Server, bool)> {
    let mut installation = Installation::new(&config(mocks))?;
    match installation.start().await {
        Ok(server) => Ok((installation, server, false)),
        Err(HarnessError::Program { stderr, .. }) if stderr.contains("unknown field") => {
            let mut installation = Installation::new(&simulated(mocks))?;
            let server = installation.start().await?;
            Ok((installation, server, true))
        }
        Err(error) => Err(error),
    }
}

fn simulated(mocks: &Mocks) -> String {
    let mut text = String::new();
    for (name, mock) in mocks.all() {
        text += &format!(
            "[[model]]\nname = \"{name}\"\nsource = \"sim\"\nqueue_jobs_max = 4096\nsequences_max = 2048\n\
             step_tokens_max = 8192\n[model.sim]\ncontext_tokens_max = 1000000\ndecode_step_us = {}\n",
            mock.pace.gap.as_micros()
        );
    }
    text
}

fn config(mocks: &Mocks) -> String {
    let mut text = String::new();
    for (name, mock) in mocks.all() {
        text += &format!(
            "[[backend]]\nname = \"{name}\"\nkind = \"openai\"\nurl = \"http://{}/v1\"\nconnections_max = 4096\n\
             health_interval_ms = 0\n[[backend.model]]\nname = \"{name}\"\ncontext_tokens_max = 1000000\n",
            mock.address
        );
    }
    text
}

fn plan_text(mocks: &Mocks) -> String {
    let mut text = "name = \"bench\"\nversion = 1\ncurrency = \"USD\"\n[slo]\nclass = \"batch\"\n".to_owned();
    for (name, _) in mocks.all() {
        text +=
            &format!("[[price]]\nmodel = \"{name}\"\ninput_per_mtok = \"0.1\"\noutput_per_mtok = \"0.4\"\n");
    }
    text
}
