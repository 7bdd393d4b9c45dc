//! Connections that the agent opens for the other end, and bytes that it carries both ways.

use std::io;
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

/// Where what the other end says goes to.
pub trait Writer: io::Write {
    /// Nothing more is said; what is heard still counts.
    ///
    /// # Errors
    /// When that cannot be said.
    fn end(&self) -> io::Result<()>;
    /// All is over, and whoever waits for something to be heard is woken.
    fn close(&self);
}

impl Writer for TcpStream {
    fn end(&self) -> io::Result<()> {
        match self.shutdown(Shutdown::Write) {
            Err(error) if error.kind() != io::ErrorKind::NotConnected => Err(error),
            _ => Ok(()),
        }
    }

    fn close(&self) {
        let _ = self.shutdown(Shutdown::Both);
    }
}

/// A connection's two directions: what is heard, and what is said.
pub type Directions = (Box<dyn io::Read + Send>, Box<dyn Writer>);

/// A TCP connection.
///
/// # Errors
/// When it does not come about.
pub fn connect(address: SocketAddr) -> Result<Directions, Problem> {
    let stream = TcpStream::connect_timeout(&address, CONNECT);
    let both = stream.and_then(|stream| stream.set_nodelay(true).and_then(|()| Ok((stream.try_clone()?, stream))));
    let (reader, writer) = both.map_err(|error| Problem::new(format!("cannot connect to {address}: {error}")))?;
    Ok((Box::new(reader), Box::new(writer)))
}

/// Answers whether there is a connection, and carries bytes both ways until both ends have said that they have no more.
pub fn run(session: &Arc<Session>, id: u32, connected: Result<Directions, Problem>, exchange: &Arc<Exchange>) {
    let (reader, mut writer) = match connected {
        Ok(directions) => directions,
        Err(problem) => {
            session.exchanges.remove(id, exchange);
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
    let forth = receive(session, id, writer.as_mut(), exchange);
    if forth.is_err() || back.is_err() {
        session.exchanges.remove(id, exchange);
        exchange.outgoing.close();
        // Wakes the other direction.
        writer.close();
        session.out.send(Frame::reset(id));
    }
    if let Ok(back) = back {
        let _ = back.join();
    }
    session.exchanges.remove(id, exchange);
}

/// From the socket to the other end, no more than it has granted.
fn send(session: &Session, id: u32, mut reader: Box<dyn io::Read + Send>, exchange: &Exchange) -> io::Result<()> {
    let mut buffer = Vec::new();
    while let Some(available) = exchange.outgoing.wait() {
        buffer.resize(available, 0);
        match reader.read(&mut buffer) {
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
fn receive(session: &Session, id: u32, writer: &mut dyn Writer, exchange: &Exchange) -> io::Result<()> {
    loop {
        match exchange.next() {
            Some(Inbound::Data(bytes)) => {
                writer.write_all(&bytes)?;
                if let Some(credit) = session.exchanges.consumed(id, bytes.len()) {
                    session.out.send(Frame::credit(id, credit));
                }
            }
            Some(Inbound::End) => return writer.end(),
            Some(Inbound::Reset) | None => {
                writer.close();
                return Ok(());
            }
        }
    }
}
