//! Whether the files of a store are still where they were opened. Layer: `store`.
//!
//! A file that was deleted, or that another one took the place of, takes writes until it is
//! closed, and then they are gone; a write-ahead log that was cut is not read past the cut.
//! Nothing that was stored so must be reported as stored.

use super::StoreError;
use std::path::{Path, PathBuf};

/// Files by path, and what was there.
#[derive(Debug, Default)]
pub(super) struct FileIdentity {
    files: Vec<Known>,
}

#[derive(Debug)]
struct Known {
    path: PathBuf,
    identity: Identity,
    /// It only grows; 0 if it may shrink.
    len_min: u64,
}

impl FileIdentity {
    /// Remembers a file that is there now; one that is not is left out.
    pub fn remember(&mut self, path: &Path) {
        // The current folder may change later.
        let Ok(path) = std::fs::canonicalize(path) else {
            return;
        };
        if let Some((identity, _)) = look(&path) {
            self.files.push(Known {
                path,
                identity,
                len_min: 0,
            });
        }
    }

    /// A file that only grows from now on; remembered if it is not yet.
    pub fn remember_length(&mut self, path: &Path) {
        let is_known = |known: &Known| known.path.file_name() == path.file_name();
        if !self.files.iter().any(is_known) {
            self.remember(path);
        }
        for known in self.files.iter_mut().filter(|known| is_known(known)) {
            known.len_min =
                look(&known.path).map_or(known.len_min, |(_, len)| len.max(known.len_min));
        }
    }

    /// The same files, which may shrink from here on.
    pub fn without_lengths(mut self) -> Self {
        self.files.truncate(1);
        self.files.iter_mut().for_each(|known| known.len_min = 0);
        self
    }

    /// # Errors
    /// `Io` if one of the files is gone, cut, or another one is in its place.
    pub fn check(&self) -> Result<(), StoreError> {
        for known in &self.files {
            let is_there = |(identity, len)| identity == known.identity && len >= known.len_min;
            if !look(&known.path).is_some_and(is_there) {
                let message = format!(
                    "{} was moved, removed, replaced or cut",
                    known.path.display()
                );
                return Err(StoreError::Io { code: 0, message });
            }
        }
        Ok(())
    }
}

/// Device and number of a file.
#[cfg(unix)]
type Identity = (u64, u64);

/// Which file is there, and its length.
#[cfg(unix)]
fn look(path: &Path) -> Option<(Identity, u64)> {
    use std::os::unix::fs::MetadataExt;
    let metadata = std::fs::metadata(path).ok()?;
    Some(((metadata.dev(), metadata.ino()), metadata.len()))
}

/// Other systems do not let go of a file that is open.
#[cfg(not(unix))]
type Identity = ();

#[cfg(not(unix))]
fn look(_path: &Path) -> Option<(Identity, u64)> {
    None
}
