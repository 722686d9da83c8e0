//! A running server process: started, waited for, signalled, and never left behind.
//! Never ends another process: signals go to the child's own id while it has not been waited for.
//! Started by `Installation::start`.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    time::{Duration, Instant},
};

use super::{Admin, Chat, HarnessError, Messages, Outcome, Raw, Wire};

/// Loading the demo model takes a second, on a busy machine a few.
const READY_MAX: Duration = Duration::from_secs(60);

/// A running server takes a change of keys over within two seconds; a busy machine takes longer.
const KEY_KNOWN_MAX: Duration = Duration::from_secs(5);

/// Draining is bounded by the configuration, 30 s by default, and five more for cancelled requests.
const STOP_MAX: Duration = Duration::from_secs(60);

/// How often a waiting test looks.
const LOOK: Duration = Duration::from_millis(20);

/// What a server says about itself when it starts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Banner {
    /// Where the API begins, ending in `/v1`; of a node in `/engine/v1`.
    pub base_url: String,
    /// Where the admin API begins, ending in `/admin/v1`; empty when there is none.
    pub admin_url: String,
    /// Shown at the first start only.
    pub operator_token: Option<String>,
    /// Shown at the first start only.
    pub api_key: Option<String>,
}

impl Banner {
    /// Reads the banner from what was printed. `None`: not printed yet.
    fn parse(printed: &str) -> Option<Self> {
        let value = |name: &str| {
            let lines = printed.lines().filter_map(|line| line.trim_start().strip_prefix(name));
            lines.filter(|rest| rest.starts_with("  ")).map(|rest| rest.trim().to_owned()).next()
        };
        // The last line of a banner: all before it has been written.
        let is_whole = printed.contains("Ctrl-C lets");
        let base_url = value("base URL").filter(|_| is_whole)?;
        Some(Self {
            base_url,
            admin_url: value("admin API").unwrap_or_default(),
            operator_token: value("operator token"),
            api_key: value("API key"),
        })
    }
}

/// A running server.
#[derive(Debug)]
pub struct Server {
    child: Child,
    banner: Banner,
    output: PathBuf,
}

impl Server {
    /// Starts a server whose output goes to `output` with `.out` and `.err` appended, and waits until it is ready.
    pub(super) async fn start(mut command: Command, output: &Path) -> Outcome<Self> {
        let create = |ending: &str| {
            let path = output.with_extension(ending);
            File::create(&path).map_err(HarnessError::io(path.display().to_string()))
        };
        command.stdin(Stdio::null()).stdout(create("out")?).stderr(create("err")?);
        let child = command.spawn().map_err(HarnessError::io("start the server"))?;
        let mut server = Self { child, banner: Banner::default(), output: output.to_owned() };
        server.wait_for_banner().await?;
        server.wait_until_ready().await?;
        Ok(server)
    }

    /// What it said when it started.
    pub fn banner(&self) -> &Banner {
        &self.banner
    }

    /// Its address without the path, such as `http://127.0.0.1:1234`.
    pub fn origin(&self) -> &str {
        self.banner.base_url.trim_end_matches("/v1").trim_end_matches("/engine")
    }

    /// A client of this server with a key.
    pub fn chat(&self, key: &str) -> Chat {
        Chat::new(&self.banner.base_url, key)
    }

    /// A client of this server's admin API with an operator token.
    pub fn admin(&self, token: &str) -> Admin {
        Admin::new(&self.banner.admin_url, token)
    }

    /// A client of this server's other dialect with a key.
    pub fn messages(&self, key: &str) -> Messages {
        Messages::new(&self.banner.base_url, key)
    }

    /// A client of this server that sends bytes.
    ///
    /// Errors: the banner names no address.
    pub fn raw(&self) -> Outcome<Raw> {
        Raw::new(self.origin())
    }

    /// A plain client with this key.
    pub fn wire(&self, key: &str) -> Wire {
        Wire::new(&format!("{}/v1", self.origin()), key)
    }

    /// Waits until a key that was just made opens.
    ///
    /// Errors: it does not in time; the server cannot be asked.
    pub async fn knows(&self, key: &str) -> Outcome {
        let asked = Instant::now();
        while self.chat(key).get("/models").await?.status != 200 {
            if asked.elapsed() > KEY_KNOWN_MAX {
                return Err(self.late("a new key being known", KEY_KNOWN_MAX));
            }
            tokio::time::sleep(LOOK).await;
        }
        Ok(())
    }

    /// All it has printed and complained.
    pub fn printed(&self) -> String {
        let read = |ending| fs::read_to_string(self.output.with_extension(ending)).unwrap_or_default();
        format!("--- stdout\n{}--- stderr\n{}", read("out"), read("err"))
    }

    /// The process's id, for looking at what it uses.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal, such as `libc::SIGTERM`.
    pub fn signal(&self, signal: i32) {
        if let Ok(id) = i32::try_from(self.child.id()) {
            // SAFETY: `kill` touches no memory; the id is our child's own, which has not been waited for.
            unsafe { libc::kill(id, signal) };
        }
    }

    /// Asks it to stop and waits until it has drained.
    ///
    /// Errors: it does not end in time; it is killed then.
    pub async fn stop(mut self) -> Outcome<ExitStatus> {
        self.signal(libc::SIGTERM);
        self.ended().await
    }

    /// Waits until it has ended by itself.
    ///
    /// Errors: it does not end in time; it is killed then.
    pub async fn ended(&mut self) -> Outcome<ExitStatus> {
        let asked = Instant::now();
        while asked.elapsed() < STOP_MAX {
            if let Some(status) = self.child.try_wait().map_err(HarnessError::io("wait for the server"))? {
                return Ok(status);
            }
            tokio::time::sleep(LOOK).await;
        }
        Err(self.late("the end of the server", STOP_MAX))
    }

    /// Kills it at once, as a power failure would.
    ///
    /// Errors: the operating system refuses.
    pub fn kill(mut self) -> Outcome {
        self.child.kill().map_err(HarnessError::io("kill the server"))?;
        self.child.wait().map_err(HarnessError::io("wait for the server")).map(drop)
    }

    async fn wait_for_banner(&mut self) -> Outcome {
        let started = Instant::now();
        while started.elapsed() < READY_MAX {
            let out = self.output.with_extension("out");
            if let Some(banner) = Banner::parse(&fs::read_to_string(out).unwrap_or_default()) {
                self.banner = banner;
                return Ok(());
            }
            if let Some(status) = self.child.try_wait().map_err(HarnessError::io("wait for the server"))? {
                let stderr = self.printed();
                return Err(HarnessError::Program {
                    line: "tallygate serve".to_owned(),
                    status,
                    stdout: String::new(),
                    stderr,
                });
            }
            tokio::time::sleep(LOOK).await;
        }
        Err(self.late("the banner", READY_MAX))
    }

    async fn wait_until_ready(&mut self) -> Outcome {
        let started = Instant::now();
        let url = format!("{}/readyz", self.origin());
        while started.elapsed() < READY_MAX {
            // A node's certificate is made by its test; here only its answer counts.
            let client = reqwest::Client::builder().tls_danger_accept_invalid_certs(true).build()?;
            let answer = client.get(&url).timeout(Duration::from_secs(5)).send().await;
            if answer.is_ok_and(|answer| answer.status().is_success()) {
                return Ok(());
            }
            tokio::time::sleep(LOOK).await;
        }
        Err(self.late("readiness", READY_MAX))
    }

    fn late(&self, what: &str, limit: Duration) -> HarnessError {
        HarnessError::Late { what: what.to_owned(), limit, output: self.printed() }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Losing the results is right: it may have ended already, and a test that fails must not hide why.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_banner_is_read_when_it_is_whole() {
        let first = "\n  base URL        http://127.0.0.1:9/v1\n  admin API       http://127.0.0.1:8/admin/v1\n  operator token  tgop-a\n  tenant          demo\n  \
                     API key         tg-b-c\n\nOperator token and API key are shown this once\n";
        assert_eq!(Banner::parse(first), None);
        let banner = Banner::parse(&format!("{first}… Ctrl-C lets running streams end\n")).expect("a banner");
        assert_eq!(banner.base_url, "http://127.0.0.1:9/v1");
        assert_eq!(banner.admin_url, "http://127.0.0.1:8/admin/v1");
        assert_eq!(banner.operator_token.as_deref(), Some("tgop-a"));
        assert_eq!(banner.api_key.as_deref(), Some("tg-b-c"));
        let later = Banner::parse("  base URL        http://[::1]:9/v1\n Ctrl-C lets\n").expect("a banner");
        assert_eq!((later.operator_token, later.api_key), (None, None));
    }
}
