//! `cargo xtask test`: installs what is needed, then runs every check and every test, and sums up.
//! Never stops at the first broken check, and never leaves a database running.
//! Called by `main` and, through it, by the continuous integration script.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use clap::{Args, ValueEnum};

use crate::{
    cache, failure::Failure, node, packages, postgres::Postgres, process, python, redis::Redis,
    redis_cluster::RedisCluster, tidy, up::cargo,
};

/// The clients' packages are a few megabytes; beyond this an index does not answer.
const CLIENTS_LIMIT: Duration = Duration::from_secs(10 * 60);

/// Checking the whole workspace cold takes about ten minutes on two cores.
const BUILD_LIMIT: Duration = Duration::from_secs(45 * 60);

/// Building and running all tests. Each test has its own, much shorter limit in the runner's configuration.
const TESTS_LIMIT: Duration = Duration::from_secs(55 * 60);

/// The member that holds tests over the real program; they run one at a time.
const HEAVY_PACKAGE: &str = "tests";

/// Install what the tests need, then run every check and every test.
///
/// Packages are installed only when this runs as root; otherwise the line to run is printed. PostgreSQL and Redis
/// run in temporary folders on free ports and are always stopped. Every step runs, whatever became of the one before,
/// and the last lines say which failed and how to run those alone.
#[derive(Args, Debug)]
pub(crate) struct Test {
    /// Install nothing; say what is missing instead.
    #[arg(long)]
    no_install: bool,
    /// Run only this step.
    #[arg(long, value_name = "STEP")]
    only: Option<Step>,
    /// Run only tests whose name contains one of these (and no other step).
    filters: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Step {
    /// Packages of the system, of Python and of JavaScript.
    Install,
    /// The form of the source.
    Format,
    /// The house rules.
    Tidy,
    /// The compiler's and clippy's lints.
    Lints,
    /// All tests, with PostgreSQL, Redis and the published clients.
    Tests,
}

impl Step {
    /// How to run this step alone.
    const fn alone(self) -> &'static str {
        match self {
            Self::Install => "cargo xtask test --only install",
            Self::Format => "cargo fmt --all --check",
            Self::Tidy => "cargo xtask tidy",
            Self::Lints => "cargo clippy --workspace --all-targets -- -D warnings",
            Self::Tests => "cargo xtask test --only tests [part of a test's name]",
        }
    }

    const fn headline(self) -> &'static str {
        match self {
            Self::Install => "install what the tests need",
            Self::Format => "check the form of the source",
            Self::Tidy => "check the house rules",
            Self::Lints => "check with clippy",
            Self::Tests => "run the tests",
        }
    }
}

/// How one step went.
struct Row {
    step: Step,
    took: Duration,
    failure: Option<Failure>,
}

impl Test {
    /// Runs the steps and prints the summary.
    ///
    /// Errors: any step failed; Ctrl-C.
    pub(crate) fn run(&self, root: &Path) -> Result<(), Failure> {
        process::note_interrupts()?;
        let target = cache::target_folder()?;
        let steps = self.steps();
        let mut rows = Vec::new();
        for (index, &step) in steps.iter().enumerate() {
            println!("\n==> {}/{} {}", index + 1, steps.len(), step.headline());
            let started = Instant::now();
            let failure = self.run_step(step, root, &target).err();
            let took = started.elapsed();
            match &failure {
                None => println!("    done in {:.1} s", took.as_secs_f64()),
                Some(failure) => println!("    FAILED after {:.1} s: {failure}", took.as_secs_f64()),
            }
            let is_over = matches!(failure, Some(Failure::Interrupted))
                // Without what they need, the tests would fail for a reason that says nothing.
                || (failure.is_some() && step == Step::Install);
            rows.push(Row { step, took, failure });
            if is_over {
                break;
            }
        }
        summarise(&rows, steps.len())
    }

    fn steps(&self) -> Vec<Step> {
        match (self.only, self.filters.is_empty()) {
            (Some(Step::Tests), _) | (None, false) => vec![Step::Install, Step::Tests],
            (Some(step), _) => vec![step],
            (None, true) => Step::value_variants().to_vec(),
        }
    }

    fn run_step(&self, step: Step, root: &Path, target: &Path) -> Result<(), Failure> {
        match step {
            Step::Install => {
                packages::ensure(!self.no_install)?;
                self.client_python(root)?;
                self.focus_python(root)?;
                self.client_packages(root).map(drop)
            }
            Step::Format => process::run(cargo(root, target).args(["fmt", "--all", "--check"]), BUILD_LIMIT),
            Step::Tidy => tidy::run(root),
            Step::Lints => {
                let mut clippy = cargo(root, target);
                clippy.args(["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"]);
                process::run(&mut clippy, BUILD_LIMIT)
            }
            Step::Tests => self.run_tests(root, target),
        }
    }

    fn client_python(&self, root: &Path) -> Result<PathBuf, Failure> {
        let requirements = root.join("tests/clients/requirements.txt");
        python::environment(&requirements, !self.no_install, CLIENTS_LIMIT)
    }

    /// What judges exported charges is built on old packages, so it has an environment of its own.
    fn focus_python(&self, root: &Path) -> Result<PathBuf, Failure> {
        let requirements = root.join("tests/clients/focus-requirements.txt");
        python::environment(&requirements, !self.no_install, CLIENTS_LIMIT)
    }

    fn client_packages(&self, root: &Path) -> Result<PathBuf, Failure> {
        node::environment(&root.join("tests/clients"), !self.no_install, CLIENTS_LIMIT)
    }

    fn run_tests(&self, root: &Path, target: &Path) -> Result<(), Failure> {
        let mut build = cargo(root, target);
        // With the tests: alone, the program would get other features, and all it depends on be built twice.
        build.args(["build", "--workspace", "--bin", "tallygate", "--tests"]);
        process::run(&mut build, BUILD_LIMIT)?;
        let program = ProgramCopy::of(&target.join("debug/tallygate"))?;
        let postgres = Postgres::start()?;
        let redis = Redis::start()?;
        let cluster = RedisCluster::start()?;
        let python = self.client_python(root)?;
        let focus = self.focus_python(root)?;
        let packages = self.client_packages(root)?;
        for mut command in self.test_commands(root, target)? {
            command
                .env("TALLYGATE_TEST_POSTGRES_URL", postgres.url())
                .env("TALLYGATE_TEST_REDIS_URL", redis.url())
                .env("TALLYGATE_TEST_REDIS_CLUSTER_URL", cluster.url())
                .env("TALLYGATE_TEST_PYTHON", &python)
                .env("TALLYGATE_TEST_FOCUS", &focus)
                .env("TALLYGATE_TEST_NODE", &packages)
                .env("TALLYGATE_TEST_BINARY", &program.path)
                // A test that lacks something fails instead of stepping aside.
                .env("TALLYGATE_TEST_REQUIRE", "1");
            process::run(&mut command, TESTS_LIMIT)?;
        }
        Ok(())
    }

    /// nextest when it is installed, else cargo's own runner; then the examples in documentation.
    fn test_commands(&self, root: &Path, target: &Path) -> Result<Vec<Command>, Failure> {
        let mut commands = Vec::new();
        let has_nextest = process::succeeds(cargo(root, target).args(["nextest", "--version"]))?;
        if has_nextest {
            let mut nextest = cargo(root, target);
            nextest.args(["nextest", "run", "--workspace", "--no-fail-fast"]).args(&self.filters);
            commands.push(nextest);
        } else {
            let mut light = cargo(root, target);
            light.args([
                "test",
                "--workspace",
                "--all-targets",
                "--no-fail-fast",
                "--exclude",
                HEAVY_PACKAGE,
            ]);
            light.arg("--").args(&self.filters);
            let mut heavy = cargo(root, target);
            heavy.args([
                "test",
                "--package",
                HEAVY_PACKAGE,
                "--no-fail-fast",
                "--",
                "--test-threads=1",
                "--show-output",
            ]);
            heavy.args(&self.filters);
            commands.extend([light, heavy]);
        }
        if self.filters.is_empty() && has_documentation_tests(root)? {
            let mut documentation = cargo(root, target);
            documentation.args(["test", "--workspace", "--doc"]);
            commands.push(documentation);
        }
        Ok(commands)
    }
}

/// A copy of the program under test, so that a build in another terminal cannot change it half way.
struct ProgramCopy {
    folder: PathBuf,
    path: PathBuf,
}

impl ProgramCopy {
    fn of(program: &Path) -> Result<Self, Failure> {
        let folder = env::temp_dir().join(format!("tallygate-program-{}", std::process::id()));
        fs::create_dir(&folder).map_err(Failure::io("create", folder.display()))?;
        let copy = Self { path: folder.join("tallygate"), folder };
        fs::copy(program, &copy.path).map_err(Failure::io("copy", program.display()))?;
        Ok(copy)
    }
}

impl Drop for ProgramCopy {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.folder) {
            eprintln!("cannot remove {}: {error}", self.folder.display());
        }
    }
}

/// Whether any library's documentation holds an example; asking rustdoc would take a minute.
fn has_documentation_tests(root: &Path) -> Result<bool, Failure> {
    let tree = tidy::Tree::read(root)?;
    let is_example = |line: &str| {
        let line = line.trim_start();
        line.starts_with("/// ```") || line.starts_with("//! ```")
    };
    Ok(tree.rust_files().any(|file| file.path.contains("/src/") && file.text.lines().any(is_example)))
}

fn summarise(rows: &[Row], planned: usize) -> Result<(), Failure> {
    println!();
    let mut failed = 0;
    for row in rows {
        let took = row.took.as_secs_f64();
        match &row.failure {
            None => println!("  passed  {:<32} {took:>7.1} s", row.step.headline()),
            Some(failure) => {
                failed += 1;
                println!("  FAILED  {:<32} {took:>7.1} s  {failure}", row.step.headline());
                println!("          alone: {}", row.step.alone());
            }
        }
    }
    let total: Duration = rows.iter().map(|row| row.took).sum();
    let passed = rows.len() - failed;
    println!(
        "{passed} passed, {failed} failed, {} not run, {:.1} s",
        planned - rows.len(),
        total.as_secs_f64()
    );
    match rows.iter().any(|row| matches!(row.failure, Some(Failure::Interrupted))) {
        true => Err(Failure::Interrupted),
        false if failed > 0 => Err(Failure::Steps { failed, run: rows.len() }),
        false => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn test(only: Option<Step>, filters: &[&str]) -> Test {
        let filters = filters.iter().map(ToString::to_string).collect();
        Test { no_install: false, only, filters }
    }

    #[test]
    fn a_filter_runs_only_tests() {
        assert_eq!(test(None, &[]).steps().len(), 5);
        assert_eq!(test(None, &["holds"]).steps(), [Step::Install, Step::Tests]);
        assert_eq!(test(Some(Step::Tests), &[]).steps(), [Step::Install, Step::Tests]);
        assert_eq!(test(Some(Step::Lints), &[]).steps(), [Step::Lints]);
    }

    #[test]
    fn any_failed_step_fails_the_run() {
        let row = |failure| Row { step: Step::Format, took: Duration::ZERO, failure };
        assert!(summarise(&[row(None)], 1).is_ok());
        let rows = [row(None), row(Some(Failure::Untidy { count: 1 }))];
        assert!(matches!(summarise(&rows, 3), Err(Failure::Steps { failed: 1, run: 2 })));
        assert!(matches!(summarise(&[row(Some(Failure::Interrupted))], 3), Err(Failure::Interrupted)));
    }
}
