//! What Proteus messages look like on the wire. Nothing here is encrypted for anyone: the smoke test's users have no
//! cryptography, and a backend cannot tell.
//!
//! The messages are `otr.proto` of Wire's published generic-message-proto; prekeys are Proteus' CBOR.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use prost::Message as _;

/// The last-resort prekey's number.
pub const LAST_PREKEY: u16 = u16::MAX;

/// A message for some devices, `QualifiedNewOtrMessage`.
#[derive(Clone, PartialEq, prost::Message)]
struct NewMessage {
    #[prost(message, required, tag = "1")]
    sender: Device,
    #[prost(message, repeated, tag = "2")]
    recipients: Vec<RecipientsOfDomain>,
}

/// `ClientId`.
#[derive(Clone, Copy, PartialEq, prost::Message)]
struct Device {
    #[prost(uint64, required, tag = "1")]
    client: u64,
}

/// `QualifiedUserEntry`.
#[derive(Clone, PartialEq, prost::Message)]
struct RecipientsOfDomain {
    #[prost(string, required, tag = "1")]
    domain: String,
    #[prost(message, repeated, tag = "2")]
    entries: Vec<Recipient>,
}

/// `UserEntry`.
#[derive(Clone, PartialEq, prost::Message)]
struct Recipient {
    #[prost(message, required, tag = "1")]
    user: User,
    #[prost(message, repeated, tag = "2")]
    clients: Vec<TextForDevice>,
}

/// `UserId`.
#[derive(Clone, PartialEq, prost::Message)]
struct User {
    #[prost(bytes = "vec", required, tag = "1")]
    uuid: Vec<u8>,
}

/// `ClientEntry`.
#[derive(Clone, PartialEq, prost::Message)]
struct TextForDevice {
    #[prost(message, required, tag = "1")]
    client: Device,
    #[prost(bytes = "vec", required, tag = "2")]
    text: Vec<u8>,
}

/// A message from a device to one other, of which `domain`, `user` and `client` say which. Device ids are hexadecimal, users' are
/// UUIDs; `None` if one of them is not.
#[must_use]
pub fn encode(sender: &str, domain: &str, user: &str, client: &str, text: &[u8]) -> Option<Vec<u8>> {
    let device = |id: &str| u64::from_str_radix(id, 16).ok().map(|client| Device { client });
    let uuid = hex::decode(user.replace('-', "")).ok().filter(|uuid| uuid.len() == 16)?;
    let text = TextForDevice { client: device(client)?, text: text.to_vec() };
    let recipient = Recipient { user: User { uuid }, clients: vec![text] };
    let recipients = RecipientsOfDomain { domain: domain.to_owned(), entries: vec![recipient] };
    Some(NewMessage { sender: device(sender)?, recipients: vec![recipients] }.encode_to_vec())
}

/// A prekey bundle with random keys, in base64: the CBOR of `{0: version 1, 1: id, 2: {0: public key}, 3: {0: {0: identity}}, 4: null}`.
#[must_use]
pub fn prekey(id: u16, public_key: &[u8; 32], identity: &[u8; 32]) -> String {
    /// A CBOR map of one pair whose key is 0.
    const MAP_OF_ONE: [u8; 2] = [0xa1, 0x00];
    /// The head of a CBOR byte string of 32.
    const BYTES_32: [u8; 2] = [0x58, 0x20];
    let mut cbor = vec![0xa5, 0x00, 0x01, 0x01];
    match id {
        0..=23 => cbor.extend(id.to_be_bytes().last()),
        24..=255 => cbor.extend([0x18].iter().chain(id.to_be_bytes().last())),
        _ => cbor.extend([0x19].iter().chain(&id.to_be_bytes())),
    }
    cbor.push(0x02);
    cbor.extend(MAP_OF_ONE.iter().chain(&BYTES_32).chain(public_key));
    cbor.push(0x03);
    cbor.extend(MAP_OF_ONE.iter().chain(&MAP_OF_ONE).chain(&BYTES_32).chain(identity));
    cbor.extend([0x04, 0xf6]);
    STANDARD.encode(cbor)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use super::*;

    #[test]
    fn a_message_has_the_fields_at_their_numbers() {
        let bytes = encode("1f", "a.example", "00112233-4455-6677-8899-aabbccddeeff", "2", b"hello").unwrap();
        let mut expected = vec![0x0a, 0x02, 0x08, 0x1f];
        let user = [vec![0x0a, 0x12, 0x0a, 0x10], hex::decode("00112233445566778899aabbccddeeff").unwrap()].concat();
        let client = [&[0x12, 0x0b, 0x0a, 0x02, 0x08, 0x02, 0x12, 0x05], b"hello".as_slice()].concat();
        let entry = [user, client].concat();
        let entry = [vec![0x12, u8::try_from(entry.len()).unwrap()], entry].concat();
        let domain = [&[0x0a, 0x09], b"a.example".as_slice(), &entry].concat();
        expected.extend([0x12, u8::try_from(domain.len()).unwrap()]);
        expected.extend(domain);
        assert_eq!(bytes, expected);
    }

    #[test]
    fn ids_that_are_none_are_refused() {
        let user = "00112233-4455-6677-8899-aabbccddeeff";
        assert_eq!(encode("x", "a.example", user, "2", b""), None);
        assert_eq!(encode("1", "a.example", "0011", "2", b""), None);
        assert_eq!(encode("1", "a.example", user, "11112222333344445", b""), None);
    }

    #[test]
    fn a_prekey_is_the_cbor_that_proteus_reads() {
        let key = |id| STANDARD.decode(prekey(id, &[1; 32], &[2; 32])).unwrap();
        assert_eq!(hex::encode(&key(1)[..9]), "a50001010102a10058");
        assert_eq!(hex::encode(&key(200)[..6]), "a500010118c8");
        assert_eq!(hex::encode(&key(LAST_PREKEY)[..7]), "a500010119ffff");
        let end = key(1);
        let end = &end[end.len() - 41..];
        assert_eq!(hex::encode(&end[..7]), "03a100a1005820");
        assert_eq!(hex::encode(&end[39..]), "04f6");
    }
}
