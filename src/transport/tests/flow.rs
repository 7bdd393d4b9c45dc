//! Bytes through a channel: whole, both ways at once, and what happens when the way is cut.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::sshd::{Sshd, narrow};
use crate::transport::link::Link;
use crate::transport::ssh::{Liveness, Login, Session};

/// Bytes sent each way; the whole gigabyte is sent when this says so.
const BYTES: &str = "WIRE_DEPLOY_STRESS_BYTES";

/// Eight bytes that tell their place in the stream.
fn place(index: u64) -> [u8; 8] {
    index.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes()
}

/// Sends so many bytes through `cat` on the host and checks that the same come back.
async fn echo(link: Link, total: u64) {
    let Link { mut reader, mut writer, .. } = link;
    let sending = tokio::spawn(async move {
        let mut piece = Vec::new();
        for index in 0..total / 8 {
            piece.extend(place(index));
            if piece.len() >= 60_000 {
                writer.write_all(&piece).await.unwrap();
                piece.clear();
            }
        }
        writer.write_all(&piece).await.unwrap();
        writer.shutdown().await.unwrap();
        writer
    });
    let mut buffer = vec![0; 64 * 1024];
    let (mut kept, mut index) = (0, 0);
    loop {
        let read = reader.read(&mut buffer[kept..]).await.unwrap();
        if read == 0 {
            break;
        }
        let whole = (kept + read) / 8 * 8;
        for bytes in buffer[..whole].chunks_exact(8) {
            assert!(bytes == place(index), "at byte {}", index * 8);
            index += 1;
        }
        buffer.copy_within(whole..kept + read, 0);
        kept = kept + read - whole;
    }
    assert_eq!((index, kept), (total / 8, 0));
    sending.await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn much_flows_both_ways_through_tiny_buffers_and_new_keys() {
    let total = std::env::var(BYTES).map_or(96 << 20, |text| text.parse().expect(BYTES));
    let sshd = Sshd::start("RekeyLimit 16M\nLogLevel DEBUG1");
    let session = Session::connect_over(sshd.login(), narrow(sshd.port)).await.unwrap();
    let link = Arc::new(session).run("exec cat".to_owned()).await.unwrap();
    echo(link, total).await;
    let rekeys = sshd.log().matches("set_newkeys: rekeying").count();
    assert!(rekeys >= 4, "keys were renewed {rekeys} times: {}", sshd.log());
}

#[tokio::test]
async fn many_channels_share_a_session() {
    let sshd = Sshd::start("");
    let (session, _) = Session::connect(sshd.login(), None).await.unwrap();
    let session = Arc::new(session);
    let echoes = (0..20).map(|_| async {
        let link = session.run("exec cat".to_owned()).await.unwrap();
        echo(link, 1 << 20).await;
    });
    futures_util::future::join_all(echoes).await;
}

#[tokio::test]
async fn a_host_that_goes_away_is_noticed_at_once() {
    let mut sshd = Sshd::start("");
    let (session, _) = Session::connect(sshd.login(), None).await.unwrap();
    let session = Arc::new(session);
    let mut link = session.run("exec cat".to_owned()).await.unwrap();
    link.writer.write_all(b"there?").await.unwrap();
    let mut buffer = [0; 6];
    link.reader.read_exact(&mut buffer).await.unwrap();
    sshd.kill();
    assert_eq!(link.reader.read(&mut buffer).await.unwrap(), 0);
    let ended = link.ended.await;
    assert_eq!(ended.code, None);
    assert_eq!(ended.reason, "the host closed the connection");
    assert!(session.is_over());
    assert!(session.run("true".to_owned()).await.is_err());
}

#[tokio::test]
async fn a_silent_host_is_asked_and_a_frozen_one_is_lost() {
    let sshd = Sshd::start("");
    let second = Duration::from_secs(1);
    let login = Login { liveness: Liveness { ask_after: second, lost_after: 4 * second }, ..sshd.login() };
    let (session, _) = Session::connect(login, None).await.unwrap();
    let session = Arc::new(session);
    let mut link = session.run("exec cat".to_owned()).await.unwrap();
    // For longer than that nobody says a thing.
    tokio::time::sleep(6 * second).await;
    link.writer.write_all(b"there?").await.unwrap();
    let mut buffer = [0; 6];
    link.reader.read_exact(&mut buffer).await.unwrap();
    sshd.freeze();
    assert_eq!(link.reader.read(&mut buffer).await.unwrap(), 0);
    assert_eq!(link.ended.await.reason, "the host has not answered for 4 seconds");
}

#[tokio::test]
async fn an_idle_session_is_usable_and_notices_its_end() {
    let mut sshd = Sshd::start("ClientAliveInterval 1");
    let (session, _) = Session::connect(sshd.login(), None).await.unwrap();
    let session = Arc::new(session);
    // The host asks whether we are there, and nobody reads that before the next channel.
    tokio::time::sleep(Duration::from_millis(2500)).await;
    echo(session.run("exec cat".to_owned()).await.unwrap(), 1 << 20).await;
    sshd.kill();
    let deadline = Instant::now() + Duration::from_secs(20);
    while !session.is_over() {
        assert!(Instant::now() < deadline, "still there");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn a_user_that_leaves_ends_the_command() {
    let sshd = Sshd::start("");
    let (session, _) = Session::connect(sshd.login(), None).await.unwrap();
    let session = Arc::new(session);
    let marker = sshd.path("ended");
    let command = format!("cat; touch {}", marker.display());
    let link = session.run(command).await.unwrap();
    drop(link.reader);
    drop(link.writer);
    assert_eq!(link.ended.await.code, Some(0));
    assert!(marker.exists());
}
