//! `cargo xtask bench`: runs every benchmark of the workspace, one after another.
//! Never judges a number: results are for a person to read and to write down.
//! Called by `main`.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use clap::Args;

use crate::{cache, failure::Failure, process, up::cargo};

/// One benchmark, built and run; the longest is written to take a few minutes.
const BENCH_LIMIT: Duration = Duration::from_secs(60 * 60);

/// Run every benchmark of the workspace, one after another, so that they do not disturb each other.
#[derive(Args, Debug)]
pub(crate) struct Bench {
    /// Only benchmarks whose name contains this.
    filter: Option<String>,
    /// Write what the gateway's benchmark found into docs/benchmarks.md and its picture beside it.
    #[arg(long)]
    write: bool,
    /// Usage records in the benchmark of billing; a million unless said.
    #[arg(long, value_name = "N")]
    records: Option<u64>,
    /// Passed on to the benchmarks, for example `-- --quick`.
    #[arg(last = true)]
    bench_arguments: Vec<String>,
}

/// The benchmark whose size can be chosen.
const BILLING: &str = "billing";
/// Its benchmarks run the real program, which is built before.
const PROGRAM_PACKAGE: &str = "tests";

impl Bench {
    /// Runs what the members' manifests list under `[[bench]]`.
    ///
    /// Errors: no benchmark fits the filter; any benchmark fails.
    pub(crate) fn run(&self, root: &Path) -> Result<(), Failure> {
        process::note_interrupts()?;
        let target = cache::target_folder()?;
        let wanted = self.filter.as_deref().unwrap_or("");
        let mut benches = benches_of(root)?;
        benches.retain(|(_, bench)| bench.contains(wanted));
        if benches.is_empty() {
            return Err(Failure::Missing {
                what: format!("a benchmark whose name contains {wanted:?}"),
                remedy: "a member's manifest lists its benchmarks under [[bench]]".to_owned(),
            });
        }
        for (package, bench) in &benches {
            println!("==> {package}: {bench}");
            let mut command = cargo(root, &target);
            command.args(["bench", "--package", package, "--bench", bench, "--"]).args(&self.bench_arguments);
            if let Some(records) = self.records.filter(|_| bench == BILLING) {
                command.arg("--records").arg(records.to_string());
            }
            if package == PROGRAM_PACKAGE {
                command.env("TALLYGATE_TEST_BINARY", build_program(root, &target)?);
                if self.write {
                    command.arg("--write").arg(root.join("docs"));
                }
            }
            process::run(&mut command, BENCH_LIMIT)?;
        }
        println!(
            "\n{} benchmark(s) ran. Results belong in docs/benchmarks.md, with the machine and the date.",
            benches.len()
        );
        Ok(())
    }
}

/// Builds the program as it is released and gives its path.
fn build_program(root: &Path, target: &Path) -> Result<PathBuf, Failure> {
    let mut build = cargo(root, target);
    build.args(["build", "--release", "--package", "gateway", "--bin", "tallygate"]);
    process::run(&mut build, BENCH_LIMIT)?;
    Ok(target.join("release/tallygate"))
}

/// Package and benchmark names, in the order of the manifests.
fn benches_of(root: &Path) -> Result<Vec<(String, String)>, Failure> {
    let workspace = read_manifest(&root.join("Cargo.toml"))?;
    let members = workspace.get("workspace").and_then(|table| table.get("members"));
    let members =
        members.and_then(toml::Value::as_array).into_iter().flatten().filter_map(toml::Value::as_str);
    let mut benches = Vec::new();
    for member in members {
        let manifest = read_manifest(&root.join(member).join("Cargo.toml"))?;
        benches.extend(bench_names(&manifest).into_iter().map(|bench| (member.to_owned(), bench)));
    }
    Ok(benches)
}

fn bench_names(manifest: &toml::Table) -> Vec<String> {
    let benches = manifest.get("bench").and_then(toml::Value::as_array).into_iter().flatten();
    benches.filter_map(|bench| Some(bench.get("name")?.as_str()?.to_owned())).collect()
}

fn read_manifest(path: &Path) -> Result<toml::Table, Failure> {
    let text = fs::read_to_string(path).map_err(Failure::io("read", path.display()))?;
    text.parse().map_err(|error: toml::de::Error| Failure::Malformed {
        path: path.to_owned(),
        problem: error.to_string(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn benchmarks_are_named_in_manifests() {
        let manifest = "[package]\nname = \"x\"\n[[bench]]\nname = \"one\"\n[[bench]]\nname = \"two\"\nharness = false\n";
        assert_eq!(bench_names(&manifest.parse().expect("TOML")), ["one", "two"]);
        assert!(bench_names(&"[package]\nname = \"x\"".parse().expect("TOML")).is_empty());
    }
}
