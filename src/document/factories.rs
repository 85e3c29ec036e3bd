//! Types of handlers that the document may make by itself: when a change or a reference names
//! one (specification 8.10). Nothing is made of a type that nobody registered.

use super::Document;
use super::custom::CustomType;
use super::types::{DocumentError, HandlerIdx, HandlerKind, HandlerSpec, ValueCodec};
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

/// What stands behind a type tag.
#[derive(Clone)]
pub(super) struct Factory {
    kind: HandlerKind,
    codec: ValueCodec,
    /// For [`HandlerKind::Custom`].
    pub custom: Option<Arc<dyn CustomType>>,
}

impl fmt::Debug for Factory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} with {:?}", self.kind, self.codec)
    }
}

/// Factories by type tag.
pub(super) type Factories = BTreeMap<Box<str>, Factory>;

impl Document {
    /// Lets the document make handlers of a type whenever an imported change or a reference names
    /// one (crdt_lf's `registerFactory`). A tag that is registered again has the new meaning for
    /// handlers made from now on.
    ///
    /// # Errors
    /// `UnknownType` for custom kinds: see [`register_custom_type`](Self::register_custom_type).
    pub fn register_type(&mut self, spec: &HandlerSpec) -> Result<(), DocumentError> {
        let type_tag = spec.tag();
        if spec.kind == HandlerKind::Custom {
            return Err(DocumentError::UnknownType { type_tag });
        }
        let factory = Factory {
            kind: spec.kind,
            codec: spec.codec,
            custom: None,
        };
        self.factories.insert(type_tag.into(), factory);
        Ok(())
    }

    /// Registers the types whose tags carry no type arguments: the three containers and the two
    /// kinds of text.
    pub fn register_default_types(&mut self) {
        for kind in HandlerKind::ALL
            .into_iter()
            .filter(|kind| !kind.is_generic())
        {
            self.register_type(&HandlerSpec::new(kind))
                .expect("none of crdt_lf's kinds is custom");
        }
    }

    /// Registers a type of the application's own, for handlers of [`HandlerKind::Custom`] with this
    /// tag. Handlers that exist keep the type they were made with.
    ///
    /// # Errors
    /// `TypeMismatch` for an empty tag or one of a built-in kind.
    pub fn register_custom_type(
        &mut self,
        tag: &str,
        custom: Arc<dyn CustomType>,
    ) -> Result<(), DocumentError> {
        if tag.is_empty() || HandlerKind::of_tag(tag).is_some() {
            return Err(DocumentError::TypeMismatch);
        }
        let factory = Factory {
            kind: HandlerKind::Custom,
            codec: ValueCodec::default(),
            custom: Some(custom),
        };
        self.factories.insert(tag.into(), factory);
        Ok(())
    }

    /// What to make of a type tag, if it is registered.
    pub(super) fn spec_of_type(&self, tag: &str) -> Option<HandlerSpec> {
        let factory = self.factories.get(tag)?;
        Some(HandlerSpec {
            kind: factory.kind,
            codec: factory.codec,
            type_tag: tag.to_owned(),
        })
    }

    /// Makes the handler that the change stored last names, if its type is registered.
    pub(super) fn instantiate_stored(&mut self) -> Option<HandlerIdx> {
        if self.factories.is_empty() {
            return None;
        }
        let name = self.log.name_of(self.log.last_place()?);
        if name == super::log::NameIdx::NONE {
            return None;
        }
        let name = self.log.name(name);
        if self.find_handler(&name.id).is_some() {
            return None;
        }
        let spec = self.spec_of_type(&name.type_tag)?;
        let id = name.id.to_string();
        self.make_handler(&id, &spec, true).ok()
    }
}
