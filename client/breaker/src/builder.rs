//! How a breaker is made.

use std::fmt;

use uuid::Uuid;

use crate::{
    breaker::{Breaker, Listener},
    clock::Clock,
    settings::Settings,
    system::{SystemClock, new_epoch},
    wire::Transition,
};

/// A breaker to be, from [`Breaker::builder`].
///
/// ```
/// use std::sync::mpsc;
/// use breakwater_breaker::{Breaker, Policy, Settings, State};
///
/// let (sender, told) = mpsc::channel();
/// let breaker = Breaker::builder("backend")
///     .settings(Settings::default().with_policy(Policy::consecutive_failures(5)))
///     .listener(move |transition| sender.send((transition.seq, transition.to)).unwrap())
///     .build();
/// for _ in 0..5 {
///     breaker.try_acquire().unwrap().failure("connect");
/// }
/// assert_eq!(told.try_iter().collect::<Vec<_>>(), [(1, State::Closed), (2, State::Open)]);
/// ```
#[must_use = "it is no breaker before `build`"]
pub struct Builder {
    name: String,
    settings: Settings,
    epoch: Option<Uuid>,
    clock: Option<Box<dyn Clock>>,
    listeners: Vec<Listener>,
}

impl Breaker {
    /// A closed breaker with the clocks of the system.
    pub fn new(name: impl Into<String>, settings: Settings) -> Self {
        Self::builder(name).settings(settings).build()
    }

    /// Makes a breaker of that name.
    pub fn builder(name: impl Into<String>) -> Builder {
        Builder { name: name.into(), settings: Settings::default(), epoch: None, clock: None, listeners: Vec::new() }
    }
}

impl Builder {
    /// How it behaves; see [`Settings::default`].
    pub fn settings(self, settings: Settings) -> Self {
        Self { settings, ..self }
    }

    /// The epoch of its cursors: the process's, drawn anew at each start. By default one of its own. The jitter of its
    /// open times is drawn from it, and from the name.
    pub fn epoch(self, epoch: Uuid) -> Self {
        Self { epoch: Some(epoch), ..self }
    }

    /// Where it takes the time from. By default the clocks of the system, the monotonic one from now on.
    pub fn clock(self, clock: impl Clock + 'static) -> Self {
        Self { clock: Some(Box::new(clock)), ..self }
    }

    /// Tells `listener` each transition, beginning with the start.
    ///
    /// It is told after the lock is released, so it may use the breaker; two threads that change the state
    /// shortly one after the other may tell it in the wrong order, which the sequence numbers show.
    /// If it panics, so does the call that made the transition; nothing else is lost by it, and a trial is given back.
    pub fn listener(mut self, listener: impl Fn(&Transition) + Send + Sync + 'static) -> Self {
        self.listeners.push(Box::new(listener));
        self
    }

    /// The breaker, closed.
    pub fn build(self) -> Breaker {
        let Self { name, settings, epoch, clock, listeners } = self;
        let clock = clock.unwrap_or_else(|| Box::new(SystemClock::start()));
        Breaker::start(name, settings, epoch.unwrap_or_else(new_epoch), clock, listeners)
    }
}

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder").field("name", &self.name).field("settings", &self.settings).finish_non_exhaustive()
    }
}
