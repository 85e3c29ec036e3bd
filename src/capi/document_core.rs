//! A document as C knows it: the shared one, with a text unit and with those who listen through
//! this library. Behind the handles of section 12 and 13.

use super::error::Error;
use super::handler::HandlerRef;
use super::hooks;
use super::hub::{Hub, Scope};
use super::subscription::{Source, Subscription};
use crate::codec;
use crate::document::{Document, HandlerIdx, HandlerSpec, ObserverId, SharedDocument, TextUnit};
use crate::store::StoredDocument;
use crate::tree::sort_by_key;
use parking_lot::Mutex;
use std::any::Any;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};

/// See the module. Several may stand for one shared document, if it was opened several times.
pub(crate) struct DocumentCore {
    shared: Arc<SharedDocument>,
    unit: TextUnit,
    hub: Arc<Hub>,
    /// The hub as the document's observer, while anybody listens. Locked before the document.
    observer: Mutex<Option<ObserverId>>,
    is_closed: AtomicBool,
    parent: Option<Parent>,
}

/// Where a document comes from. Dropped in this order.
pub(crate) struct Parent {
    /// The document as its store knows it.
    pub(crate) stored: Option<StoredDocument>,
    /// What must live as long: the store.
    pub(crate) _owner: Arc<dyn Any + Send + Sync>,
}

/// Every document that exists.
static DOCUMENTS: Mutex<Vec<Weak<DocumentCore>>> = Mutex::new(Vec::new());

fn documents() -> Vec<Arc<DocumentCore>> {
    DOCUMENTS.lock().iter().filter_map(Weak::upgrade).collect()
}

/// Memory of all documents, estimated. One that was opened twice counts once; one with a hook on
/// this thread counts nothing.
pub(crate) fn heap_bytes_of_all() -> u64 {
    let mut all = documents();
    all.retain(|core| !hooks::is_inside(&core.shared));
    sort_by_key(&mut all, |core| Arc::as_ptr(&core.shared).addr());
    all.dedup_by(|a, b| Arc::ptr_eq(&a.shared, &b.shared));
    let of_one = |core: &Arc<DocumentCore>| core.shared.read(|d| d.heap_bytes() as u64);
    all.iter().map(|core| of_one(core).unwrap_or(0)).sum()
}

impl DocumentCore {
    pub(crate) fn new(
        shared: Arc<SharedDocument>,
        unit: TextUnit,
        parent: Option<Parent>,
    ) -> Arc<Self> {
        let core = Arc::new(DocumentCore {
            shared,
            unit,
            hub: Hub::new(unit),
            observer: Mutex::new(None),
            is_closed: AtomicBool::new(false),
            parent,
        });
        let mut documents = DOCUMENTS.lock();
        documents.retain(|known| known.strong_count() > 0);
        documents.push(Arc::downgrade(&core));
        core
    }

    pub(crate) fn shared(&self) -> &Arc<SharedDocument> {
        &self.shared
    }

    pub(crate) fn unit(&self) -> TextUnit {
        self.unit
    }

    /// Changes that are made but not on the device.
    pub(crate) fn unstored_changes(&self) -> u64 {
        self.stored().map_or(0, StoredDocument::unstored_changes)
    }

    /// The document as its store knows it, if it comes from one.
    pub(crate) fn stored(&self) -> Option<&StoredDocument> {
        self.parent.as_ref()?.stored.as_ref()
    }

    /// What a scope is about is gone: those who listen to it get CLOSED.
    pub(crate) fn close_scope(&self, scope: Scope) {
        self.hub.close_scope(scope);
    }

    /// Runs `body` under the lock. CLOSED for a closed document.
    pub(crate) fn edit<R>(
        &self,
        body: impl FnOnce(&mut Document) -> Result<R, Error>,
    ) -> Result<R, Error> {
        let (mut body, mut result) = (Some(body), None);
        self.edit_once(&mut |document| {
            result = body.take().map(|body| body(document)).transpose()?;
            Ok(())
        })?;
        Ok(result.expect("edit_once calls its body"))
    }

    /// `edit`, compiled once for all bodies.
    #[inline(never)]
    fn edit_once(
        &self,
        body: &mut dyn FnMut(&mut Document) -> Result<(), Error>,
    ) -> Result<(), Error> {
        hooks::ensure_outside(&self.shared)?;
        self.shared.with(|document| {
            check_open(document)?;
            if self.hub.is_stale() {
                self.hub.refresh(document);
            }
            body(document)
        })?
    }

    /// As `edit`, reading only.
    pub(crate) fn read<R>(
        &self,
        body: impl FnOnce(&Document) -> Result<R, Error>,
    ) -> Result<R, Error> {
        let (mut body, mut result) = (Some(body), None);
        self.read_once(&mut |document| {
            result = body.take().map(|body| body(document)).transpose()?;
            Ok(())
        })?;
        Ok(result.expect("read_once calls its body"))
    }

    /// `read`, compiled once for all bodies.
    #[inline(never)]
    fn read_once(&self, body: &mut dyn FnMut(&Document) -> Result<(), Error>) -> Result<(), Error> {
        hooks::ensure_outside(&self.shared)?;
        self.shared.read(|document| {
            check_open(document)?;
            body(document)
        })?
    }

    /// Begins a transaction on this thread.
    pub(crate) fn begin(&self, tag: &[u8]) -> Result<(), Error> {
        hooks::ensure_outside(&self.shared)?;
        self.shared.begin(tag)??;
        // Looked at under the lock: closing waits for it.
        let opened = self.edit(|_| Ok(()));
        if opened.is_err() {
            // The first error tells more.
            let _ = self.shared.rollback();
        }
        opened
    }

    /// Ends a level of the transaction of this thread.
    pub(crate) fn commit(&self) -> Result<(), Error> {
        hooks::ensure_outside(&self.shared)?;
        Ok(self.shared.commit()??)
    }

    /// Ends the transaction of this thread and takes its edits back.
    pub(crate) fn rollback(&self) -> Result<(), Error> {
        hooks::ensure_outside(&self.shared)?;
        Ok(self.shared.rollback()??)
    }

    /// Ends the document; everybody who listens gets CLOSED, however often it was opened.
    pub(crate) fn close(&self) -> Result<(), Error> {
        hooks::ensure_outside(&self.shared)?;
        self.shared.with(Document::close)?;
        for core in documents() {
            if Arc::ptr_eq(&core.shared, &self.shared) {
                core.is_closed.store(true, Ordering::Release);
                core.hub.close();
            }
        }
        Ok(())
    }

    /// Whether it was closed. Waits for the lock unless it was closed through this library.
    pub(crate) fn is_closed(&self) -> Result<bool, Error> {
        if self.is_closed.load(Ordering::Acquire) {
            return Ok(true);
        }
        hooks::ensure_outside(&self.shared)?;
        Ok(self.shared.read(Document::is_closed)?)
    }

    /// The handler with this id, made if it is not there.
    pub(crate) fn handler(
        self: &Arc<Self>,
        id: &str,
        spec: &HandlerSpec,
    ) -> Result<HandlerRef, Error> {
        self.edit(|document| {
            let index = document.handler(id, spec)?;
            self.handlers_added(document);
            Ok(HandlerRef::new(self, document, index))
        })
    }

    /// The handler that a reference leads to, made if its type is registered.
    pub(crate) fn resolve(
        self: &Arc<Self>,
        document: &mut Document,
        reference: &codec::HandlerRef,
    ) -> Option<HandlerRef> {
        let index: HandlerIdx = document.resolve(reference)?;
        self.handlers_added(document);
        Some(HandlerRef::new(self, document, index))
    }

    /// To be called when handlers may have been made.
    pub(crate) fn handlers_added(&self, document: &mut Document) {
        self.hub.handler_added();
        if self.hub.is_stale() {
            self.hub.refresh(document);
        }
    }

    /// Registers a subscription to all of it or to one handler.
    pub(crate) fn subscribe(
        self: &Arc<Self>,
        subscription: &Arc<Subscription>,
        scope: Scope,
    ) -> Result<Arc<dyn Source>, Error> {
        hooks::ensure_outside(&self.shared)?;
        {
            let mut observer = self.observer.lock();
            self.hub.add(subscription, scope);
            if observer.is_none() {
                *observer = Some(self.shared.add_observer(self.hub.clone()));
            }
        }
        // Tells the document what is wanted, and whether it is open. If it is closed from here
        // on, the hub knows the subscription.
        if let Err(error) = self.edit(|_| Ok(())) {
            self.unsubscribe(subscription);
            return Err(error);
        }
        Ok(self.clone())
    }
}

#[inline]
fn check_open(document: &Document) -> Result<(), Error> {
    if document.is_closed() {
        Err(closed())
    } else {
        Ok(())
    }
}

#[cold]
#[inline(never)]
fn closed() -> Error {
    Error::closed("document")
}

impl Source for DocumentCore {
    fn unsubscribe(&self, subscription: &Arc<Subscription>) {
        if hooks::is_inside(&self.shared) {
            // The document is locked: the hub stays its observer, for nobody.
            self.hub.remove(subscription);
            return;
        }
        let mut observer = self.observer.lock();
        let is_last = self.hub.remove(subscription);
        if is_last {
            let_go(&mut observer, &self.shared);
        }
    }
}

/// Ends the observation, if there is one.
fn let_go(observer: &mut Option<ObserverId>, shared: &SharedDocument) {
    if let Some(observer) = observer.take() {
        shared.remove_observer(observer);
    }
}

impl Drop for DocumentCore {
    fn drop(&mut self) {
        if !hooks::is_inside(&self.shared) {
            let_go(self.observer.get_mut(), &self.shared);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::document::*;
    use super::super::guard::guard;
    use super::super::text::*;
    use super::super::types::*;
    use super::*;
    use crate::document::DocumentOptions;

    fn make() -> (*mut syncline_document, *mut syncline_text) {
        let (mut document, mut text) = (std::ptr::null_mut(), std::ptr::null_mut());
        let id = syncline_string::borrowed("t");
        // SAFETY: the out-parameters are writable, the string lives.
        unsafe {
            assert_eq!(
                syncline_document_new(std::ptr::null(), &mut document),
                SYNCLINE_OK
            );
            let made = syncline_document_get_text(document, id, std::ptr::null(), &mut text);
            assert_eq!(made, SYNCLINE_OK);
        }
        (document, text)
    }

    #[test]
    fn a_panic_inside_of_a_document_poisons_it_and_no_other() {
        let ((document, text), (other, other_text)) = (make(), make());
        let content = syncline_string::borrowed("x");
        let status = guard!(|caller| {
            caller
                .object(document)?
                .edit(|_| -> Result<(), Error> { panic!("on demand") })?;
            Ok(SYNCLINE_OK)
        });
        assert_eq!(status, SYNCLINE_ERROR_INTERNAL);
        // SAFETY: the handles live until they are freed here, once.
        unsafe {
            assert_eq!(
                syncline_text_insert(text, 0, content),
                SYNCLINE_ERROR_POISONED
            );
            assert_eq!(syncline_text_length(text), 0);
            assert_eq!(syncline_document_close(document), SYNCLINE_ERROR_POISONED);
            assert_eq!(syncline_text_insert(other_text, 0, content), SYNCLINE_OK);
            syncline_text_free(text);
            syncline_document_free(document);
            syncline_text_free(other_text);
            syncline_document_free(other);
        }
    }

    #[test]
    fn closing_reaches_everybody_who_opened_the_same_document() {
        let document = Document::new(DocumentOptions::default());
        let shared = SharedDocument::new(document, std::time::Duration::from_secs(1));
        let first = DocumentCore::new(shared.clone(), TextUnit::Utf16, None);
        let second = DocumentCore::new(shared, TextUnit::Utf8, None);
        first.close().unwrap();
        assert!(second.is_closed().unwrap());
        assert_eq!(
            second.edit(|_| Ok(())).unwrap_err().status,
            SYNCLINE_ERROR_CLOSED
        );
    }
}
