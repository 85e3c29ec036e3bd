//! The `history` steps: every handler and the version at every cursor of the line.

use super::{Player, compare_values};
use crate::common::{list, text};
use serde_json::Value as Json;

impl Player {
    /// Walks up the whole line and down again.
    pub fn compare_history(&self, peer: usize, expected: &Json) {
        let mut view = self.documents[peer].to_history();
        let length = view.history().expect("a history").length();
        assert_eq!(length, expected["length"].as_u64().unwrap());
        let cursors = list(&expected["cursors"]);
        assert_eq!(cursors.len() as u64, length + 1);
        for cursor in (0..=length).rev().chain(0..=length) {
            view.history_jump(cursor).unwrap();
            view.check();
            let expected = &cursors[cursor as usize];
            for (id, value) in expected["v"].as_object().unwrap() {
                compare_values(&view, id, value, false);
            }
            let mut version: Vec<String> =
                view.frontiers().iter().map(|id| id.to_string()).collect();
            version.sort();
            let expected: Vec<&str> = list(&expected["version"]).iter().map(text).collect();
            assert_eq!(version, expected);
        }
    }
}
