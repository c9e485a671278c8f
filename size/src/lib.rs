//! The operator by the thousand: its real program against a real API server, with pods that nothing schedules or runs and clients that
//! are tasks of one process. [`on_an_island`] gives a network of its own, [`ControlPlane`] a cluster without nodes, [`Town`] those who
//! live in it, [`Operator`] the program, and [`run`] what came of it.

pub mod audit;
mod clients;
mod control_plane;
mod island;
mod operator;
pub mod peer;
mod program;
pub mod run;
mod town;
pub mod wait;

pub use control_plane::{ControlPlane, NEIGHBOUR, OPERATOR};
pub use island::on_an_island;
pub use operator::{LISTEN, Operator, Taken};
pub use town::{Killed, Plan, Town, ensure_passed};

/// The label that lets experiments into a namespace.
pub const OPT_IN: (&str, &str) = ("chaos.breakwater.dev/experiments", "allowed");
