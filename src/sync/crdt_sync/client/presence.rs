//! The awareness plugin of a client (specification 8.4), for both modes.

use super::lifecycle::{Lifecycle, Phase};
use super::{ClientEvent, Message};
use crate::codec::Wtf8String;
use crate::sync::awareness::{PresenceChange, PresenceError, PresenceView};
use std::sync::Arc;

/// Takes in a message of the plugin; gives others back.
pub(in crate::sync) fn message<S>(
    view: &mut PresenceView,
    life: &mut Lifecycle<S>,
    message: Message,
) -> Option<Message> {
    let change = match message {
        Message::AwarenessUpdate {
            document_id,
            client_id,
            metadata,
        } if document_id == life.document_id => view.heard(&client_id.to_string_lossy(), metadata),
        Message::AwarenessState {
            document_id,
            states,
        } if document_id == life.document_id => {
            let states = states.into_iter();
            let states = states.map(|(client, state)| (client.to_string_lossy(), state));
            view.heard_all(states.collect())
        }
        other => return Some(other),
    };
    tell(life, change);
    None
}

/// The handshake is done, perhaps again.
pub(in crate::sync) fn session_started<S>(
    view: &mut PresenceView,
    life: &mut Lifecycle<S>,
    session_id: &str,
    now_ms: i64,
) {
    let change = view.session_started(session_id);
    tell(life, change);
    send_due(view, life, now_ms);
}

/// After everything that may have ended the connection.
pub(in crate::sync) fn notice_loss<S>(view: &mut PresenceView, life: &Lifecycle<S>, now_ms: i64) {
    if !matches!(life.phase, Phase::Joined(_)) && view.session_id().is_some() {
        view.connection_lost(now_ms);
    }
}

/// The application disconnected: nobody is seen any more.
pub(in crate::sync) fn disconnected<S>(view: &mut PresenceView, life: &mut Lifecycle<S>) {
    let change = view.disconnected();
    tell(life, change);
}

/// Sends what is due and forgets whom nobody told of for long.
pub(in crate::sync) fn tick<S>(view: &mut PresenceView, life: &mut Lifecycle<S>, now_ms: i64) {
    send_due(view, life, now_ms);
    let change = view.expire(now_ms);
    tell(life, change);
}

pub(in crate::sync) fn show<S>(
    view: &mut PresenceView,
    life: &mut Lifecycle<S>,
    change: impl FnOnce(&mut PresenceView) -> Result<PresenceChange, PresenceError>,
) -> Result<(), PresenceError> {
    let change = change(view)?;
    tell(life, change);
    Ok(())
}

pub(in crate::sync) fn request<S>(life: &mut Lifecycle<S>) {
    if matches!(life.phase, Phase::Joined(_)) {
        let document_id = life.document_id.clone();
        life.send(Message::AwarenessQuery { document_id });
    }
}

fn send_due<S>(view: &mut PresenceView, life: &mut Lifecycle<S>, now_ms: i64) {
    if !matches!(life.phase, Phase::Joined(_)) {
        return;
    }
    let Some((session_id, metadata)) = view.due(now_ms) else {
        return;
    };
    let message = Message::AwarenessUpdate {
        document_id: life.document_id.clone(),
        client_id: Wtf8String::from(session_id),
        metadata,
    };
    // While the queue is full it waits as if the window had not ended.
    life.send(message);
    view.sent(now_ms);
}

fn tell<S>(life: &mut Lifecycle<S>, change: PresenceChange) {
    if !change.is_empty() {
        life.queue.event(ClientEvent::Presence(Arc::new(change)));
    }
}
