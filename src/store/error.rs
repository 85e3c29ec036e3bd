//! Why a store refused. Layer: `store`. Each way a file can fail has its own variant, because the
//! right reaction differs: wait, ask the user for space, restore a backup, or update the app.

use std::fmt;

/// Why a store could not do what was asked. Nothing was changed.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StoreError {
    /// Stored bytes are not what was written. Other documents of the store may be well.
    Corrupt {
        /// The damaged document; `None` when the damage is not inside one document.
        document: Option<String>,
        /// The damaged record of the log, if it is one.
        sequence: Option<u64>,
        /// What was expected, for logs.
        detail: String,
    },
    /// The file, its folder or the store itself cannot be written.
    ReadOnly,
    /// The device or the configured size of the file is exhausted. Worth trying again later.
    Full,
    /// A newer program wrote the file (or one of its records).
    UnsupportedVersion {
        /// The version found.
        found: u64,
        /// The newest version this program reads.
        supported: u64,
    },
    /// Another process or another store object uses the file. Worth trying again later.
    Busy,
    /// There is no such document.
    NotFound,
    /// The document is open, or was locked too long by a transaction.
    InUse {
        /// Which one.
        document: String,
    },
    /// Somebody else wrote to the document meanwhile.
    Conflict {
        /// Which one.
        document: String,
    },
    /// The document is of another kind than what was asked for.
    WrongKind {
        /// The kind found.
        found: u8,
    },
    /// A sequence outside of what the log has.
    OutOfRange {
        /// The nearest one that it has, or would have next.
        nearest: u64,
    },
    /// The device failed, or the path cannot be opened.
    Io {
        /// The extended SQLite result code; 0 if the failure came from elsewhere.
        code: i32,
        /// For logs.
        message: String,
    },
    /// A named limit would be exceeded.
    Limit(&'static str),
    /// The store is closed.
    Closed,
    /// A wait ended first.
    Timeout,
}

impl StoreError {
    /// Damage inside one document.
    pub(crate) fn corrupt(
        document: &str,
        sequence: Option<u64>,
        detail: impl Into<String>,
    ) -> Self {
        StoreError::Corrupt {
            document: Some(document.to_owned()),
            sequence,
            detail: detail.into(),
        }
    }

    /// Damage that cannot be blamed on one document.
    #[cfg(feature = "sqlite")]
    pub(crate) fn corrupt_file(detail: impl Into<String>) -> Self {
        StoreError::Corrupt {
            document: None,
            sequence: None,
            detail: detail.into(),
        }
    }

    /// Whether the same call may succeed later without anybody repairing anything.
    pub fn is_transient(&self) -> bool {
        matches!(
            self,
            StoreError::Full
                | StoreError::Busy
                | StoreError::InUse { .. }
                | StoreError::Io { .. }
                | StoreError::Timeout
        )
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StoreError::Corrupt {
                document,
                sequence,
                detail,
            } => {
                f.write_str("stored data is damaged")?;
                if let Some(document) = document {
                    write!(f, " in document {document:?}")?;
                }
                if let Some(sequence) = sequence {
                    write!(f, " at record {sequence}")?;
                }
                write!(f, ": {detail}")
            }
            StoreError::ReadOnly => f.write_str("the store is read-only"),
            StoreError::Full => f.write_str("no space is left for the store"),
            StoreError::UnsupportedVersion { found, supported } => {
                write!(
                    f,
                    "the store has version {found}; this program reads up to {supported}"
                )
            }
            StoreError::Busy => f.write_str("another process uses the store"),
            StoreError::NotFound => f.write_str("there is no such document"),
            StoreError::InUse { document } => write!(f, "document {document:?} is in use"),
            StoreError::Conflict { document } => {
                write!(f, "document {document:?} was written by another process")
            }
            StoreError::WrongKind { found } => write!(f, "the document is of kind {found}"),
            StoreError::OutOfRange { nearest } => {
                write!(f, "the log has no such record; the nearest is {nearest}")
            }
            StoreError::Io { code, message } => write!(f, "store I/O failed ({code}): {message}"),
            StoreError::Limit(limit) => write!(f, "limit {limit} exceeded"),
            StoreError::Closed => f.write_str("the store is closed"),
            StoreError::Timeout => f.write_str("the wait for the store ended first"),
        }
    }
}

impl std::error::Error for StoreError {}
