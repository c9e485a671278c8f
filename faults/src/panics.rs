//! Panics of a run's tasks, which their runtime keeps to itself.

use std::{cell::RefCell, panic, sync::Once};

thread_local! {
    /// A run stays on its thread.
    static SEEN: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
}

/// From now on panics are noted, besides being told as before.
pub fn heed() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let tell = panic::take_hook();
        panic::set_hook(Box::new(move |panic| {
            SEEN.with_borrow_mut(|seen| seen.push(panic.to_string()));
            tell(panic);
        }));
    });
}

/// Those of this thread since this was last asked.
pub fn taken() -> Vec<String> {
    SEEN.take()
}
