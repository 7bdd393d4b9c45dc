//! The cluster's DNS: a small server that answers what it is told to (RFC 1035, questions of type A).

use std::collections::{BTreeMap, BTreeSet};
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::{Arc, Mutex};

#[derive(Default)]
struct Known {
    names: BTreeMap<String, Vec<Ipv4Addr>>,
    /// Sockets that asked, oldest first.
    asking: Vec<SocketAddr>,
    /// Of those, the ones that nothing reaches.
    deaf: BTreeSet<SocketAddr>,
}

/// The server, and what it knows.
#[derive(Clone)]
pub struct Names {
    known: Arc<Mutex<Known>>,
    pub address: String,
}

impl Names {
    pub fn serve(address: &str) -> Self {
        let socket = UdpSocket::bind(format!("{address}:0")).unwrap();
        let names = Self { address: socket.local_addr().unwrap().to_string(), known: Arc::default() };
        let known = Arc::clone(&names.known);
        std::thread::spawn(move || {
            let mut question = [0; 512];
            while let Ok((length, from)) = socket.recv_from(&mut question) {
                let mut known = known.lock().unwrap();
                if !known.asking.contains(&from) {
                    known.asking.push(from);
                }
                if !known.deaf.contains(&from)
                    && let Some(answer) = answer(&question[..length], &known.names)
                {
                    let _ = socket.send_to(&answer, from);
                }
            }
        });
        names
    }

    /// From now on these are told to be the addresses of a service's pods.
    pub fn set(&self, service: &str, addresses: &[Ipv4Addr]) {
        self.set_name(&format!("{service}-pods"), addresses);
    }

    /// From now on the service itself, which leads to any of its pods, has this address.
    pub fn set_whole(&self, service: &str, address: Ipv4Addr) {
        self.set_name(service, &[address]);
    }

    fn set_name(&self, name: &str, addresses: &[Ipv4Addr]) {
        let name = format!("{name}.wire.svc.cluster.local");
        self.known.lock().unwrap().names.insert(name, addresses.to_vec());
    }

    /// How many sockets have asked.
    pub fn sockets(&self) -> usize {
        self.known.lock().unwrap().asking.len()
    }

    /// The socket that asked first is not answered any more, as when the DNS pod is gone that its packets are sent to.
    pub fn deafen_the_first(&self) {
        let mut known = self.known.lock().unwrap();
        let first = known.asking[0];
        known.deaf.insert(first);
    }
}

fn answer(question: &[u8], names: &BTreeMap<String, Vec<Ipv4Addr>>) -> Option<Vec<u8>> {
    let (mut labels, mut at) = (Vec::new(), 12);
    while let length @ 1.. = usize::from(*question.get(at)?) {
        labels.push(String::from_utf8(question.get(at + 1..at + 1 + length)?.to_vec()).ok()?);
        at += 1 + length;
    }
    let end = at + 5;
    let addresses = names.get(&labels.join("."));
    let code = if addresses.is_some() { 0 } else { 3 };
    let addresses = addresses.map(Vec::as_slice).unwrap_or_default();
    let count = u8::try_from(addresses.len()).ok()?;
    let mut answer = [question.get(..2)?, &[0x84, code, 0, 1, 0, count, 0, 0, 0, 0], question.get(12..end)?].concat();
    for address in addresses {
        // The name of the question, type A, class IN, 30 seconds, four bytes.
        answer.extend_from_slice(&[0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 30, 0, 4]);
        answer.extend_from_slice(&address.octets());
    }
    Some(answer)
}
