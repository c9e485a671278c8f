//! Deliberate defects, for the fault tests to find: the proof that those bite.
//!
//! They are there with the feature `sabotage` alone, which only the fault tests turn on, and which no release builds with.

/// Something that an operator might do wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Defect {
    /// What is written down and not done yet is forgotten, and others are chosen: kills by chance, kept in memory.
    ChooseAgain,
    /// A pod is known by its name, so one that is reborn under it is the same.
    NamesForUids,
    /// Whoever stands in the status is killed, without a look at selector and exemptions.
    TrustedStatus,
    /// Right before a kill the experiment is read again, and not heeded.
    OldPermission,
    /// Every missed start of a schedule is made up for, one after the other.
    CatchUpBurst,
}

#[cfg(feature = "sabotage")]
thread_local! {
    static DONE: std::cell::Cell<Option<Defect>> = const { std::cell::Cell::new(None) };
}

/// From now on operators on this thread have this defect, or none.
#[cfg(feature = "sabotage")]
pub fn sabotage(defect: Option<Defect>) {
    DONE.set(defect);
}

#[cfg(feature = "sabotage")]
pub(crate) fn has(defect: Defect) -> bool {
    DONE.get() == Some(defect)
}

#[cfg(not(feature = "sabotage"))]
pub(crate) const fn has(_: Defect) -> bool {
    false
}
