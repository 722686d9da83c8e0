//! `cargo xtask up`: builds the program and becomes it.
//! Never prints keys or addresses itself: the program's own banner does.
//! Called by `main`.

use std::{env, os::unix::process::CommandExt, path::Path, process::Command};

use clap::Args;

use crate::{cache, failure::Failure, process};

/// Build Tallygate and serve the demo model on this machine.
///
/// The first build takes several minutes. The program then prints the tenant, an API key, a curl line to try
/// and the portal's address. Ctrl-C lets running answers end, then stops.
#[derive(Args, Debug)]
pub(crate) struct Up {
    /// Build without optimisation: faster to build, slower to answer.
    #[arg(long)]
    dev: bool,
    /// Passed on to `tallygate serve`, for example `-- --config tallygate.toml`.
    #[arg(last = true)]
    serve_arguments: Vec<String>,
}

impl Up {
    /// Builds, then replaces this process by the server, so signals and the exit status are the server's own.
    ///
    /// Errors: the build fails, or the program cannot be started.
    pub(crate) fn run(&self, root: &Path) -> Result<(), Failure> {
        let target = cache::target_folder()?;
        self.build(root, &target)?;
        let program = target.join(self.profile_folder()).join("tallygate");
        let mut serve = Command::new(&program);
        serve.arg("serve").args(&self.serve_arguments);
        let line = process::line_of(&serve);
        Err(Failure::io("start", line)(serve.exec()))
    }

    fn build(&self, root: &Path, target: &Path) -> Result<(), Failure> {
        println!("building tallygate (several minutes the first time) in {}", target.display());
        let mut build = cargo(root, target);
        build.args(["build", "--package", "gateway", "--bin", "tallygate"]);
        if !self.dev {
            build.arg("--release");
        }
        // Not in a group of its own: Ctrl-C during the build ends both at once.
        let line = process::line_of(&build);
        let mut child = build.spawn().map_err(Failure::io("start", &line))?;
        let status = child.wait().map_err(Failure::io("wait for", &line))?;
        match status.success() {
            true => Ok(()),
            false => Err(Failure::Command { line, ending: status.to_string() }),
        }
    }

    fn profile_folder(&self) -> &'static str {
        match self.dev {
            true => "debug",
            false => "release",
        }
    }
}

/// The cargo that runs this task, in the repository, with its output in `target`.
pub(crate) fn cargo(root: &Path, target: &Path) -> Command {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root).env("CARGO_TARGET_DIR", target);
    command
}
