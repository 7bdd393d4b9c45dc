//! Through hosts in between.

use std::sync::Arc;

use tokio::io::AsyncReadExt as _;

use super::sshd::Sshd;
use crate::transport::ssh::Session;

async fn output(session: &Arc<Session>, command: &str) -> String {
    let mut link = session.run(command.to_owned()).await.unwrap();
    let mut text = String::new();
    link.reader.read_to_string(&mut text).await.unwrap();
    text
}

#[tokio::test]
async fn a_chain_of_two_leads_to_many() {
    let chain = [Sshd::start(""), Sshd::start("")];
    let target = Sshd::start("");
    let (first, _) = Session::connect(chain[0].login(), None).await.unwrap();
    let first = Arc::new(first);
    let (second, _) = Session::connect(chain[1].login(), Some(Arc::clone(&first))).await.unwrap();
    let second = Arc::new(second);
    let sessions = (0..6).map(|_| Session::connect(target.login(), Some(Arc::clone(&second))));
    let sessions: Vec<Arc<Session>> = futures_util::future::join_all(sessions)
        .await
        .into_iter()
        .map(|connected| Arc::new(connected.unwrap().0))
        .collect();
    for session in &sessions {
        let text = output(session, "echo $SSH_CONNECTION; head -c 3000000 /dev/zero").await;
        assert!(text.contains(&target.port.to_string()) && text.len() > 3_000_000);
    }
    // The hosts in between run commands of their own meanwhile.
    assert_eq!(output(&first, "echo first").await, "first\n");
    assert_eq!(output(&second, "echo second").await, "second\n");
}

#[tokio::test]
async fn a_target_that_the_host_in_between_cannot_reach_is_told_from_its_own_failure() {
    let between = Sshd::start("");
    let (session, _) = Session::connect(between.login(), None).await.unwrap();
    let session = Arc::new(session);
    let mut login = between.login();
    login.policy.port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let problem = Session::connect(login, Some(Arc::clone(&session))).await.err().unwrap();
    assert!(problem.reason.contains("the host in between cannot reach 127.0.0.1 port"), "{problem:?}");
    assert_eq!(output(&session, "echo fine").await, "fine\n");
}

#[tokio::test]
async fn what_goes_through_a_lost_host_is_lost_with_it() {
    let (mut between, target) = (Sshd::start(""), Sshd::start(""));
    let (first, _) = Session::connect(between.login(), None).await.unwrap();
    let (session, _) = Session::connect(target.login(), Some(Arc::new(first))).await.unwrap();
    let session = Arc::new(session);
    let mut link = session.run("exec cat".to_owned()).await.unwrap();
    between.kill();
    assert_eq!(link.reader.read(&mut [0; 1]).await.unwrap(), 0);
    let ended = link.ended.await;
    assert!(ended.reason.contains("the host in between went away"), "{ended:?}");
}
