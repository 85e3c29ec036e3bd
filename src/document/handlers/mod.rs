//! The states of the handlers: what the operations of one handler add up to. One file per kind.
//!
//! Every state equals the fold of all its operations in replay order, whatever the order of
//! arrival, and knows neither the document nor the log. Common to all of them: `seed` starts from
//! a snapshot's blob, `apply` adds a committed operation, `apply_pending` one of the open
//! transaction, `discard_pending` takes those back, `snapshot_state` writes the blob.

pub(crate) mod custom;
pub(crate) mod fugue;
pub(crate) mod fugue_body;
pub(crate) mod history;
pub(crate) mod identity;
pub(crate) mod indexed;
mod indexed_run;
pub(crate) mod inline_bytes;
pub(crate) mod kept_operations;
pub(crate) mod key_table;
pub(crate) mod map;
pub(crate) mod movable_list;
pub(crate) mod movable_list_back;
pub(crate) mod movable_list_body;
pub(crate) mod movable_list_edit;
pub(crate) mod movable_list_ids;
pub(crate) mod movable_list_rivals;
pub(crate) mod observed_remove;
pub(crate) mod operation;
pub(crate) mod or_map;
pub(crate) mod or_set;
pub(crate) mod plain_body;
pub(crate) mod plain_list;
pub(crate) mod plain_text;
pub(crate) mod register;
pub(crate) mod state;
mod stored_places;

pub(crate) mod value_codec;
pub(crate) mod watched;

#[cfg(test)]
mod movable_list_forged;
#[cfg(test)]
mod movable_list_oracle;
#[cfg(test)]
mod oracle;
#[cfg(test)]
mod plain_oracle;
#[cfg(test)]
mod vectors;
