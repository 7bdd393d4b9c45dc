//! A TURN client (RFC 8656) over TCP, TLS or UDP: what a gate needs of it. The protocol itself is `turn-client-proto`'s.

use core::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use anyhow::{Context as _, bail};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha1::Sha1;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::{Instant, timeout, timeout_at};
use turn_client_proto::api::{DelayedMessageOrChannelSend, TurnConfig, TurnEvent, TurnPollRet, TurnRecvRet};
use turn_client_proto::client::TurnClient;
use turn_client_proto::prelude::*;
use turn_client_proto::stun::Instant as ProtocolInstant;
use turn_client_proto::stun::agent::Transmit;
use turn_client_proto::stun::types::TransportType;
use turn_client_proto::tcp::TurnClientTcp;
use turn_client_proto::types::TurnCredentials;
use turn_client_proto::udp::TurnClientUdp;

use crate::services::Stream;
use crate::site::secrets::SecretText;

/// Credentials that end by themselves, made from the secret that backend and servers share (draft-uberti-behave-turn-rest-00):
/// the name is the second (since the epoch) at which they end and whom they are for, `1800000000:alice`; the password is
/// base64(HMAC-SHA1(secret, name)).
pub struct Credentials {
    name: String,
    password: SecretText,
}

impl Credentials {
    /// For `user`, good until `ends` (seconds since the epoch).
    pub fn new(secret: &SecretText, user: &str, ends: i64) -> Self {
        let name = format!("{ends}:{user}");
        // HMAC takes keys of any length.
        let password = Hmac::<Sha1>::new_from_slice(secret.expose().as_bytes()).map(|mut mac| {
            mac.update(name.as_bytes());
            STANDARD.encode(mac.finalize().into_bytes())
        });
        Self { name, password: SecretText::new(password.unwrap_or_default()) }
    }
}

/// The server's answer to being asked for something that it may well refuse.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// Done.
    Granted,
    /// Not for this address.
    Refused,
}

/// What comes in whole through a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Carries {
    /// Bytes, as TCP and TLS do.
    Bytes,
    /// Datagrams, each behind its length, as [`crate::services::Network::datagrams`] does.
    Datagrams,
}

/// An allocation on a TURN server, held through one stream. Over TCP and TLS it ends with that; over UDP when it is given back or not asked for
/// any more.
pub struct Client<S> {
    stream: S,
    carries: Carries,
    /// What has come and is not whole yet.
    incoming: Vec<u8>,
    protocol: TurnClient,
    /// The protocol counts time from here.
    begun: std::time::Instant,
    /// Until when everything must be done.
    end: Instant,
    /// Where peers reach this client.
    pub relayed: SocketAddr,
    received: Vec<(SocketAddr, Vec<u8>)>,
}

/// How long a server that is taken leave of is waited for.
const LEAVE: Duration = Duration::from_secs(1);
/// An address for this end of the connection, which the agent holds: it only has to stay the same.
const OWN_ADDRESS: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 1);

impl<S: Stream> Client<S> {
    /// Asks the server at the other end of `stream` for a relayed UDP address.
    ///
    /// # Errors
    /// When it refuses, for the credentials or because it sends clients elsewhere, or all is not done within `patience`.
    pub async fn allocate(
        stream: S,
        carries: Carries,
        server: SocketAddr,
        credentials: &Credentials,
        patience: Duration,
    ) -> anyhow::Result<Self> {
        let mut config = TurnConfig::new(TurnCredentials::new(&credentials.name, credentials.password.expose()));
        if server.is_ipv6() {
            config.set_address_family(turn_client_proto::types::AddressFamily::IPV6);
        }
        let protocol = match carries {
            Carries::Bytes => TurnClientTcp::allocate(OWN_ADDRESS, server, config).into(),
            Carries::Datagrams => TurnClientUdp::allocate(OWN_ADDRESS, server, config).into(),
        };
        let (begun, end) = (std::time::Instant::now(), Instant::now() + patience);
        let (incoming, received) = (Vec::new(), Vec::new());
        let mut client = Self { stream, carries, incoming, protocol, begun, end, relayed: server, received };
        client.relayed = loop {
            match client.event().await.context("no allocation was made")? {
                TurnEvent::AllocationCreated(_, relayed) => break relayed,
                TurnEvent::AllocationCreateFailed(_) => {
                    bail!(
                        "refused an allocation: it does not take the credentials, is full, or sends clients elsewhere"
                    )
                }
                _ => {}
            }
        };
        Ok(client)
    }

    /// Allows packets from and to a peer.
    ///
    /// # Errors
    /// When the server does not answer.
    pub async fn permit(&mut self, peer: IpAddr) -> anyhow::Result<Answer> {
        let now = self.now();
        self.protocol.create_permission(TransportType::Udp, peer, now)?;
        loop {
            match self.event().await.context("a permission was not answered")? {
                TurnEvent::PermissionCreated(_, address) if address == peer => return Ok(Answer::Granted),
                TurnEvent::PermissionCreateFailed(_, address) if address == peer => return Ok(Answer::Refused),
                _ => {}
            }
        }
    }

    /// Has the server send a packet to a permitted peer.
    ///
    /// # Errors
    /// When the connection breaks.
    pub async fn send(&mut self, peer: SocketAddr, data: &[u8]) -> anyhow::Result<()> {
        let now = self.now();
        let transmit = self.protocol.send_to(TransportType::Udp, peer, data, now)?;
        if let Some(transmit) = transmit {
            self.write(&DelayedMessageOrChannelSend::build(transmit.data)).await?;
        }
        self.stream.flush().await?;
        Ok(())
    }

    /// Gives the allocation back, which over UDP would stay for minutes otherwise; over TCP and TLS it ends with the connection.
    pub async fn leave(mut self) {
        let now = self.now();
        if self.carries == Carries::Datagrams && self.protocol.delete(now).is_ok() {
            let ended = async { while self.exchange().await.is_ok() {} };
            let _ = timeout(LEAVE, ended).await;
        }
    }

    async fn write(&mut self, message: &[u8]) -> anyhow::Result<()> {
        if self.carries == Carries::Datagrams {
            self.stream.write_all(&u16::try_from(message.len())?.to_be_bytes()).await?;
        }
        self.stream.write_all(message).await?;
        Ok(())
    }

    /// The next packet that a permitted peer sent.
    ///
    /// # Errors
    /// When the connection breaks or none comes in time.
    pub async fn receive(&mut self) -> anyhow::Result<(SocketAddr, Vec<u8>)> {
        loop {
            if let Some(packet) = self.received.pop() {
                return Ok(packet);
            }
            self.exchange().await?;
        }
    }

    async fn event(&mut self) -> anyhow::Result<TurnEvent> {
        loop {
            if let Some(event) = self.protocol.poll_event() {
                return Ok(event);
            }
            self.exchange().await?;
        }
    }

    /// Sends what is to be sent, then takes in what the server says next.
    async fn exchange(&mut self) -> anyhow::Result<()> {
        let now = self.now();
        let until = match self.protocol.poll(now) {
            TurnPollRet::Closed => bail!("the server ended the allocation"),
            TurnPollRet::WaitUntil(until) => until.saturating_duration_since(now),
            TurnPollRet::AllocateTcpSocket { .. } | TurnPollRet::TcpClose { .. } => Duration::ZERO,
        };
        while let Some(transmit) = self.protocol.poll_transmit(self.now()) {
            self.write(&transmit.data).await?;
        }
        self.stream.flush().await?;
        let mut buffer = [0; 4096];
        let wake = self.end.min(Instant::now() + until.max(Duration::from_millis(10)));
        let Ok(read) = timeout_at(wake, self.stream.read(&mut buffer)).await else {
            if Instant::now() >= self.end {
                bail!("no answer in time");
            }
            return Ok(());
        };
        let read = read?;
        if read == 0 {
            bail!("the server closed the connection");
        }
        self.incoming.extend_from_slice(&buffer[..read]);
        let (from, to) = (self.protocol.remote_addr(), self.protocol.local_addr());
        while let Some(message) = next_message(&mut self.incoming, self.carries) {
            let transmit = Transmit::new(message, self.protocol.transport(), from, to);
            let now = self.now();
            if let TurnRecvRet::PeerData(packet) = self.protocol.recv(transmit, now) {
                self.received.push((packet.peer, packet.data().to_vec()));
            }
        }
        while let Some(packet) = self.protocol.poll_recv(self.now()) {
            self.received.push((packet.peer, packet.data().to_vec()));
        }
        Ok(())
    }

    fn now(&self) -> ProtocolInstant {
        ProtocolInstant::from_std(self.begun)
    }
}

/// What the protocol is given next: a whole datagram, or all bytes that there are.
fn next_message(incoming: &mut Vec<u8>, carries: Carries) -> Option<Vec<u8>> {
    if carries == Carries::Bytes {
        return (!incoming.is_empty()).then(|| std::mem::take(incoming));
    }
    let (length, rest) = incoming.split_first_chunk::<2>()?;
    let message = rest.get(..usize::from(u16::from_be_bytes(*length)))?.to_vec();
    incoming.drain(..2 + message.len());
    Some(message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_datagram_is_taken_when_it_is_whole() {
        let mut incoming = b"\0\x02hi\0\x03b".to_vec();
        assert_eq!(next_message(&mut incoming, Carries::Datagrams).as_deref(), Some(&b"hi"[..]));
        assert_eq!(next_message(&mut incoming, Carries::Datagrams), None);
        incoming.extend_from_slice(b"ye");
        assert_eq!(next_message(&mut incoming, Carries::Datagrams).as_deref(), Some(&b"bye"[..]));
        assert_eq!(next_message(&mut b"bytes".to_vec(), Carries::Bytes).as_deref(), Some(&b"bytes"[..]));
    }

    #[test]
    fn credentials_are_as_servers_make_them() {
        // printf '1800000000:alice' | openssl dgst -sha1 -hmac secret -binary | base64
        let credentials = Credentials::new(&SecretText::new("secret".to_owned()), "alice", 1_800_000_000);
        assert_eq!(credentials.name, "1800000000:alice");
        assert_eq!(credentials.password.expose(), "F9Z9KM7gUFmGwhyNrUvr6nr+06I=");
    }
}
