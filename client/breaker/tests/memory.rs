//! A closed breaker takes no memory for the calls that it lets through, whatever its policy; nor does an open one.
#![allow(unsafe_code, reason = "an allocator that counts has to be one")]

use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
    time::Duration,
};

use breakwater_breaker::{Breaker, OpenTime, Policy, Rates, Settings, SlowCalls, State, Window};

thread_local! {
    static TAKEN: Cell<u64> = const { Cell::new(0) };
}

/// Miri is slow.
const ROUNDS: usize = if cfg!(miri) { 10 } else { 1000 };

struct Counting;

// SAFETY: it is the system's allocator, which is asked with what was asked.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        TAKEN.set(TAKEN.get() + 1);
        // SAFETY: as above.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// How often memory is taken while this runs.
fn taken(run: impl FnOnce()) -> u64 {
    let before = TAKEN.get();
    run();
    TAKEN.get() - before
}

#[test]
fn calls_take_no_memory() {
    assert_eq!(taken(|| drop(Box::new(1))), 1, "the count counts");
    let rates = Rates::default();
    let window = Window::time(Duration::from_secs(1));
    for (name, policy) in [
        ("failures in a row", Policy::consecutive_failures(100_000)),
        ("window of calls", Policy::Rates(rates)),
        ("window of time", Policy::Rates(Rates { window, ..rates })),
        ("slow calls", Policy::Rates(Rates { slow_calls: Some(SlowCalls::default()), ..rates })),
    ] {
        let hour = OpenTime::fixed(Duration::from_secs(3600));
        let breaker = Breaker::new("backend", Settings::default().with_policy(policy).with_open_time(hour));
        // A thread's first call takes its lane.
        breaker.try_acquire().unwrap().success();
        let closed = taken(|| {
            for _ in 0..ROUNDS {
                breaker.try_acquire().unwrap().success();
                breaker.try_acquire().unwrap().success();
                breaker.try_acquire().unwrap().failure("timeout");
                drop(breaker.try_acquire().unwrap());
                breaker.call(|| Ok::<_, std::fmt::Error>(1)).unwrap();
            }
        });
        assert_eq!((closed, breaker.state()), (0, State::Closed), "{name}");

        breaker.force(State::Open, "test");
        let open = taken(|| (0..ROUNDS).for_each(|_| assert!(breaker.try_acquire().is_err())));
        assert_eq!(open, 0, "{name}");
    }
}
