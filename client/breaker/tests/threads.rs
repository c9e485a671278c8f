//! The breaker under real threads.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use breakwater_breaker::{Breaker, OpenTime, Settings};

const CALLS: u64 = if cfg!(miri) { 300 } else { 20_000 };

/// Threads that call, fail, cancel and tick at once lose no call and no transition, and break no rule.
#[test]
fn threads_lose_nothing() {
    let heard = Arc::new(Mutex::new(Vec::new()));
    let breaker = Breaker::builder("backend")
        .settings(Settings::default().with_open_time(OpenTime::fixed(Duration::ZERO)))
        .listener({
            let heard = Arc::clone(&heard);
            move |transition| heard.lock().unwrap().push((transition.seq, transition.from, transition.to))
        })
        .build();
    let breaker = &breaker;
    std::thread::scope(|scope| {
        for caller in 0..4u64 {
            scope.spawn(move || {
                for call in 0..CALLS {
                    let Ok(permit) = breaker.try_acquire() else {
                        breaker.tick();
                        continue;
                    };
                    match (call * 7 + caller) % 11 {
                        0..7 => drop(permit.failure("x")),
                        7 => drop(permit),
                        _ => drop(permit.success()),
                    }
                }
            });
        }
    });

    let report =
        breaker.report(None, breakwater_breaker::Clock::now(&breakwater_breaker::SystemClock::start())).unwrap();
    let calls = report.calls;
    assert_eq!(calls.permitted + calls.not_permitted, 4 * CALLS);
    assert_eq!(calls.permitted, calls.success + calls.failure + calls.ignored);
    let mut heard = heard.lock().unwrap().clone();
    heard.sort_by_key(|(seq, ..)| *seq);
    assert!(heard.len() > 10, "the breaker moved: {heard:?}");
    assert_eq!(heard.len() as u64, report.transitions.last_seq);
    for (expected, pair) in (1..).zip(heard.windows(2)) {
        assert_eq!((pair[0].0, pair[1].0), (expected, expected + 1));
        assert_eq!(pair[1].1, Some(pair[0].2), "each transition begins where the last one ended");
    }
}
