//! A Redis of our own for one test run: a temporary folder, a free port, nothing kept.
//! Never the machine's own Redis, and never left running: dropping it stops it and removes the folder.
//! Started by `cargo xtask test`.

use std::{
    env, fs,
    io::{Read as _, Write as _},
    net::{TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command},
    thread,
    time::{Duration, Instant},
};

use signal_hook::consts::SIGTERM;

use crate::{failure::Failure, process};

/// An empty Redis answers within a tenth of a second.
const START_LIMIT: Duration = Duration::from_secs(30);

/// Another program may take the free port before Redis does; three times in a row is no accident.
const START_ATTEMPTS: usize = 3;

/// How long one look at it may take.
const ANSWER_LIMIT: Duration = Duration::from_secs(1);

/// A running Redis.
#[derive(Debug)]
pub(crate) struct Redis {
    child: Child,
    folder: PathBuf,
    pub(crate) port: u16,
    /// Where other nodes of a cluster reach it.
    pub(crate) bus_port: Option<u16>,
}

/// What a Redis is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// One server.
    Alone,
    /// A node of a cluster, without slots at first.
    Node,
}

impl Redis {
    /// Starts a Redis in a fresh folder.
    ///
    /// Errors: it is not installed, or does not start; what it said is printed.
    pub(crate) fn start() -> Result<Self, Failure> {
        Self::start_named("redis", Mode::Alone)
    }

    pub(crate) fn start_named(name: &str, mode: Mode) -> Result<Self, Failure> {
        let folder = env::temp_dir().join(format!("tallygate-{name}-{}", std::process::id()));
        fs::create_dir(&folder).map_err(Failure::io("create", folder.display()))?;
        let mut attempt = 1;
        loop {
            match Self::start_in(&folder, mode) {
                Ok(redis) => return Ok(redis),
                Err(failure) if attempt == START_ATTEMPTS => {
                    eprintln!("{}", fs::read_to_string(folder.join("log")).unwrap_or_default());
                    // Losing the result is right: the reason of the failure is the one to report.
                    let _ = fs::remove_dir_all(&folder);
                    return Err(failure);
                }
                Err(_) => attempt += 1,
            }
        }
    }

    fn start_in(folder: &Path, mode: Mode) -> Result<Self, Failure> {
        let port = free_port()?;
        let log = folder.join("log");
        let file = fs::File::create(&log).map_err(Failure::io("create", log.display()))?;
        let output = file.try_clone().map_err(Failure::io("open", log.display()))?;
        let mut server = Command::new("redis-server");
        server.current_dir(folder).args(["--port", &port.to_string(), "--bind", "127.0.0.1"]);
        // Nothing outlives the run, and whatever is full says so instead of forgetting.
        server.args(["--save", "", "--appendonly", "no", "--maxmemory-policy", "noeviction"]);
        let bus_port = match mode {
            Mode::Alone => None,
            Mode::Node => Some(free_port()?),
        };
        if let Some(bus_port) = bus_port {
            server.args(["--cluster-enabled", "yes", "--cluster-port", &bus_port.to_string()]);
            server.args(["--cluster-announce-ip", "127.0.0.1", "--cluster-config-file", "nodes.conf"]);
        }
        let mut child = process::spawn(server.stdout(output).stderr(file))?;
        match wait_until_ready(&mut child, port) {
            Ok(()) => Ok(Self { child, folder: folder.to_owned(), port, bus_port }),
            Err(failure) => {
                process::stop(&mut child, SIGTERM);
                Err(failure)
            }
        }
    }

    /// Where tests connect.
    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}/", self.port)
    }
}

fn wait_until_ready(child: &mut Child, port: u16) -> Result<(), Failure> {
    let line = "redis-server".to_owned();
    let started = Instant::now();
    while started.elapsed() < START_LIMIT {
        if let Some(status) = child.try_wait().map_err(Failure::io("wait for", &line))? {
            return Err(Failure::Command { line, ending: status.to_string() });
        }
        if answers(port).unwrap_or(false) {
            return Ok(());
        }
        thread::sleep(Duration::from_millis(20));
    }
    Err(Failure::TimedOut { line, limit: START_LIMIT })
}

/// Whether it is Redis that listens, and whether it is ready.
fn answers(port: u16) -> std::io::Result<bool> {
    Ok(ask(port, "PING")? == "+PONG")
}

/// Sends one command and reads what stands first in its answer: a status, or the first 512 bytes of a text.
pub(crate) fn ask(port: u16, command: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_read_timeout(Some(ANSWER_LIMIT))?;
    stream.write_all(format!("{command}\r\n").as_bytes())?;
    let mut answer = [0; 512];
    let length = stream.read(&mut answer)?;
    Ok(String::from_utf8_lossy(&answer[..length]).trim_end().to_owned())
}

impl Drop for Redis {
    fn drop(&mut self) {
        process::stop(&mut self.child, SIGTERM);
        if let Err(error) = fs::remove_dir_all(&self.folder) {
            eprintln!("cannot remove {}: {error}", self.folder.display());
        }
    }
}

fn free_port() -> Result<u16, Failure> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).map_err(Failure::io("listen on", "127.0.0.1"))?;
    Ok(listener.local_addr().map_err(Failure::io("ask for", "a free port"))?.port())
}
