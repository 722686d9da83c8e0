//! A PostgreSQL of our own for one test run: a temporary folder, a free port, no durability.
//! Never the machine's own PostgreSQL, and never left running: dropping it stops it and removes the folder.
//! Started by `cargo xtask test`.

use std::{
    env, fs,
    net::TcpListener,
    os::unix::{fs::chown, process::CommandExt},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use signal_hook::consts::SIGINT;

use crate::{failure::Failure, packages, process};

/// Making a cluster takes about three seconds; slow disks take longer.
const INITDB_LIMIT: Duration = Duration::from_secs(120);

/// An empty cluster answers within a second.
const START_LIMIT: Duration = Duration::from_secs(60);

/// Another program may take the free port before PostgreSQL does; three times in a row is no accident.
const START_ATTEMPTS: usize = 3;

/// A running PostgreSQL.
#[derive(Debug)]
pub(crate) struct Postgres {
    child: Child,
    folder: PathBuf,
    port: u16,
}

impl Postgres {
    /// Makes a cluster in a fresh folder and starts it.
    ///
    /// Errors: PostgreSQL is not installed, or does not start; what it said is printed.
    pub(crate) fn start() -> Result<Self, Failure> {
        let programs = find_programs()?;
        let folder = env::temp_dir().join(format!("tallygate-postgres-{}", std::process::id()));
        let outcome = Self::start_in(&programs, &folder);
        if outcome.is_err() {
            // Losing the result is right: the reason of the failure is the one to report.
            let _ = fs::remove_dir_all(&folder);
        }
        outcome
    }

    fn start_in(programs: &Path, folder: &Path) -> Result<Self, Failure> {
        let account = Account::find()?;
        fs::create_dir(folder).map_err(Failure::io("create", folder.display()))?;
        account.own(folder)?;
        let data = folder.join("data");
        let mut initdb = account.command(&programs.join("initdb"), folder);
        initdb.args(["--username=postgres", "--auth=trust", "--encoding=UTF8", "--locale=C", "--no-sync"]);
        process::run(initdb.arg("--pgdata").arg(&data).stdout(Stdio::null()), INITDB_LIMIT)?;
        let mut attempt = 1;
        loop {
            let port = free_port()?;
            let child = account.start(programs, folder, port)?;
            let mut postgres = Self { child, folder: folder.to_owned(), port };
            match postgres.wait_until_ready(&data) {
                Ok(()) => return Ok(postgres),
                Err(failure) if attempt == START_ATTEMPTS => {
                    eprintln!("{}", fs::read_to_string(folder.join("log")).unwrap_or_default());
                    return Err(failure);
                }
                Err(_) => {
                    attempt += 1;
                    process::stop(&mut postgres.child, SIGINT);
                    // The folder is used again.
                    std::mem::forget(postgres);
                }
            }
        }
    }

    /// Where tests connect: the maintenance database, as its owner.
    pub(crate) fn url(&self) -> String {
        format!("postgres://postgres@127.0.0.1:{}/postgres", self.port)
    }

    fn wait_until_ready(&mut self, data: &Path) -> Result<(), Failure> {
        let line = "postgres".to_owned();
        let started = Instant::now();
        while started.elapsed() < START_LIMIT {
            if let Some(status) = self.child.try_wait().map_err(Failure::io("wait for", &line))? {
                return Err(Failure::Command { line, ending: status.to_string() });
            }
            // The server writes its state into the last line of this file.
            let state = fs::read_to_string(data.join("postmaster.pid")).unwrap_or_default();
            if state.lines().last().is_some_and(|last| last.trim() == "ready") {
                return Ok(());
            }
            thread::sleep(Duration::from_millis(50));
        }
        Err(Failure::TimedOut { line, limit: START_LIMIT })
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        // SIGINT is PostgreSQL's fast shutdown: sessions are cut, files are closed.
        process::stop(&mut self.child, SIGINT);
        if let Err(error) = fs::remove_dir_all(&self.folder) {
            eprintln!("cannot remove {}: {error}", self.folder.display());
        }
    }
}

/// Who PostgreSQL runs as: it refuses to be root, so root lends it the account of the Debian package.
struct Account(Option<(u32, u32)>);

impl Account {
    fn find() -> Result<Self, Failure> {
        if !packages::is_root() {
            return Ok(Self(None));
        }
        let path = "/etc/passwd";
        let accounts = fs::read_to_string(path).map_err(Failure::io("read", path))?;
        let ids = ids_of("postgres", &accounts).ok_or_else(|| Failure::Missing {
            what: "the account postgres".to_owned(),
            remedy: "install the package postgresql, or run as an ordinary user".to_owned(),
        })?;
        Ok(Self(Some(ids)))
    }

    fn own(&self, folder: &Path) -> Result<(), Failure> {
        match self.0 {
            Some((user, group)) => {
                chown(folder, Some(user), Some(group)).map_err(Failure::io("give away", folder.display()))
            }
            None => Ok(()),
        }
    }

    fn command(&self, program: &Path, folder: &Path) -> Command {
        let mut command = Command::new(program);
        command.current_dir(folder).env("HOME", folder);
        if let Some((user, group)) = self.0 {
            command.uid(user).gid(group);
        }
        command
    }

    fn start(&self, programs: &Path, folder: &Path, port: u16) -> Result<Child, Failure> {
        let log = folder.join("log");
        let file = fs::File::create(&log).map_err(Failure::io("create", log.display()))?;
        let output = file.try_clone().map_err(Failure::io("open", log.display()))?;
        let mut server = self.command(&programs.join("postgres"), folder);
        server.arg("-D").arg(folder.join("data")).args(["-p", &port.to_string()]);
        for setting in [
            "listen_addresses=127.0.0.1",
            // Tests connect by TCP; a socket's path could be too long for the system.
            "unix_socket_directories=",
            // Nothing outlives the run.
            "fsync=off",
            "synchronous_commit=off",
            "full_page_writes=off",
            // Every test has a database and a pool of its own.
            "max_connections=200",
        ] {
            server.args(["-c", setting]);
        }
        process::spawn(server.stdout(output).stderr(file))
    }
}

fn ids_of(name: &str, accounts: &str) -> Option<(u32, u32)> {
    let fields: Vec<&str> = accounts
        .lines()
        .map(|line| line.split(':').collect::<Vec<_>>())
        .find(|fields| fields.first() == Some(&name))?;
    Some((fields.get(2)?.parse().ok()?, fields.get(3)?.parse().ok()?))
}

/// The folder of PostgreSQL's programs: the newest Debian has, else what the search path names.
fn find_programs() -> Result<PathBuf, Failure> {
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let newest = versions
        .filter_map(|entry| {
            Some((entry.file_name().to_str()?.parse::<u32>().ok()?, entry.path().join("bin")))
        })
        .filter(|(_, folder)| folder.join("initdb").is_file())
        .max();
    let search_path = env::var_os("PATH").unwrap_or_default();
    newest
        .map(|(_, folder)| folder)
        .or_else(|| env::split_paths(&search_path).find(|folder| folder.join("initdb").is_file()))
        .ok_or_else(|| Failure::Missing {
            what: "PostgreSQL".to_owned(),
            remedy: "install the package postgresql".to_owned(),
        })
}

fn free_port() -> Result<u16, Failure> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).map_err(Failure::io("listen on", "127.0.0.1"))?;
    Ok(listener.local_addr().map_err(Failure::io("ask for", "a free port"))?.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accounts_are_found_by_name() {
        let accounts =
            "root:x:0:0:root:/:/bin/sh\npostgresx:x:1:1::/:\npostgres:x:104:110:,,,:/var:/bin/bash\n";
        assert_eq!(ids_of("postgres", accounts), Some((104, 110)));
        assert_eq!(ids_of("nobody", accounts), None);
        assert_eq!(ids_of("postgres", "postgres:x:many:110"), None);
    }
}
