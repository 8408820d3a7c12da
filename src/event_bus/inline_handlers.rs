//! Handlers that run within `publish`, on the publishing thread.
#![cfg_attr(not(test), forbid(clippy::disallowed_types))] // Real-time: no lock, and nothing here can allow one.

use core::any::Any;
use std::sync::{Arc, OnceLock};

use super::event::Event;
use super::shared::Shared;

/// The most inline handlers of one publisher. The limit bounds the work within `publish`.
pub const MAX_INLINE_HANDLERS: usize = 8;

type InlineHandler = Box<dyn Fn(&dyn Any) + Send + Sync>;

/// A publisher's inline handlers; the used places come first. The dispatching side keeps a reference only so that it frees
/// them, and the audio thread does not.
pub(crate) struct InlineHandlers {
    handlers: [OnceLock<InlineHandler>; MAX_INLINE_HANDLERS],
    shared: Arc<Shared>,
}

impl InlineHandlers {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self {
            handlers: Default::default(),
            shared,
        }
    }

    /// Puts a handler into this place, which must be free. Returns false, and drops the handler, if there is no such place.
    pub(crate) fn set<E: Event>(
        &self,
        place: usize,
        handler: impl Fn(&E) + Send + Sync + 'static,
    ) -> bool {
        let Some(free) = self.handlers.get(place) else {
            self.shared.count_panics(|| drop(handler));
            return false;
        };
        free.get_or_init(|| {
            Box::new(move |event| {
                if let Some(event) = event.downcast_ref::<E>() {
                    handler(event);
                }
            })
        });
        true
    }

    /// Calls every handler with the event; each ignores events of other types.
    pub(crate) fn run(&self, event: &dyn Any) {
        for handler in self.handlers.iter().map_while(OnceLock::get) {
            self.shared.count_panics(|| handler(event));
        }
    }
}

impl Drop for InlineHandlers {
    fn drop(&mut self) {
        for handler in self.handlers.iter_mut().filter_map(OnceLock::take) {
            self.shared.count_panics(|| drop(handler));
        }
    }
}
