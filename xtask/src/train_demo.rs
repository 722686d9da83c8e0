//! `cargo xtask train-demo`: trains the demo model again and writes its golden logits.
//! Never needed to run or test Tallygate: the trained model is in the repository.
//! Called by `main`.

use std::{
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use clap::Args;

use crate::{failure::Failure, process, python};

/// The tensor library comes with several gigabytes of GPU packages; a slow line needs a while.
const INSTALL_LIMIT: Duration = Duration::from_secs(45 * 60);

/// The recipe is written for a few tens of minutes on two cores.
const TRAIN_LIMIT: Duration = Duration::from_secs(4 * 60 * 60);

/// Computing golden logits of a model of a few million parameters takes seconds; loading the library, a minute.
const GOLDEN_LIMIT: Duration = Duration::from_secs(15 * 60);

/// Train the demo model again and write its golden logits.
///
/// Installs what the recipe needs into a Python environment in the cache folder, generates the corpus, trains on
/// the CPU for a few tens of minutes, then lets Hugging Face transformers compute the logits the engine is
/// tested against.
#[derive(Args, Debug)]
pub(crate) struct TrainDemo {
    /// Train for this many steps instead of the recipe's own number.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    steps: Option<u32>,
    /// Where to write the model; the golden logits go beside it, with `-golden` appended.
    #[arg(long, default_value = "models/demo")]
    out: PathBuf,
}

impl TrainDemo {
    /// Installs, trains, computes.
    ///
    /// Errors: the first part that fails.
    pub(crate) fn run(&self, root: &Path) -> Result<(), Failure> {
        process::note_interrupts()?;
        let recipe = root.join("models/recipe");
        let interpreter = python::environment(&recipe.join("requirements.txt"), true, INSTALL_LIMIT)?;
        let mut train = Command::new(&interpreter);
        train.current_dir(root).arg(recipe.join("train.py")).arg("--out").arg(&self.out);
        if let Some(steps) = self.steps {
            train.args(["--steps", &steps.to_string()]);
        }
        process::run(&mut train, TRAIN_LIMIT)?;
        let mut golden = Command::new(&interpreter);
        golden.current_dir(root).arg(recipe.join("golden.py")).arg("--model").arg(&self.out);
        process::run(golden.arg("--out").arg(beside(&self.out)), GOLDEN_LIMIT)
    }
}

/// `models/demo` → `models/demo-golden`.
fn beside(out: &Path) -> PathBuf {
    let mut name = out.file_name().unwrap_or_default().to_owned();
    name.push("-golden");
    out.with_file_name(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn golden_logits_lie_beside_the_model() {
        for (out, golden) in
            [("models/demo", "models/demo-golden"), ("models/demo/", "models/demo-golden"), ("x", "x-golden")]
        {
            assert_eq!(beside(Path::new(out)), Path::new(golden));
        }
    }
}
