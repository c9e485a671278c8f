//! The program itself.
#![allow(dead_code, reason = "each test binary uses a part")]

use std::{
    io::{BufRead, BufReader, Lines},
    process::{Child, ChildStdout, Command, Stdio},
};

/// The program on loopback, killed when a test fails half-way.
pub struct Program {
    pub child: Child,
    pub log: Lines<BufReader<ChildStdout>>,
    address: String,
}

impl Program {
    /// Starts it, and waits until it listens.
    pub fn start(args: &[&str]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_breakwater-backend"));
        command.args(["--listen", "127.0.0.1:0", "--log-format", "json"]).args(args).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut log = BufReader::new(child.stdout.take().unwrap()).lines();
        let line: serde_json::Value = serde_json::from_str(&log.next().unwrap().unwrap()).unwrap();
        assert_eq!(line["message"], "listening");
        Self { child, log, address: line["address"].as_str().unwrap().to_owned() }
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
    }
}
