//! The journal's folder: its lock, its identity, the names of its segments, and the file operations it needs.
//! Never knows lines or records; a test puts a failing disk behind the same two traits.
//! Called by `recover` and `writer`.

use std::{
    fs::{self, DirBuilder, File, OpenOptions, TryLockError},
    io::{self, Read as _, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use domain::{JournalId, Timestamp};
use serde::{Deserialize, Serialize};

use super::{
    FORMAT,
    error::{IdentityProblem, JournalError, VerifyError},
};

/// Records name tenants and their use: for the owner of the process only.
const FILE_MODE: u32 = 0o600;
const FOLDER_MODE: u32 = 0o700;

const IDENTITY_NAME: &str = "journal.toml";
const IDENTITY_DRAFT_NAME: &str = "journal.toml.new";
const LOCK_NAME: &str = "journal.lock";
const SEGMENT_SUFFIX: &str = ".journal";
const SEGMENT_DIGITS: usize = 10;

/// What the writer asks of a disk.
pub(super) trait Disk: Send + Sync {
    /// Creates a file that must not exist, open for appending.
    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>>;
    /// Opens a file that exists, for appending.
    fn append(&self, path: &Path) -> io::Result<Box<dyn DiskFile>>;
    /// Removes a file.
    fn remove(&self, path: &Path) -> io::Result<()>;
    /// Makes creations and removals in the folder durable.
    fn sync_folder(&self, folder: &Path) -> io::Result<()>;
}

/// An open file of that disk.
pub(super) trait DiskFile: Send {
    /// Appends some of the bytes; returns how many.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize>;
    /// Makes what was written durable.
    fn sync(&mut self) -> io::Result<()>;
    /// Cuts the file.
    fn set_len(&mut self, bytes: u64) -> io::Result<()>;
}

/// The machine's own disk.
#[derive(Clone, Copy, Debug)]
pub(super) struct LocalDisk;

impl Disk for LocalDisk {
    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        let file = OpenOptions::new().append(true).create_new(true).mode(FILE_MODE).open(path)?;
        Ok(Box::new(file))
    }

    fn append(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        Ok(Box::new(OpenOptions::new().append(true).open(path)?))
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn sync_folder(&self, folder: &Path) -> io::Result<()> {
        File::open(folder)?.sync_all()
    }
}

impl DiskFile for File {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        io::Write::write(self, bytes)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.sync_data()
    }

    fn set_len(&mut self, bytes: u64) -> io::Result<()> {
        File::set_len(self, bytes)
    }
}

/// Makes the folder if it is not there, and its name in the parent durable.
pub(super) fn create_folder(folder: &Path) -> Result<(), JournalError> {
    if folder.is_dir() {
        return Ok(());
    }
    let created = DirBuilder::new().recursive(true).mode(FOLDER_MODE).create(folder);
    created.map_err(JournalError::io("create the folder", folder))?;
    match folder.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        Some(parent) => {
            LocalDisk.sync_folder(parent).map_err(JournalError::io("sync the parent folder", parent))
        }
        None => Ok(()),
    }
}

/// Takes the folder for this process; the lock lives as long as the file.
pub(super) fn lock(folder: &Path) -> Result<File, JournalError> {
    let path = folder.join(LOCK_NAME);
    let opened =
        OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(FILE_MODE).open(&path);
    let mut file = opened.map_err(JournalError::io("open the lock", &path))?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            return Err(JournalError::Locked { folder: folder.to_owned(), holder: holder(&mut file) });
        }
        Err(TryLockError::Error(error)) => return Err(JournalError::io("take the lock", path)(error)),
    }
    // The process id is for people; the lock itself is the kernel's.
    let noted = file.set_len(0).and_then(|()| write!(file, "{}", std::process::id()));
    noted.map_err(JournalError::io("write the lock", path))?;
    Ok(file)
}

fn holder(file: &mut File) -> String {
    let mut text = String::new();
    match file.take(20).read_to_string(&mut text) {
        Ok(_) if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) => {
            format!("process {text}")
        }
        _ => "another process".to_owned(),
    }
}

/// What a journal is called, for its whole life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Identity {
    pub(super) format: u32,
    pub(super) journal_id: JournalId,
    #[serde(rename = "created_unix_us")]
    pub(super) created_at: Timestamp,
}

impl Identity {
    /// Reads the identity; `None` when there is none.
    pub(super) fn read(folder: &Path) -> Result<Option<Self>, VerifyError> {
        let path = folder.join(IDENTITY_NAME);
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(VerifyError::io(path)(error)),
        };
        let identity: Self = toml::from_str(&text).map_err(|error| VerifyError::NotAJournal {
            path: path.clone(),
            problem: IdentityProblem::Unreadable { reason: error.message().to_owned() },
        })?;
        if identity.format != FORMAT {
            let problem = IdentityProblem::Version { found: identity.format };
            return Err(VerifyError::NotAJournal { path, problem });
        }
        Ok(Some(identity))
    }

    /// Writes the identity in one step that either happened or did not.
    pub(super) fn write(&self, folder: &Path) -> Result<(), JournalError> {
        let draft = folder.join(IDENTITY_DRAFT_NAME);
        let text = format!(
            "# Identity of a Tallygate usage journal. Do not edit.\nformat = {}\njournal_id = \"{}\"\ncreated_unix_us = {}\n",
            self.format,
            self.journal_id,
            self.created_at.unix_micros()
        );
        let write = || -> io::Result<()> {
            let mut file =
                OpenOptions::new().write(true).create(true).truncate(true).mode(FILE_MODE).open(&draft)?;
            file.write_all(text.as_bytes())?;
            file.sync_all()?;
            fs::rename(&draft, folder.join(IDENTITY_NAME))?;
            LocalDisk.sync_folder(folder)
        };
        write().map_err(JournalError::io("write the identity", folder.join(IDENTITY_NAME)))
    }
}

/// The file of segment `number`.
pub(super) fn segment_path(folder: &Path, number: u64) -> PathBuf {
    folder.join(format!("{number:0SEGMENT_DIGITS$}{SEGMENT_SUFFIX}"))
}

/// The numbers of the segments in the folder, ascending. Other files are not looked at.
pub(super) fn list_segments(folder: &Path) -> Result<Vec<u64>, VerifyError> {
    let mut numbers = Vec::new();
    for entry in fs::read_dir(folder).map_err(VerifyError::io(folder))? {
        let name = entry.map_err(VerifyError::io(folder))?.file_name();
        numbers.extend(name.to_str().and_then(segment_number));
    }
    numbers.sort_unstable();
    Ok(numbers)
}

fn segment_number(name: &str) -> Option<u64> {
    let digits = name.strip_suffix(SEGMENT_SUFFIX)?;
    let is_number = digits.len() == SEGMENT_DIGITS && digits.bytes().all(|byte| byte.is_ascii_digit());
    digits.parse().ok().filter(|number| is_number && *number > 0)
}
