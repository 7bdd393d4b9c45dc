//! One question to the cluster's DNS over TCP (RFC 1035, 4.2.2): enough to see that it answers.

use anyhow::ensure;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::services::Stream;

/// The name that every cluster knows, before its domain.
const NAME: &str = "kubernetes.default.svc";
const HEADER: usize = 12;

/// Asks for the address of the API within the cluster's domain.
pub(super) async fn ask(stream: &mut Box<dyn Stream>, domain: &str) -> anyhow::Result<()> {
    stream.write_all(&question(domain)).await?;
    let length = usize::from(stream.read_u16().await?);
    ensure!(length >= HEADER, "the answer is cut short");
    let mut answer = vec![0; length];
    stream.read_exact(&mut answer).await?;
    ensure!(answer[2] & 0x80 != 0, "it is no answer");
    let code = answer[3] & 0x0f;
    ensure!(code == 0, "it answers with code {code}");
    Ok(())
}

/// The question, with its length before it: type A, class IN, recursion not desired.
fn question(domain: &str) -> Vec<u8> {
    let mut message = vec![0x57, 0x44, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    for label in NAME.split('.').chain(domain.split('.')) {
        message.push(u8::try_from(label.len()).unwrap_or_default());
        message.extend_from_slice(label.as_bytes());
    }
    message.extend_from_slice(&[0, 0, 1, 0, 1]);
    let length = u16::try_from(message.len()).unwrap_or_default();
    [&length.to_be_bytes()[..], &message].concat()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    async fn answered_with(answer: &'static [u8]) -> anyhow::Result<()> {
        let (near, mut far) = tokio::io::duplex(256);
        tokio::spawn(async move {
            let length = far.read_u16().await.unwrap();
            let mut asked = vec![0; usize::from(length)];
            far.read_exact(&mut asked).await.unwrap();
            assert_eq!(&asked[12..], b"\x0akubernetes\x07default\x03svc\x07cluster\x05local\0\0\x01\0\x01");
            far.write_u16(u16::try_from(answer.len()).unwrap()).await.unwrap();
            far.write_all(answer).await.unwrap();
        });
        ask(&mut (Box::new(near) as Box<dyn Stream>), "cluster.local").await
    }

    #[tokio::test]
    async fn an_answer_counts_and_a_refusal_does_not() {
        answered_with(&[0x57, 0x44, 0x84, 0, 0, 1, 0, 0, 0, 0, 0, 0]).await.unwrap();
        assert!(
            answered_with(&[0x57, 0x44, 0x84, 2, 0, 1, 0, 0, 0, 0, 0, 0])
                .await
                .unwrap_err()
                .to_string()
                .contains("code 2")
        );
        assert!(answered_with(&[0x57]).await.is_err());
    }
}
