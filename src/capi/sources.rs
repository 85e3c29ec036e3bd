//! Those who listen to a store, a client or a server: sources whose events are reports, not
//! commits. A subscription does not keep such a source alive; when it goes, CLOSED is sent.

use super::payload::Payload;
use super::subscription::{Source, Subscription};
use parking_lot::Mutex;
use std::sync::Arc;

/// The subscriptions to one source.
#[derive(Default)]
pub(crate) struct Listeners {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    subscriptions: Vec<Arc<Subscription>>,
    is_closed: bool,
}

impl Listeners {
    /// Adds a subscription; one to a source that is gone gets CLOSED at once.
    pub(crate) fn add(self: &Arc<Self>, subscription: &Arc<Subscription>) -> Arc<dyn Source> {
        let mut state = self.state.lock();
        state.subscriptions.push(subscription.clone());
        let is_closed = state.is_closed;
        drop(state);
        if is_closed {
            self.close();
        }
        self.clone()
    }

    /// Sends a report to all who want it. Call it without any lock.
    pub(crate) fn tell(&self, payload: Payload) {
        let mut wanting = self.state.lock().subscriptions.clone();
        wanting.retain(|subscription| subscription.wants(payload.kind()));
        let payload = Arc::new(payload);
        for subscription in wanting {
            subscription.queue().push(&subscription, &payload);
            subscription.queue().wake();
        }
    }

    /// The source is gone: everybody gets CLOSED.
    pub(crate) fn close(&self) {
        let mut state = self.state.lock();
        state.is_closed = true;
        let subscriptions = std::mem::take(&mut state.subscriptions);
        drop(state);
        subscriptions.iter().for_each(Subscription::close);
    }
}

impl Source for Listeners {
    fn unsubscribe(&self, subscription: &Arc<Subscription>) {
        self.state
            .lock()
            .subscriptions
            .retain(|known| !Arc::ptr_eq(known, subscription));
    }
}
