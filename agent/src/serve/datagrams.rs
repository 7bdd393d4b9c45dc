//! Datagrams as a stream of bytes: each behind its length, a number of two bytes, the higher first.

use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use wire_deploy_agent::host::Problem;

use super::tunnel::{Directions, Writer};

/// How soon whoever listens notices that nobody wants to hear any more.
const WAKE: Duration = Duration::from_millis(200);
/// Bytes of a length.
const LENGTH: usize = 2;

/// What an address sends.
struct Heard {
    socket: UdpSocket,
    over: Arc<AtomicBool>,
    /// What of the last datagram has not been read yet.
    rest: Vec<u8>,
}

/// What an address is sent.
struct Said {
    socket: UdpSocket,
    over: Arc<AtomicBool>,
    /// The beginning of a datagram.
    begun: Vec<u8>,
}

/// Datagrams to and from an address, and no other.
///
/// # Errors
/// When there is no way there.
pub fn connect(address: SocketAddr) -> Result<Directions, Problem> {
    let own: IpAddr = if address.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let sockets = UdpSocket::bind((own, 0)).and_then(|socket| {
        socket.connect(address)?;
        socket.set_read_timeout(Some(WAKE))?;
        Ok((socket.try_clone()?, socket))
    });
    let (heard, said) = sockets.map_err(|error| Problem::new(format!("cannot reach {address}: {error}")))?;
    let over = Arc::new(AtomicBool::new(false));
    let heard = Heard { socket: heard, over: Arc::clone(&over), rest: Vec::new() };
    Ok((Box::new(heard), Box::new(Said { socket: said, over, begun: Vec::new() })))
}

impl Read for Heard {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.rest.is_empty() {
            if self.over.load(Ordering::Relaxed) {
                return Ok(0);
            }
            let mut datagram = vec![0; LENGTH + usize::from(u16::MAX)];
            match self.socket.recv(&mut datagram[LENGTH..]) {
                Ok(length) => {
                    datagram.truncate(LENGTH + length);
                    let length = u16::try_from(length).map_err(io::Error::other)?;
                    datagram[..LENGTH].copy_from_slice(&length.to_be_bytes());
                    self.rest = datagram;
                }
                Err(error) if is_nothing_yet(&error) => {}
                Err(error) => return Err(error),
            }
        }
        let length = self.rest.len().min(buffer.len());
        buffer[..length].copy_from_slice(&self.rest[..length]);
        self.rest.drain(..length);
        Ok(length)
    }
}

/// Nothing came, or the last that was said met nobody, which is no end: the next may.
fn is_nothing_yet(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::WouldBlock
            | io::ErrorKind::TimedOut
            | io::ErrorKind::Interrupted
            | io::ErrorKind::ConnectionRefused
    )
}

impl Write for Said {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.begun.extend_from_slice(bytes);
        while let Some((length, rest)) = self.begun.split_first_chunk::<LENGTH>() {
            let length = usize::from(u16::from_be_bytes(*length));
            let Some(datagram) = rest.get(..length) else { break };
            match self.socket.send(datagram) {
                Err(error) if !is_nothing_yet(&error) => return Err(error),
                _ => {}
            }
            self.begun.drain(..LENGTH + length);
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Writer for Said {
    fn end(&self) -> io::Result<()> {
        self.close();
        Ok(())
    }

    fn close(&self) {
        self.over.store(true, Ordering::Relaxed);
    }
}
