//! The processor's package energy counters, as Linux shows them under powercap.
//! Never counts sub-domains: cores and memory controllers are inside their package's figure or not metered.
//! Opened by `open_meter`; measures the whole package, whatever runs on it.

use std::{
    fs, io,
    path::{Path, PathBuf},
    time::Duration,
};

use domain::EnergySource;

use super::{Elapsed, EnergyError, Meter};

/// Where Linux shows the counters.
pub(crate) const RAPL_ROOT: &str = "/sys/class/powercap";

/// A package at rest draws more than a watt, and counters refresh each millisecond: this long is enough
/// to see them move.
const MOVES_WITHIN: Duration = Duration::from_millis(20);

const MICROJOULES_PER_MILLIJOULE: u64 = 1_000;

/// One package's counter, which wraps around.
#[derive(Debug)]
struct Package {
    path: PathBuf,
    /// The counter's largest value. Unit: microjoules.
    range: u64,
    last: u64,
}

/// All packages of the machine.
#[derive(Debug)]
pub(crate) struct RaplMeter {
    root: PathBuf,
    packages: Vec<Package>,
    microjoules: u64,
}

impl RaplMeter {
    /// Opens every package counter under `root`.
    ///
    /// Errors: none found, or one that cannot be read.
    pub(crate) fn open(root: &Path) -> Result<Self, EnergyError> {
        let mut packages = Vec::new();
        let unreadable = |error| EnergyError::Unreadable { path: root.to_owned(), error };
        let entries = match fs::read_dir(root) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(EnergyError::NoCounter { root: root.to_owned() });
            }
            other => other.map_err(unreadable)?,
        };
        for entry in entries {
            let folder = entry.map_err(unreadable)?.path();
            if is_package(&folder) {
                let range = read_counter(&folder.join("max_energy_range_uj"))?;
                let path = folder.join("energy_uj");
                let last = read_counter(&path)?;
                packages.push(Package { path, range, last });
            }
        }
        if packages.is_empty() {
            return Err(EnergyError::NoCounter { root: root.to_owned() });
        }
        Ok(Self { root: root.to_owned(), packages, microjoules: 0 })
    }

    /// Waits a moment and sees whether the counters count: virtual machines may show dead ones.
    ///
    /// Errors: [`EnergyError::StandsStill`].
    pub(crate) fn check_moves(mut self) -> Result<Self, EnergyError> {
        std::thread::sleep(MOVES_WITHIN);
        self.read(Elapsed::default())?;
        if self.microjoules == 0 {
            return Err(EnergyError::StandsStill { root: self.root });
        }
        Ok(self)
    }
}

impl Meter for RaplMeter {
    fn read(&mut self, _: Elapsed) -> Result<u64, EnergyError> {
        for package in &mut self.packages {
            let now = read_counter(&package.path)?;
            let grown = match now.checked_sub(package.last) {
                Some(grown) => grown,
                // Wrapped around. Readings are at most a fraction of a second apart, so once.
                None => package.range.saturating_sub(package.last).saturating_add(now),
            };
            package.last = now;
            self.microjoules = self.microjoules.saturating_add(grown);
        }
        Ok(self.microjoules / MICROJOULES_PER_MILLIJOULE)
    }

    fn source(&self) -> EnergySource {
        EnergySource::Rapl
    }
}

/// `intel-rapl:0` is a package (AMD's too); `intel-rapl:0:0` is a part of one, `psys` a superset.
fn is_package(folder: &Path) -> bool {
    let name = folder.file_name().and_then(|name| name.to_str()).unwrap_or("");
    let is_top = name.strip_prefix("intel-rapl:").is_some_and(|rest| !rest.contains(':'));
    is_top && fs::read_to_string(folder.join("name")).is_ok_and(|name| name.starts_with("package"))
}

fn read_counter(path: &Path) -> Result<u64, EnergyError> {
    let text =
        fs::read_to_string(path).map_err(|error| EnergyError::Unreadable { path: path.to_owned(), error })?;
    text.trim().parse().map_err(|_| EnergyError::NotACounter { path: path.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn zone(root: &Path, folder: &str, name: &str, energy: &str) {
        let folder = root.join(folder);
        fs::create_dir_all(&folder).expect("folder");
        fs::write(folder.join("name"), format!("{name}\n")).expect("name");
        fs::write(folder.join("max_energy_range_uj"), "262143328850\n").expect("range");
        fs::write(folder.join("energy_uj"), format!("{energy}\n")).expect("energy");
    }

    fn read(meter: &mut RaplMeter) -> u64 {
        meter.read(Elapsed::default()).expect("readable")
    }

    #[test]
    fn packages_are_summed_and_parts_are_not() {
        let root = tempfile::tempdir().expect("folder");
        zone(root.path(), "intel-rapl:0", "package-0", "1000");
        zone(root.path(), "intel-rapl:1", "package-1", "5000");
        zone(root.path(), "intel-rapl:0:0", "core", "1");
        zone(root.path(), "intel-rapl:2", "psys", "1");
        let mut meter = RaplMeter::open(root.path()).expect("open");
        assert_eq!(read(&mut meter), 0);
        zone(root.path(), "intel-rapl:0", "package-0", "2600");
        zone(root.path(), "intel-rapl:0:0", "core", "900000");
        zone(root.path(), "intel-rapl:2", "psys", "900000");
        assert_eq!(read(&mut meter), 1, "1,600 µJ");
        zone(root.path(), "intel-rapl:1", "package-1", "5400");
        assert_eq!(read(&mut meter), 2, "1,600 + 400 µJ: parts of a millijoule are not lost");
    }

    #[test]
    fn a_wrapped_counter_goes_on() {
        let root = tempfile::tempdir().expect("folder");
        zone(root.path(), "intel-rapl:0", "package-0", "262143328000");
        let mut meter = RaplMeter::open(root.path()).expect("open");
        zone(root.path(), "intel-rapl:0", "package-0", "2150");
        assert_eq!(read(&mut meter), 3, "850 µJ to the end of the range and 2,150 after it");
    }

    #[test]
    fn what_cannot_be_metered_is_refused() {
        let root = tempfile::tempdir().expect("folder");
        let open = || RaplMeter::open(root.path()).expect_err("must be refused");
        assert!(matches!(open(), EnergyError::NoCounter { .. }), "empty");
        assert!(matches!(RaplMeter::open(&root.path().join("none")), Err(EnergyError::NoCounter { .. })));
        zone(root.path(), "intel-rapl:0", "package-0", "12x");
        assert!(matches!(open(), EnergyError::NotACounter { .. }), "no number");
        fs::remove_file(root.path().join("intel-rapl:0/energy_uj")).expect("remove");
        fs::create_dir(root.path().join("intel-rapl:0/energy_uj"))
            .expect("a folder cannot be read as a file");
        assert!(matches!(open(), EnergyError::Unreadable { .. }));
        fs::remove_dir(root.path().join("intel-rapl:0/energy_uj")).expect("remove");
        zone(root.path(), "intel-rapl:0", "package-0", "77");
        let meter = RaplMeter::open(root.path()).expect("open");
        assert!(matches!(meter.check_moves(), Err(EnergyError::StandsStill { .. })));
    }
}
