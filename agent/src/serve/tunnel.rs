//! TCP connections that the agent opens for the other end.

use std::io::{self, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use wire_deploy_agent::host::Problem;
use wire_deploy_agent::protocol::{Frame, Response};

use super::exchanges::{Exchange, Inbound};
use super::{STACK, Session};

/// How long a connection may take to come about.
const CONNECT: Duration = Duration::from_secs(10);

/// Opens the connection, answers, and carries bytes both ways until both ends have said that they have no more.
pub fn run(session: &Arc<Session>, id: u32, address: SocketAddr, exchange: &Arc<Exchange>) {
    let connected = TcpStream::connect_timeout(&address, CONNECT)
        .and_then(|stream| stream.set_nodelay(true).and_then(|()| stream.try_clone()).map(|reader| (reader, stream)));
    let (reader, writer) = match connected {
        Ok(streams) => streams,
        Err(error) => {
            session.exchanges.remove(id, exchange);
            let problem = Problem::new(format!("cannot connect to {address}: {error}"));
            return session.out.respond(id, &Response::Error(problem.into_failure(None)));
        }
    };
    session.out.respond(id, &Response::Ok);
    let (shared, outward) = (Arc::clone(session), Arc::clone(exchange));
    let back = thread::Builder::new().stack_size(STACK).spawn(move || {
        if send(&shared, id, reader, &outward).is_err() {
            shared.out.send(Frame::reset(id));
            shared.exchanges.remove(id, &outward);
        }
    });
    let forth = receive(session, id, &writer, exchange);
    if forth.is_err() || back.is_err() {
        session.exchanges.remove(id, exchange);
        exchange.outgoing.close();
        // Wakes the other direction.
        let _ = writer.shutdown(Shutdown::Both);
        session.out.send(Frame::reset(id));
    }
    if let Ok(back) = back {
        let _ = back.join();
    }
    session.exchanges.remove(id, exchange);
}

/// From the socket to the other end, no more than it has granted.
fn send(session: &Session, id: u32, mut stream: TcpStream, exchange: &Exchange) -> io::Result<()> {
    let mut buffer = Vec::new();
    while let Some(available) = exchange.outgoing.wait() {
        buffer.resize(available, 0);
        match stream.read(&mut buffer) {
            Ok(0) => {
                // After a reset there is nothing left to end.
                if exchange.outgoing.wait().is_some() {
                    session.out.send(Frame::end(id));
                }
                break;
            }
            Ok(length) => {
                exchange.outgoing.sent(length);
                session.out.send(Frame::data(id, buffer[..length].to_vec()));
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// From the other end to the socket.
fn receive(session: &Session, id: u32, mut stream: &TcpStream, exchange: &Exchange) -> io::Result<()> {
    loop {
        match exchange.next() {
            Some(Inbound::Data(bytes)) => {
                stream.write_all(&bytes)?;
                if let Some(credit) = session.exchanges.consumed(id, bytes.len()) {
                    session.out.send(Frame::credit(id, credit));
                }
            }
            Some(Inbound::End) => {
                return match stream.shutdown(Shutdown::Write) {
                    Err(error) if error.kind() != io::ErrorKind::NotConnected => Err(error),
                    _ => Ok(()),
                };
            }
            Some(Inbound::Reset) | None => {
                let _ = stream.shutdown(Shutdown::Both);
                return Ok(());
            }
        }
    }
}
