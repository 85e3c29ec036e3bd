//! The rooms of a relay that a connection of crdt_socket_sync is in.
//!
//! Layer: `net`.

use super::authorize::{Permission, admit};
use super::crdt_connection::Connection;
use super::dialect::Dialect;
use super::link::CLOSE_BEHIND;
use super::outbox::Unsettled;
use super::relay_room::LiveRelay;
use super::rooms::Rooms;
use crate::sync::crdt_relay::RelayInput;
use crate::sync::crdt_sync::Refusal;
use std::sync::Arc;

pub(super) struct JoinedRelay {
    room: Arc<LiveRelay>,
    permission: Arc<Permission>,
}

impl Connection<'_> {
    pub(super) async fn give_to_relay(
        &mut self,
        name: Arc<str>,
        input: RelayInput,
        unsettled: Option<Unsettled>,
    ) {
        let refused = match self.relay(&name, &input).await {
            Ok(room) => {
                let (server, session) = (&self.server, &self.session.id);
                match tokio::task::block_in_place(|| room.handle(server, session, input, unsettled))
                {
                    Ok(()) => return,
                    Err((input, refusal)) => (input, refusal),
                }
            }
            Err(refusal) => (input, refusal),
        };
        let (input, refusal) = refused;
        let is_edit = is_edit(&input);
        // Who may only read stays in the room.
        let joined = match refusal != Refusal::Forbidden || !is_edit {
            true => self.relays.remove(&name),
            false => None,
        };
        if refusal == Refusal::Unavailable && (is_edit || joined.is_some()) {
            // It may wait for an answer that never comes; with a new connection it pushes again.
            self.session.outbox.close(CLOSE_BEHIND, "try again later");
        }
        let now_ms = self.server.clock.now_ms();
        let actions = self.protocol.relay_refused(&name, &input, refusal, now_ms);
        actions.into_iter().for_each(|action| self.answer(action));
    }

    /// The room of a message, if the client may send it there.
    async fn relay(
        &mut self,
        name: &Arc<str>,
        input: &RelayInput,
    ) -> Result<Arc<LiveRelay>, Refusal> {
        let is_edit = is_edit(input);
        let now_ms = self.server.clock.now_ms();
        if let Some(joined) = self.relays.get(name) {
            let allowed = match is_edit {
                true => joined.permission.can_write(now_ms),
                false => joined.permission.can_read(now_ms),
            };
            return match allowed || matches!(input, RelayInput::Leave) {
                true => Ok(joined.room.clone()),
                false => Err(Refusal::Forbidden),
            };
        }
        if matches!(input, RelayInput::Leave) {
            return Err(Refusal::NotFound);
        }
        let (server, session) = (&self.server, &self.session);
        let permission = admit(server, session, Dialect::CrdtRelay, name, None).await?;
        let may_write = permission.can_write(now_ms);
        let create = may_write && self.server.protocol.create_documents && input.may_create();
        let room = Rooms::<LiveRelay>::get(&self.server, name, create).await;
        let room = room.inspect_err(|_| self.session.permissions.forget(name))?;
        let joined = JoinedRelay {
            room: room.clone(),
            permission,
        };
        self.relays.insert(name.clone(), joined);
        match may_write || !is_edit {
            true => Ok(room),
            false => Err(Refusal::Forbidden),
        }
    }

    /// The connection is over.
    pub(super) fn leave_relay(&mut self, name: &Arc<str>) {
        if let Some(joined) = self.relays.remove(name) {
            let (server, session) = (&self.server, &self.session.id);
            // Refused only by a room that is not used any more.
            let _ = tokio::task::block_in_place(|| {
                joined.room.handle(server, session, RelayInput::Leave, None)
            });
        }
    }
}

fn is_edit(input: &RelayInput) -> bool {
    matches!(input, RelayInput::Push(_) | RelayInput::Upload { .. })
}
