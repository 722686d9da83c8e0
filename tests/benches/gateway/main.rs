//! `cargo xtask bench gateway`: what the gateway adds to a request, beside a direct call in the same run.
//! Never asserts a time: figures are printed, and with `--write FOLDER` go into the documentation.
//! Run by `cargo xtask bench`, which builds the release program before.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "the report is what this is run for")]

mod http;
mod lanes;
mod load;
mod mock;
mod plot;
mod report;
mod scenarios;
mod subject;

use std::{error::Error, fs, path::PathBuf, process::ExitCode, time::Duration};

use crate::{
    mock::{Mock, Pace},
    report::Report,
    subject::{Mocks, Subject},
};

/// Time of one cell of the lanes' tables, all rounds together. Unit: seconds.
const CELL_SECONDS: f64 = 3.0;
/// Time of one scenario that has no end of its own. Unit: seconds.
const SCENARIO_SECONDS: f64 = 3.0;

/// What the command line says.
struct Arguments {
    /// The folder with benchmarks.md.
    write: Option<PathBuf>,
    /// A tenth of the time: enough to see that everything runs.
    is_quick: bool,
    /// Only the lanes, only with so many connections, and nothing is written.
    connections: Option<usize>,
}

impl Arguments {
    fn read() -> Self {
        let arguments: Vec<String> = std::env::args().skip(1).collect();
        let write = arguments.iter().position(|argument| argument == "--write");
        let write = write.and_then(|index| arguments.get(index + 1)).map(PathBuf::from);
        let connections = arguments.iter().position(|argument| argument == "--connections");
        let connections = connections.and_then(|index| arguments.get(index + 1)?.parse().ok());
        Self { write, connections, is_quick: arguments.iter().any(|argument| argument == "--quick") }
    }
}

fn main() -> ExitCode {
    // One thread for the load, so that the gateway has a core of two to itself.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let outcome = runtime.map_err(Into::into).and_then(|runtime| runtime.block_on(run(&Arguments::read())));
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: &Arguments) -> Result<(), Box<dyn Error>> {
    let part = if arguments.is_quick { 0.1 } else { 1.0 };
    let pace = |pieces, millis| Pace { pieces, gap: Duration::from_millis(millis) };
    let mocks = Mocks {
        instant: Mock::start(pace(16, 0))?,
        paced: Mock::start(pace(20, 5))?,
        slow: Mock::start(pace(20, 100))?,
    };
    let subject = Subject::start(&mocks).await?;
    let memory_at_start = subject.memory_kib();
    eprintln!("lanes …");
    if let Some(connections) = arguments.connections {
        let cells = lanes::measure(&subject, &mocks, &[connections], CELL_SECONDS * part).await?;
        println!("{}\n\n{}", machine(arguments.is_quick), report::lanes(&cells));
        return subject.stop().await.map_err(Into::into);
    }
    let cells = lanes::measure(&subject, &mocks, &lanes::CONNECTIONS, CELL_SECONDS * part).await?;
    let memory_kib = (memory_at_start, subject.memory_kib());
    eprintln!("paced chunks …");
    let paced = scenarios::paced(&subject, &mocks).await?;
    eprintln!("floods of bad keys …");
    let floods = scenarios::floods(&subject, SCENARIO_SECONDS * part).await?;
    eprintln!("a huge prompt …");
    let head_of_line = scenarios::head_of_line(&subject, SCENARIO_SECONDS * part).await?;
    eprintln!("slow streams …");
    let slow = scenarios::slow_streams(&subject, &mocks).await?;
    let is_simulated = subject.is_simulated;
    subject.stop().await?;

    let mut machine = machine(arguments.is_quick);
    if is_simulated {
        machine += " The gateway's own simulated engine answered in place of the mock backend: what is added holds that \
                    engine's time as well, and pieces bear no time of sending.";
    }
    let report = Report { machine, memory_kib, cells, paced, floods, head_of_line, slow };
    let section = report.markdown();
    println!("{section}");
    if let Some(folder) = &arguments.write {
        let pictures = folder.join("benchmarks");
        fs::create_dir_all(&pictures)?;
        plot::draw(&report.cells, &pictures.join("gateway.svg"))?;
        report::write(&section, &folder.join("benchmarks.md"))?;
    }
    Ok(())
}

/// Where and when: figures without it say nothing.
fn machine(is_quick: bool) -> String {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let cpuinfo = read("/proc/cpuinfo");
    let name = cpuinfo.lines().find_map(|line| line.strip_prefix("model name")?.split_once(':'));
    let name = name.map_or("unknown processor", |(_, name)| name.trim());
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let kernel = read("/proc/sys/kernel/osrelease");
    let load = read("/proc/loadavg");
    let load = load.split(' ').next().unwrap_or("unknown");
    let build = if cfg!(debug_assertions) { "dev build" } else { "release build" };
    let quick = if is_quick { ", quick run: figures are rough" } else { "" };
    format!(
        "{name}, {cores} cores, Linux {}, {build}, load {load} at the end{quick}. Load generator and mock backend run on \
         the same cores.",
        kernel.trim()
    )
}
