//! What one client shows of itself and sees of the others.

use super::{PresenceError, STATE_BYTES_MAX, check_state, empty_state};
use crate::codec::{Value, Wtf8String};
use std::collections::BTreeMap;

/// How a client handles presence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PresenceOptions {
    /// Time between two states that are sent; the last of a burst is never lost.
    pub throttle_ms: i64,
    /// How long the others are shown after the connection was lost.
    pub timeout_ms: i64,
    /// Longest own state, as JSON text.
    pub state_bytes_max: usize,
    /// Most sessions that are shown; what a server tells of more is dropped.
    pub sessions_max: usize,
}

impl Default for PresenceOptions {
    fn default() -> Self {
        PresenceOptions {
            throttle_ms: 50,
            timeout_ms: 30_000,
            state_bytes_max: STATE_BYTES_MAX,
            sessions_max: 10_000,
        }
    }
}

/// A session that is seen, or was.
#[derive(Clone, Debug, PartialEq)]
pub struct PresenceEntry {
    /// Its name; empty for the own one while there is no connection.
    pub session_id: String,
    /// What it shows; none: it is gone.
    pub state: Option<Value>,
    /// It is this client.
    pub is_local: bool,
}

/// What is seen now and was not before.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PresenceChange {
    /// Sessions that came.
    pub added: Vec<PresenceEntry>,
    /// Sessions that show something else.
    pub updated: Vec<PresenceEntry>,
    /// Sessions that left.
    pub removed: Vec<PresenceEntry>,
}

impl PresenceChange {
    /// Nothing changed.
    pub fn is_empty(&self) -> bool {
        self.added.is_empty() && self.updated.is_empty() && self.removed.is_empty()
    }
}

/// Own state and view of the others. Nothing goes out before the application showed something.
#[derive(Clone, Debug)]
pub struct PresenceView {
    options: PresenceOptions,
    local: Option<Value>,
    session_id: Option<String>,
    others: BTreeMap<String, Value>,
    /// The server does not have `local` yet.
    unsent: bool,
    /// Nothing is sent before.
    window_until_ms: i64,
    /// When the connection was lost, while others are shown from before.
    lost_at_ms: Option<i64>,
}

impl PresenceView {
    /// Shows and sees nothing.
    pub fn new(options: PresenceOptions) -> Self {
        PresenceView {
            options,
            local: None,
            session_id: None,
            others: BTreeMap::new(),
            unsent: false,
            window_until_ms: i64::MIN,
            lost_at_ms: None,
        }
    }

    /// The own state.
    pub fn local(&self) -> Option<&Value> {
        self.local.as_ref()
    }

    /// The own session, while connected.
    pub fn session_id(&self) -> Option<&str> {
        self.session_id.as_deref()
    }

    /// Everybody who is seen: the others by session, then the own state.
    pub fn entries(&self) -> Vec<PresenceEntry> {
        let others = self.others.iter();
        let others = others.map(|(id, state)| entry(id, Some(state.clone())));
        others
            .chain(self.local.clone().map(|state| self.own(Some(state))))
            .collect()
    }

    /// What one session shows, the own one included.
    pub fn state_of(&self, session_id: &str) -> Option<&Value> {
        if self.session_id.as_deref() == Some(session_id) {
            return self.local.as_ref();
        }
        self.others.get(session_id)
    }

    /// Shows something; none: nothing any more (the others then see an empty object, as there is no
    /// message for it while the session lasts).
    ///
    /// # Errors
    /// See [`PresenceError`]; what was shown before stays.
    pub fn set_local(&mut self, state: Option<Value>) -> Result<PresenceChange, PresenceError> {
        if let Some(state) = &state {
            check_state(state, self.options.state_bytes_max)?;
        }
        let mut change = PresenceChange::default();
        if state == self.local {
            return Ok(change);
        }
        let was_shown = self.local.is_some();
        self.unsent = true;
        self.local = state;
        let own = self.own(self.local.clone());
        match (was_shown, self.local.is_some()) {
            (false, _) => change.added.push(own),
            (true, true) => change.updated.push(own),
            (true, false) => change.removed.push(own),
        }
        Ok(change)
    }

    /// Changes one member of the own state; none removes it.
    ///
    /// # Errors
    /// As for [`set_local`](Self::set_local).
    pub fn set_local_field(
        &mut self,
        field: &str,
        value: Option<Value>,
    ) -> Result<PresenceChange, PresenceError> {
        let mut members = match &self.local {
            Some(Value::Object(members)) => members.clone(),
            _ => Vec::new(),
        };
        let field = Wtf8String::from(field);
        let at = members.iter().position(|(name, _)| *name == field);
        match (at, value) {
            (Some(at), Some(value)) => members[at].1 = value,
            (Some(at), None) => drop(members.remove(at)),
            (None, Some(value)) => members.push((field, value)),
            (None, None) => {}
        }
        self.set_local(Some(Value::Object(members)))
    }

    /// The handshake is done. The own state goes out at once, and never with a stale name.
    pub fn session_started(&mut self, session_id: &str) -> PresenceChange {
        let mut change = PresenceChange::default();
        if self.session_id.as_deref() == Some(session_id) {
            return change;
        }
        self.session_id = Some(session_id.to_owned());
        self.lost_at_ms = None;
        self.unsent = self.local.is_some();
        self.window_until_ms = i64::MIN;
        // A server that tells the states before the session's name tells of this one, too.
        if self.others.remove(session_id).is_some() {
            change.removed.push(entry(session_id, None));
        }
        change
    }

    /// The connection is over; the others are shown for a while.
    pub fn connection_lost(&mut self, now_ms: i64) {
        self.session_id = None;
        if !self.others.is_empty() {
            self.lost_at_ms.get_or_insert(now_ms);
        }
    }

    /// One session shows something.
    pub fn heard(&mut self, session_id: &str, state: Value) -> PresenceChange {
        let mut change = PresenceChange::default();
        if self.session_id.as_deref() == Some(session_id) {
            return change;
        }
        let known = self.others.get(session_id);
        if known == Some(&state)
            || (known.is_none() && self.others.len() >= self.options.sessions_max)
        {
            return change;
        }
        let seen = entry(session_id, Some(state.clone()));
        match self.others.insert(session_id.to_owned(), state) {
            None => change.added.push(seen),
            Some(_) => change.updated.push(seen),
        }
        change
    }

    /// These are all sessions.
    pub fn heard_all(&mut self, states: Vec<(String, Value)>) -> PresenceChange {
        let mut change = PresenceChange::default();
        let before = std::mem::take(&mut self.others);
        self.lost_at_ms = None;
        for (id, state) in states {
            if self.session_id.as_deref() == Some(id.as_str())
                || self.others.len() >= self.options.sessions_max
            {
                continue;
            }
            self.others.insert(id, state);
        }
        for (id, state) in &self.others {
            match before.get(id) {
                None => change.added.push(entry(id, Some(state.clone()))),
                Some(known) if known != state => {
                    change.updated.push(entry(id, Some(state.clone())));
                }
                Some(_) => {}
            }
        }
        let gone = before.keys().filter(|id| !self.others.contains_key(*id));
        change.removed.extend(gone.map(|id| entry(id, None)));
        change
    }

    /// When [`due`](Self::due) or [`expire`](Self::expire) has something to do.
    pub fn next_deadline(&self) -> Option<i64> {
        let send = self.session_id.as_ref().filter(|_| self.unsent);
        let expire = self
            .lost_at_ms
            .map(|lost| lost.saturating_add(self.options.timeout_ms));
        let send = send.map(|_| self.window_until_ms);
        [send, expire].into_iter().flatten().min()
    }

    /// The session and the state to send now. The caller says with [`sent`](Self::sent) that it did.
    pub fn due(&self, now_ms: i64) -> Option<(&str, Value)> {
        let session_id = self.session_id.as_deref()?;
        if !self.unsent || now_ms < self.window_until_ms {
            return None;
        }
        Some((session_id, self.local.clone().unwrap_or_else(empty_state)))
    }

    /// The own state went out: the next one waits.
    pub fn sent(&mut self, now_ms: i64) {
        self.unsent = false;
        self.window_until_ms = now_ms.saturating_add(self.options.throttle_ms);
    }

    /// Forgets the others if the connection has been gone for long.
    pub fn expire(&mut self, now_ms: i64) -> PresenceChange {
        let due = |lost: i64| now_ms >= lost.saturating_add(self.options.timeout_ms);
        if self.lost_at_ms.is_some_and(due) {
            return self.forget_others();
        }
        PresenceChange::default()
    }

    /// The application ended the connection: the others are gone at once.
    pub fn disconnected(&mut self) -> PresenceChange {
        self.session_id = None;
        self.forget_others()
    }

    fn forget_others(&mut self) -> PresenceChange {
        self.lost_at_ms = None;
        let gone = std::mem::take(&mut self.others);
        PresenceChange {
            removed: gone.keys().map(|id| entry(id, None)).collect(),
            ..PresenceChange::default()
        }
    }

    fn own(&self, state: Option<Value>) -> PresenceEntry {
        PresenceEntry {
            session_id: self.session_id.clone().unwrap_or_default(),
            state,
            is_local: true,
        }
    }
}

fn entry(session_id: &str, state: Option<Value>) -> PresenceEntry {
    PresenceEntry {
        session_id: session_id.to_owned(),
        state,
        is_local: false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(x: i64) -> Value {
        Value::Object(vec![("x".into(), Value::Int(x))])
    }

    fn view() -> PresenceView {
        PresenceView::new(PresenceOptions::default())
    }

    #[test]
    fn the_last_state_of_a_burst_goes_out_when_the_window_ends() {
        let mut view = view();
        view.session_started("me");
        let mut sent = Vec::new();
        for now_ms in 0..200 {
            if now_ms < 120 {
                view.set_local(Some(at(now_ms))).unwrap();
            }
            if let Some((session, state)) = view.due(now_ms) {
                assert_eq!(session, "me");
                sent.push((now_ms, state));
                view.sent(now_ms);
            }
        }
        // Three windows begin while it moves; the last one ends behind the last move.
        assert_eq!(
            sent,
            [(0, at(0)), (50, at(50)), (100, at(100)), (150, at(119))]
        );
        assert_eq!(view.next_deadline(), None);
    }

    #[test]
    fn nothing_is_sent_without_a_session_and_everything_after_a_new_one() {
        let mut view = view();
        view.set_local(Some(at(1))).unwrap();
        assert_eq!((view.due(0), view.next_deadline()), (None, None));
        view.session_started("one");
        assert_eq!(view.due(0), Some(("one", at(1))));
        view.sent(0);
        view.connection_lost(10);
        view.session_started("two");
        assert_eq!(view.due(11), Some(("two", at(1))), "unthrottled");
        view.sent(11);
        view.session_started("two");
        assert_eq!(view.due(1_000), None, "a repeated handshake");
    }

    #[test]
    fn the_own_session_is_never_seen_as_another() {
        let mut view = view();
        // A Dart server tells the states before the name of the session.
        view.heard_all(vec![("me".into(), empty_state()), ("b".into(), at(2))]);
        let change = view.session_started("me");
        assert_eq!(change.removed, [entry("me", None)]);
        assert!(view.heard("me", at(9)).is_empty());
        view.set_local(Some(at(1))).unwrap();
        let seen: Vec<_> = view.entries().into_iter().map(|e| e.session_id).collect();
        assert_eq!(seen, ["b", "me"]);
        assert_eq!(view.state_of("me"), Some(&at(1)));
        assert_eq!(view.state_of("b"), Some(&at(2)));
    }

    #[test]
    fn a_full_state_replaces_the_view_and_names_the_differences() {
        let mut view = view();
        view.session_started("me");
        view.heard_all(vec![("a".into(), at(1)), ("b".into(), at(2))]);
        let change = view.heard_all(vec![("b".into(), at(3)), ("c".into(), at(4))]);
        assert_eq!(change.added, [entry("c", Some(at(4)))]);
        assert_eq!(change.updated, [entry("b", Some(at(3)))]);
        assert_eq!(change.removed, [entry("a", None)]);
        assert!(view.heard("b", at(3)).is_empty(), "nothing new");
    }

    #[test]
    fn the_others_vanish_a_while_after_the_connection() {
        let mut view = view();
        view.session_started("me");
        view.heard("a", at(1));
        view.connection_lost(1_000);
        view.connection_lost(20_000);
        assert_eq!(view.next_deadline(), Some(31_000));
        assert!(view.expire(30_999).is_empty());
        assert_eq!(view.expire(31_000).removed, [entry("a", None)]);
        assert!(view.entries().is_empty());
        assert_eq!(view.next_deadline(), None);
    }

    #[test]
    fn members_are_set_and_removed_alone() {
        let mut view = view();
        assert_eq!(
            view.set_local_field("x", Some(Value::Int(1)))
                .unwrap()
                .added
                .len(),
            1
        );
        view.set_local_field("y", Some(Value::Int(2))).unwrap();
        view.set_local_field("x", None).unwrap();
        let expected = Value::Object(vec![("y".into(), Value::Int(2))]);
        assert_eq!(view.local(), Some(&expected));
        assert_eq!(view.set_local(None).unwrap().removed.len(), 1);
        view.session_started("me");
        assert_eq!(view.due(0), None, "the server never heard of it");
        assert_eq!(
            view.set_local(Some(Value::Int(1))),
            Err(PresenceError::NotAnObject)
        );
    }

    #[test]
    fn a_server_cannot_fill_the_memory() {
        let mut view = PresenceView::new(PresenceOptions {
            sessions_max: 2,
            ..PresenceOptions::default()
        });
        for id in ["a", "b", "c"] {
            view.heard(id, at(1));
        }
        view.heard("a", at(2));
        assert_eq!(view.entries().len(), 2);
        let many = ["d", "e", "f"].map(|id| (id.to_owned(), at(1)));
        view.heard_all(many.to_vec());
        assert_eq!(view.entries().len(), 2);
    }
}
