//! The whole of it on a real cluster, each test in a namespace of its own: `cargo e2e`.

mod check;
mod choosing;
mod crashes;
mod ends;
mod inconclusive;
mod keep_alive;
mod limits;
mod long;
mod outage;
mod protocol;
mod refused;
mod same;
mod timing;
