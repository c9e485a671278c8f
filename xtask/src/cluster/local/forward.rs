//! A loopback port on the host that leads to the API server: the listener was bound outside of the network namespace and
//! is handed over as standard input, while this process is inside, where it dials.

use std::io;
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::thread;

use anyhow::{Context, Result};

/// The name under which the process is found.
pub const NAME: &str = "api-forward";

/// Forwards every connection, until the process is stopped.
pub fn serve(to: SocketAddr) -> Result<()> {
    let listener = TcpListener::from(io::stdin().as_fd().try_clone_to_owned()?);
    listener.local_addr().context("standard input is no listening socket: `cargo cluster up` starts this")?;
    loop {
        match listener.accept() {
            Ok((client, _)) => {
                thread::spawn(move || {
                    if let Err(error) = forward(client, to) {
                        eprintln!("{error:#}");
                    }
                });
            }
            Err(error) => eprintln!("cannot accept: {error}"),
        }
    }
}

fn forward(client: TcpStream, to: SocketAddr) -> Result<()> {
    let server = TcpStream::connect(to).with_context(|| format!("cannot reach {to}"))?;
    let (from_client, to_server) = (client.try_clone()?, server.try_clone()?);
    let up = thread::spawn(move || copy(from_client, to_server));
    copy(server, client);
    up.join().ok();
    Ok(())
}

/// Copies until one side ends, and hands the end on. Either side may break off at any time: that is no error here.
fn copy(mut from: TcpStream, mut to: TcpStream) {
    let _ended = io::copy(&mut from, &mut to);
    let _gone = to.shutdown(Shutdown::Write);
    let _gone = from.shutdown(Shutdown::Read);
}
