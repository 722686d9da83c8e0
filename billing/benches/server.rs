//! A PostgreSQL for benchmarks: a temporary folder, a free port, commits as durable as in production.
//! Never the machine's own PostgreSQL, and never left running.
//! Used by the benchmarks of the ledger and of billing.

use std::{
    error::Error,
    net::TcpListener,
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

pub(crate) type Outcome<T> = Result<T, Box<dyn Error>>;

/// The folder of PostgreSQL's programs on Debian.
const POSTGRES_PROGRAMS: &str = "/usr/lib/postgresql/15/bin";
/// An empty cluster answers within seconds.
const START_LIMIT: Duration = Duration::from_secs(30);

/// A new database beside the one a URL names.
pub(crate) async fn fresh(url: &str) -> Outcome<String> {
    use sqlx::Connection as _;
    let name = format!("bench_{}", uuid::Uuid::new_v4().simple());
    let mut connection = sqlx::PgConnection::connect(url).await?;
    let create = sqlx::AssertSqlSafe(format!("CREATE DATABASE {name}"));
    sqlx::raw_sql(create).execute(&mut connection).await?;
    let (base, _) = url.rsplit_once('/').ok_or("a URL with a database")?;
    Ok(format!("{base}/{name}"))
}

/// A PostgreSQL of our own, with durable commits, stopped when dropped.
pub(crate) struct Server {
    child: Child,
    port: u16,
}

impl Server {
    pub(crate) fn start(folder: &Path) -> Outcome<Self> {
        let program = |name: &str| format!("{POSTGRES_PROGRAMS}/{name}");
        if !Path::new(&program("postgres")).exists() {
            return Err(format!("there is no {POSTGRES_PROGRAMS}").into());
        }
        let data = folder.join("postgres");
        // PostgreSQL refuses to run as root: a folder of its own user.
        let as_user = |command: &str| {
            let mut runuser = Command::new("runuser");
            runuser
                .args(["-u", "postgres", "--", "sh", "-c", command])
                .stdout(Stdio::null())
                .stderr(Stdio::null());
            runuser
        };
        let given = Command::new("sh")
            .args([
                "-c",
                &format!(
                    "mkdir -p {0} && chown postgres {0} && chmod 711 {1}",
                    data.display(),
                    folder.display()
                ),
            ])
            .status()?;
        let initdb = format!("{} -D {} -A trust -U postgres", program("initdb"), data.display());
        if !given.success() || !as_user(&initdb).status()?.success() {
            return Err("initdb as user postgres failed (only root can become that user)".into());
        }
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let serve = format!(
            "exec {} -D {} -p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories=",
            program("postgres"),
            data.display()
        );
        let server = Self { child: as_user(&serve).spawn()?, port };
        let began = Instant::now();
        while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
            if began.elapsed() > START_LIMIT {
                return Err("PostgreSQL did not answer within 30 seconds".into());
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        std::thread::sleep(Duration::from_secs(1));
        Ok(server)
    }

    pub(crate) fn url(&self) -> String {
        format!("postgres://postgres@127.0.0.1:{}/postgres", self.port)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // SIGTERM reaches postgres through runuser; a benchmark that ends has nothing to lose otherwise.
        let stopped = Command::new("kill").arg(self.child.id().to_string()).status();
        if stopped.is_ok() {
            self.child.wait().ok();
        }
    }
}
