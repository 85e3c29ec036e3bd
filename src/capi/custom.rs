//! Section 17, third part: handlers whose operations the application folds itself.
//!
//! A type is a set of hooks. They run under the document's lock, so a call back into the same
//! document is refused with IN_HOOK (see `hooks`). The state is a pointer that only the hooks
//! understand.

use super::clock::syncline_operation_id;
use super::document::syncline_document;
use super::error::{self, Error};
use super::guard::{OptionStruct, SizeFirst, guard};
use super::handle::{self, handle};
use super::handler::{HandlerRef, syncline_handler};
use super::hooks;
use super::queue::{subscribe, syncline_listener, syncline_subscription};
use super::types::*;
use crate::document::{
    CustomError, CustomHandler, CustomOperation, CustomType, HandlerKind, HandlerSpec,
};
use std::any::Any;
use std::ffi::c_void;
use std::ptr;
use std::sync::{Arc, OnceLock};

/// A handler whose operations the application folds.
pub struct syncline_custom(());

handle!(syncline_custom, HandlerRef, Custom);

/// An operation as a hook sees it; borrowed for the call.
#[repr(C)]
pub struct syncline_custom_operation {
    /// Size of the struct.
    pub struct_size: usize,
    /// Which change it is; NULL while its transaction is open.
    pub id: *const syncline_operation_id,
    /// As it was submitted.
    pub body: syncline_bytes,
    /// As it was submitted.
    pub kind: u8,
    /// Zero.
    pub reserved_1: [u8; 7],
}

/// Folds an operation into the state. What it does may depend on nothing but the operations and
/// their order: all peers must come to the same state. After a negative status the state must be
/// as before; the operation is skipped.
pub type syncline_custom_apply_fn = Option<
    unsafe extern "C" fn(
        user_data: *mut c_void,
        state: *mut c_void,
        operation: *const syncline_custom_operation,
    ) -> StatusArg,
>;

/// Makes a state from what the save hook wrote, here or on another peer. An empty snapshot stands
/// for the state before any operation. *out_state is written with OK only.
pub type syncline_custom_load_fn = Option<
    unsafe extern "C" fn(
        user_data: *mut c_void,
        snapshot: syncline_bytes,
        out_state: *mut *mut c_void,
    ) -> StatusArg,
>;

/// Writes the whole state; nothing stands for the state before any operation. Equal states should
/// give equal bytes. The buffer comes from syncline_buffer_new; the library frees it.
pub type syncline_custom_save_fn = Option<
    unsafe extern "C" fn(
        user_data: *mut c_void,
        state: *mut c_void,
        out_snapshot: *mut syncline_buffer,
    ) -> StatusArg,
>;

/// Gives a state back.
pub type syncline_custom_drop_fn =
    Option<unsafe extern "C" fn(user_data: *mut c_void, state: *mut c_void)>;

/// Looks at a state while it stays put.
pub type syncline_custom_read_fn =
    Option<unsafe extern "C" fn(user_data: *mut c_void, state: *const c_void)>;

/// A handler type written by the application. The hooks run under the document's lock, on the
/// thread that edits or imports: calls into the same document give IN_HOOK. A hook that fails
/// calls syncline_error_set and returns a negative status.
#[repr(C)]
pub struct syncline_custom_type {
    /// Set by SYNCLINE_OPTIONS.
    pub struct_size: usize,
    /// Wire tag; none of Dart's own.
    pub type_name: syncline_string,
    /// Folds an operation in.
    pub apply: syncline_custom_apply_fn,
    /// Makes a state, also as a copy of another that save wrote.
    pub load: syncline_custom_load_fn,
    /// Writes a state.
    pub save: syncline_custom_save_fn,
    /// Gives a state back, once; NULL if states need nothing.
    pub drop: syncline_custom_drop_fn,
    /// Given to the hooks.
    pub user_data: *mut c_void,
    /// Runs once, when the last handler of the type is gone; also when registering fails. A hook
    /// as the others.
    pub free_user_data: syncline_free_fn,
    /// Operations give the same state in any order: they are then applied as they come. If not, a
    /// handler is loaded and replayed from the last snapshot whenever a change arrives behind a
    /// younger one.
    pub order_independent: BoolArg,
    /// Zero.
    pub reserved_1: [u8; 7],
}

// SAFETY: repr(C), the first field is the size.
unsafe impl SizeFirst for syncline_custom_type {}
// SAFETY: integers and nullable pointers only.
unsafe impl OptionStruct for syncline_custom_type {}

type Apply =
    unsafe extern "C" fn(*mut c_void, *mut c_void, *const syncline_custom_operation) -> StatusArg;
type Load = unsafe extern "C" fn(*mut c_void, syncline_bytes, *mut *mut c_void) -> StatusArg;
type Save = unsafe extern "C" fn(*mut c_void, *mut c_void, *mut syncline_buffer) -> StatusArg;
type DropState = unsafe extern "C" fn(*mut c_void, *mut c_void);

/// The hooks of a type.
struct Hooks {
    apply: Apply,
    load: Load,
    save: Save,
    drop: Option<DropState>,
    is_order_independent: bool,
    /// Given back by `drop` below; Some until then.
    user: Option<UserData>,
}

impl Hooks {
    fn user_pointer(&self) -> *mut c_void {
        self.user
            .as_ref()
            .map_or(ptr::null_mut(), UserData::pointer)
    }

    /// Runs one hook; a negative status is a failure.
    fn run(&self, hook: impl FnOnce(*mut c_void) -> StatusArg) -> Result<(), CustomError> {
        let user = self.user_pointer();
        let (status, text) = error::collecting(|| hooks::run(|| hook(user)));
        if status >= 0 {
            return Ok(());
        }
        Err(CustomError(match text.as_str() {
            "" => format!("a hook gave {}", error::status_name(status)),
            _ => text,
        }))
    }

    fn load(self: &Arc<Self>, snapshot: &[u8]) -> Result<State, CustomError> {
        let mut pointer = ptr::null_mut();
        let snapshot = syncline_bytes::borrowed(snapshot);
        // SAFETY: the application gave this hook for this user data; the other arguments live for
        // the call.
        self.run(|user| unsafe { (self.load)(user, snapshot, &raw mut pointer) })?;
        Ok(State {
            pointer: UserPointer(pointer),
            of: self.clone(),
        })
    }
}

impl Drop for Hooks {
    fn drop(&mut self) {
        let user = self.user.take();
        hooks::run(|| drop(user));
    }
}

/// A state of the application; given back once, when this is dropped.
struct State {
    pointer: UserPointer,
    of: Arc<Hooks>,
}

impl Drop for State {
    fn drop(&mut self) {
        if let Some(drop_state) = self.of.drop {
            let user = self.of.user_pointer();
            // SAFETY: the load hook made this state for this user data, and nobody uses it again.
            hooks::run(|| unsafe {
                drop_state(user, self.pointer.0);
            });
        }
    }
}

/// One handler of a type. Its state is made when it is needed first, because making it can fail.
struct Folded {
    of: Arc<Hooks>,
    state: OnceLock<State>,
}

impl Folded {
    fn state(&self) -> Result<*mut c_void, CustomError> {
        if self.state.get().is_none() {
            // Only the holder of the document's lock gets here, so nobody else sets it meanwhile.
            let _ = self.state.set(self.of.load(&[])?);
        }
        let state = self.state.get().expect("it was just set");
        Ok(state.pointer.0)
    }
}

impl CustomType for Arc<Hooks> {
    fn new_state(&self) -> Box<dyn CustomHandler> {
        Box::new(Folded {
            of: self.clone(),
            state: OnceLock::new(),
        })
    }

    fn is_order_independent(&self) -> bool {
        self.is_order_independent
    }
}

impl CustomHandler for Folded {
    fn apply(&mut self, operation: &CustomOperation<'_>) -> Result<(), CustomError> {
        let id = operation.id.map(syncline_operation_id::from);
        let given = syncline_custom_operation {
            struct_size: size_of::<syncline_custom_operation>(),
            id: id.as_ref().map_or(ptr::null(), ptr::from_ref),
            body: syncline_bytes::borrowed(operation.body),
            kind: operation.kind,
            reserved_1: [0; 7],
        };
        let state = self.state()?;
        let hooks = &self.of;
        // SAFETY: as in `load`; the state is one of its.
        hooks.run(|user| unsafe { (hooks.apply)(user, state, &raw const given) })
    }

    fn load(&mut self, snapshot: &[u8]) -> Result<(), CustomError> {
        self.state = OnceLock::from(self.of.load(snapshot)?);
        Ok(())
    }

    fn save(&self) -> Result<Vec<u8>, CustomError> {
        let state = self.state()?;
        let mut buffer = syncline_buffer::EMPTY;
        let hooks = &self.of;
        // SAFETY: as in `apply`.
        let saved = hooks.run(|user| unsafe { (hooks.save)(user, state, &raw mut buffer) });
        // What a hook wrote before it failed is freed, too.
        let bytes = buffer.into_vec();
        saved.map(|()| bytes)
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

/// Registers a type of the application's own for syncline_document_get_custom, and for handlers
/// that changes and references name. Registering a name again changes what is made from then on.
///
/// @param type  apply, load and save must be set
/// @return INVALID_ARGUMENT for an empty name or one of Dart's
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syncline_document_register_custom_type(
    document: *mut syncline_document,
    r#type: *const syncline_custom_type,
) -> syncline_status {
    guard!(|caller| {
        caller.read(r#type, "type")?;
        let given = caller.sized(r#type, "type")?;
        // From here on the user data is ours, whatever happens.
        let user = UserData::new(given.user_data, given.free_user_data);
        let core = caller.object(document)?;
        let (Some(apply), Some(load), Some(save)) = (given.apply, given.load, given.save) else {
            return Err(Error::argument("the type has no apply, load or save"));
        };
        let tag = caller.text(given.type_name, "type_name")?;
        if tag.is_empty() || HandlerKind::of_tag(tag).is_some() {
            return Err(Error::argument("the type needs a name of its own"));
        }
        let hooks = Arc::new(Hooks {
            apply,
            load,
            save,
            drop: given.drop,
            is_order_independent: given.order_independent != 0,
            user: Some(user),
        });
        core.edit(|d| Ok(d.register_custom_type(tag, Arc::new(hooks))?))?;
        Ok(SYNCLINE_OK)
    })
}

/// The custom handler with this id, made if it is not there.
///
/// @param type_name   as registered with syncline_document_register_custom_type
/// @param out_custom  free it with syncline_custom_free
/// @return INVALID_ARGUMENT if the type is not registered; TYPE_MISMATCH if the id is in use with
///         another type
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syncline_document_get_custom(
    document: *mut syncline_document,
    id: syncline_string,
    type_name: syncline_string,
    out_custom: *mut *mut syncline_custom,
) -> syncline_status {
    guard!(|caller| {
        let out = caller.out(out_custom, "out_custom")?;
        let core = caller.object(document)?;
        let spec = HandlerSpec {
            type_tag: caller.text(type_name, "type_name")?.to_owned(),
            ..HandlerSpec::new(HandlerKind::Custom)
        };
        out.give_handle(core.handler(caller.text(id, "id")?, &spec)?)
    })
}

/// Gives a handle back.
///
/// @param custom  NULL is allowed
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syncline_custom_free(custom: *mut syncline_custom) {
    // SAFETY: the caller gives this handle up.
    unsafe { handle::free(custom) }
}

/// One more handle to the same custom handler.
///
/// @return NULL for NULL
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syncline_custom_retain(
    custom: *mut syncline_custom,
) -> *mut syncline_custom {
    // SAFETY: the caller keeps the promise of the header.
    unsafe { handle::retain(custom) }
}

/// The same custom handler as a handler.
///
/// @param out_handler  free it with syncline_handler_free
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syncline_custom_as_handler(
    custom: *mut syncline_custom,
    out_handler: *mut *mut syncline_handler,
) -> syncline_status {
    guard!(|caller| {
        let out = caller.out(out_handler, "out_handler")?;
        out.give_handle(caller.object(custom)?.clone())
    })
}

/// Asks for CHANGE events (key "" with what the save hook wrote before and after) and CLOSED of
/// this custom handler. While anybody listens, the save hook runs for every change.
///
/// @param listener          who is told
/// @param out_subscription  free it with syncline_subscription_free to end it
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syncline_custom_subscribe(
    custom: *mut syncline_custom,
    listener: *const syncline_listener,
    out_subscription: *mut *mut syncline_subscription,
) -> syncline_status {
    guard!(
        |caller| subscribe(caller, listener, out_subscription, |subscription| {
            caller.object(custom)?.subscribe(subscription)
        })
    )
}

/// Makes an operation: it becomes a change, and the apply hook folds it in before this returns.
/// If the hook refuses it, it is a change all the same, which every peer skips as this one does.
///
/// @param operation_kind  any number; the hooks know what it means
/// @param body            any bytes
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syncline_custom_submit(
    custom: *mut syncline_custom,
    operation_kind: u8,
    body: syncline_bytes,
) -> syncline_status {
    guard!(|caller| {
        let custom = caller.object(custom)?;
        let body = caller.bytes(body, "body")?;
        custom.edit(|d, h| Ok(d.custom_submit(h, operation_kind, body)?))?;
        Ok(SYNCLINE_OK)
    })
}

/// Lends the state, with the open transaction, to `reader`. It stays put while the reader runs,
/// under the document's lock: calls into the same document give IN_HOOK.
///
/// @param reader     gets the state; returns normally, never by longjmp
/// @param user_data  given to it
/// @return CALLBACK if the load hook could not make a state
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syncline_custom_read(
    custom: *const syncline_custom,
    reader: syncline_custom_read_fn,
    user_data: *mut c_void,
) -> syncline_status {
    guard!(|caller| {
        // The reader may free the handle.
        let shell = caller.owned(custom)?;
        let custom = shell.inner();
        let reader = reader.ok_or_else(|| Error::argument("reader is NULL"))?;
        custom.read(|d, h| {
            let state = d.custom_state(h)?.as_any().downcast_ref::<Folded>();
            let folded = state.ok_or_else(|| {
                Error::new(
                    SYNCLINE_ERROR_TYPE_MISMATCH,
                    "the type was not registered through this interface",
                )
            })?;
            let state = folded
                .state()
                .map_err(|error| Error::new(SYNCLINE_ERROR_CALLBACK, error.0))?;
            // SAFETY: the caller gives this function for this user data; the state is one of the
            // hooks' and nothing changes it under the lock.
            hooks::run(|| unsafe {
                reader(user_data, state);
            });
            Ok(())
        })?;
        Ok(SYNCLINE_OK)
    })
}
