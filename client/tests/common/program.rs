//! The program itself.

use std::{
    io::{BufRead, BufReader},
    process::{Child, Command, Stdio},
    sync::mpsc::{Receiver, RecvTimeoutError::Disconnected, channel},
    thread,
};

use super::PATIENCE;

/// The program, killed when a test fails half-way.
pub struct Program {
    child: Child,
    log: Receiver<String>,
}

impl Program {
    pub fn start(backend: &str, args: &[&str]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_breakwater-client"));
        command.args(["--backend-url", backend, "--listen", "127.0.0.1:0", "--interval", "50ms"]);
        command.args(["--deadline", "10s", "--attempt-timeout", "5s", "--open-for", "200ms"]);
        let mut child = command.args(args).stdout(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
        let (sender, log) = channel();
        thread::spawn(move || lines.for_each(|line| drop(sender.send(line))));
        Self { child, log }
    }

    /// Reads the log up to a line with `text`; gives all on the way. At a line each 50 ms, 400 are twenty seconds.
    pub fn until(&mut self, text: &str) -> Vec<String> {
        let mut lines = Vec::new();
        loop {
            match self.log.recv_timeout(PATIENCE) {
                Ok(line) if lines.len() < 400 => lines.push(line),
                said => panic!("no {text:?} ({said:?}) in {lines:#?}"),
            }
            if lines.last().unwrap().contains(text) {
                return lines;
            }
        }
    }

    pub fn terminate(&mut self) -> Option<i32> {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
        while self.log.recv_timeout(PATIENCE).map_err(|error| assert_eq!(error, Disconnected, "it ends")).is_ok() {}
        self.child.wait().unwrap().code()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
    }
}
