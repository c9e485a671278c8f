//! A naive breaker: it keeps all that ever happened in lists, and derives everything from them.

use breakwater_breaker::{Policy, Rates, Settings, State, Window, wire::WindowCounts};

/// Times are in milliseconds.
pub struct Reference {
    settings: Settings,
    /// Each state with the time it began, and whether it was forced.
    pub states: Vec<(State, u64, bool)>,
    /// Each result that counted: in which state, when, and how.
    pub counted: Vec<Counted>,
    /// Each call in flight.
    in_flight: Vec<Flight>,
    /// Each beginning and end of a call: in which state the call began, when this was, and whether it is a beginning.
    flights: Vec<(usize, u64, bool)>,
    pub permitted: u64,
    pub refused: u64,
    pub ignored: u64,
}

pub struct Counted {
    state: usize,
    at: u64,
    pub failed: bool,
    pub slow: bool,
}

struct Flight {
    state: usize,
    since: u64,
}

impl Reference {
    pub fn new(settings: Settings) -> Self {
        Self {
            settings,
            states: vec![(State::Closed, 0, false)],
            counted: vec![],
            in_flight: vec![],
            flights: vec![],
            permitted: 0,
            refused: 0,
            ignored: 0,
        }
    }

    pub fn state(&self) -> State {
        self.states.last().unwrap().0
    }

    /// Which state it is in, counted from the start.
    fn current(&self) -> usize {
        self.states.len()
    }

    /// Failures after the last success; those before the breaker closed are forgiven.
    pub fn failures_in_a_row(&self) -> usize {
        let closed = self.states.iter().rposition(|(state, ..)| *state == State::Closed).unwrap() + 1;
        // What a disabled breaker's calls did is not looked at.
        let looked_at = |call: &&Counted| self.states[call.state - 1].0 != State::Disabled;
        self.counted.iter().filter(looked_at).rev().take_while(|call| call.failed && call.state >= closed).count()
    }

    pub fn acquire(&mut self, now: u64) -> bool {
        self.elapse(now);
        let permitted = match self.state() {
            State::Closed | State::Disabled => true,
            State::Open | State::ForcedOpen => false,
            State::HalfOpen => {
                let in_flight = self.in_flight.iter().filter(|call| call.state == self.current()).count();
                in_flight + self.of_this_state().count() < self.settings.half_open.calls.get().into()
            }
        };
        if permitted {
            self.permitted += 1;
            self.flights.push((self.current(), now, true));
            self.in_flight.push(Flight { state: self.current(), since: now });
        } else {
            self.refused += 1;
        }
        permitted
    }

    /// A call ended: with `failed`, or without a result.
    pub fn finish(&mut self, call: usize, failed: Option<bool>, now: u64) {
        if failed.is_some() {
            self.elapse(now);
        }
        let Flight { state, since } = self.in_flight.remove(call);
        self.flights.push((state, now, false));
        let Some(failed) = failed.filter(|_| state == self.current()) else {
            self.ignored += 1;
            return;
        };
        let longer_than = self.settings.slow_calls().map(|slow| slow.longer_than.as_millis() as u64);
        let slow = longer_than.is_some_and(|limit| now - since > limit);
        self.counted.push(Counted { state, at: now, failed, slow });
        match self.state() {
            State::Closed if self.opens(now) => self.enter(State::Open, now),
            State::HalfOpen if self.trials_are_bad(0) => self.enter(State::Open, now),
            State::HalfOpen => {
                let to_come = usize::from(self.settings.half_open.calls.get()) - self.of_this_state().count();
                if !self.trials_are_bad(to_come) {
                    self.enter(State::Closed, now);
                }
            }
            _ => {}
        }
    }

    /// Time alone changes the state.
    pub fn elapse(&mut self, now: u64) {
        let (state, since, _) = *self.states.last().unwrap();
        let open_time = self.settings.open_time.nth(self.reopenings(), 0).as_millis() as u64;
        let wait = self.settings.half_open.wait.map(|wait| wait.as_millis() as u64);
        if state == State::Open && now >= since + open_time {
            self.enter(State::HalfOpen, now);
        } else if state == State::HalfOpen
            && let (Some(wait), Some(since)) = (wait, self.in_flight_since())
            && now >= since + wait
        {
            self.enter(State::Open, now);
        }
    }

    pub fn force(&mut self, state: State, now: u64) {
        if state != self.state() {
            self.states.push((state, now, true));
        }
    }

    fn enter(&mut self, state: State, now: u64) {
        self.states.push((state, now, false));
    }

    /// The calls of this closed state that the window reaches, and how many of them are enough to judge by.
    fn window(&self, rates: &Rates, now: u64) -> (Vec<&Counted>, usize) {
        let calls: Vec<_> = self.of_this_state().collect();
        let minimum = rates.minimum_calls.get() as usize;
        match rates.window {
            Window::Calls(size) => {
                let size = usize::from(size.get());
                (calls[calls.len().saturating_sub(size)..].to_vec(), minimum.min(size))
            }
            Window::Time(length) => {
                let slice = |at: u64| u128::from(at) * 1_000_000 / (length.as_nanos() / 10).max(1);
                (calls.into_iter().filter(|call| slice(call.at) + 10 > slice(now)).collect(), minimum)
            }
        }
    }

    /// What is told of the window of a closed breaker.
    pub fn window_counts(&self, now: u64) -> Option<WindowCounts> {
        let Policy::Rates(rates) = self.settings.policy else { return None };
        let (window, _) = self.window(&rates, now);
        let count = |wanted: fn(&Counted) -> bool| window.iter().filter(|call| wanted(call)).count() as u64;
        Some(WindowCounts {
            calls: count(|_| true),
            failures: count(|call| call.failed),
            slow: count(|call| call.slow),
        })
    }

    /// Whether the calls of this closed state are too bad.
    fn opens(&self, now: u64) -> bool {
        let rates = match self.settings.policy {
            Policy::ConsecutiveFailures(threshold) => return self.failures_in_a_row() as u64 >= threshold.get(),
            Policy::Rates(rates) => rates,
        };
        let (window, enough) = self.window(&rates, now);
        let too_many = |bad: usize, percent: u8| 100 * bad >= usize::from(percent) * window.len();
        window.len() >= enough
            && (too_many(window.iter().filter(|call| call.failed).count(), rates.failure_rate.get())
                || rates
                    .slow_calls
                    .is_some_and(|slow| too_many(window.iter().filter(|call| call.slow).count(), slow.rate.get())))
    }

    /// Whether the trials of this half-open state are too bad, if `more` that are to come are bad, too.
    fn trials_are_bad(&self, more: usize) -> bool {
        let failed = more + self.of_this_state().filter(|call| call.failed).count();
        let slow = more + self.of_this_state().filter(|call| call.slow).count();
        match self.settings.policy {
            Policy::ConsecutiveFailures(_) => failed > 0,
            Policy::Rates(rates) => {
                let too_many = |bad: usize, percent: u8| {
                    100 * bad >= usize::from(percent) * usize::from(self.settings.half_open.calls.get())
                };
                too_many(failed, rates.failure_rate.get())
                    || rates.slow_calls.is_some_and(|limit| too_many(slow, limit.rate.get()))
            }
        }
    }

    /// How often in a row trials opened it, up to now.
    fn reopenings(&self) -> u32 {
        let pairs: Vec<_> = self.states.windows(2).filter(|pair| pair[1].0 != State::Closed).collect();
        let by_trials = |pair: &&&[(State, u64, bool)]| pair[0].0 == State::HalfOpen && pair[1].0 == State::Open;
        let goes_on = |pair: &&&[(State, u64, bool)]| !pair[1].2 && pair[0].0 != State::Closed;
        pairs.iter().rev().take_while(goes_on).filter(by_trials).count() as u32
    }

    /// Since when there has always been a call of this state in flight.
    fn in_flight_since(&self) -> Option<u64> {
        let (mut since, mut in_flight) = (None, 0);
        for (_, at, begins) in self.flights.iter().filter(|flight| flight.0 == self.current()) {
            since = if in_flight == 0 { Some(*at) } else { since };
            in_flight = if *begins { in_flight + 1 } else { in_flight - 1 };
        }
        since.filter(|_| in_flight > 0)
    }

    fn of_this_state(&self) -> impl Iterator<Item = &Counted> {
        self.counted.iter().filter(|call| call.state == self.current())
    }
}
