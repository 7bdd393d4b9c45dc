//! Addresses that are proved by mail, with a mail server that keeps what it is given.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::extract::Request;
use axum::http::Method;
use serde_json::json;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use wire_api::config::{Activation, Config};

use super::world::{PASSWORD, World};

/// A mail server of a few words.
#[derive(Clone, Default)]
pub struct Post(Arc<Mutex<Vec<String>>>);

impl Post {
    pub async fn start() -> (Self, u16) {
        let post = Self::default();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let taking = post.clone();
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                tokio::spawn(taking.clone().take(stream));
            }
        });
        (post, port)
    }

    async fn take(self, stream: TcpStream) -> std::io::Result<()> {
        let mut stream = BufReader::new(stream);
        stream.write_all(b"220 post\r\n").await?;
        let (mut mail, mut in_mail) = (String::new(), false);
        loop {
            let mut line = String::new();
            if stream.read_line(&mut line).await? == 0 {
                return Ok(());
            }
            let answer: &[u8] = match line.trim_end() {
                "." if in_mail => {
                    self.0.lock().unwrap().push(std::mem::take(&mut mail));
                    in_mail = false;
                    b"250 kept\r\n"
                }
                _ if in_mail => {
                    mail.push_str(&line);
                    continue;
                }
                "DATA" => {
                    in_mail = true;
                    b"354 go on\r\n"
                }
                "QUIT" => b"221 bye\r\n",
                line if line.starts_with("RCPT TO:<nobody@") => {
                    stream.write_all(format!("550 no mailbox {}\r\n", &line[8..]).as_bytes()).await?;
                    continue;
                }
                _ => b"250 fine\r\n",
            };
            stream.write_all(answer).await?;
        }
    }

    /// The newest mail to an address; it may be under way.
    async fn to(&self, address: &str) -> String {
        for _ in 0..100 {
            let found =
                self.0.lock().unwrap().iter().rev().find(|mail| mail.contains(&format!("To: {address}"))).cloned();
            if let Some(mail) = found {
                return mail;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("no mail to {address}")
    }
}

async fn world() -> (World, Post) {
    let (post, port) = Post::start().await;
    let mail = format!("host: 127.0.0.1\nport: {port}\nsecurity: none\nsender: 'Wire <wire@wire.example>'\n");
    let config = Config {
        activation: Activation::Mail,
        mail: Some(serde_saphyr::from_str(&mail).unwrap()),
        ..Config::default()
    };
    let mut config = config;
    config.limits.address_rate = None;
    (World::with(config), post)
}

/// What a link in a mail says of a parameter.
fn parameter(mail: &str, name: &str) -> String {
    let joined = mail.replace("=\r\n", "").replace("=3D", "=");
    let rest = joined.split(&format!("{name}=")).nth(1).unwrap_or_else(|| panic!("{name} is not in {joined}"));
    rest.chars().take_while(|character| character.is_ascii_alphanumeric() || "-_".contains(*character)).collect()
}

#[tokio::test]
async fn an_address_is_proved_before_registration_or_after() {
    let (world, post) = world().await;
    let send = json!({"email": "ann@example.com"});
    world.public("/activate/send", send.clone()).await.expect(200);
    let code = parameter(&post.to("ann@example.com").await, "code");
    let register =
        |code: &str| json!({"name": "Ann", "email": "ann@example.com", "password": PASSWORD, "email_code": code});
    world.public("/register", register("000000x")).await.refused(404, "invalid-code");
    world.public("/register", register(&code)).await.expect(201);
    world.public("/activate/send", send).await.refused(409, "key-exists");

    // Without a code the account has no address until the link is opened.
    let late = json!({"name": "Bob", "email": "bob@example.com", "password": PASSWORD});
    let registered = world.public("/register", late).await.expect(201);
    assert!(registered.get("email").is_none());
    let login = json!({"email": "bob@example.com", "password": PASSWORD});
    world.public("/login", login.clone()).await.refused(403, "invalid-credentials");
    let mail = post.to("bob@example.com").await;
    let link = format!("/activate?key={}&code={}", parameter(&mail, "key"), parameter(&mail, "code"));
    let activated = world.call("", Method::GET, &link, None).await.expect(200);
    assert_eq!(activated, json!({"email": "bob@example.com", "first": true}));
    world.public("/login", login).await.expect(200);
    world.call("", Method::GET, &link, None).await.refused(404, "invalid-code");
}

#[tokio::test]
async fn a_code_bears_five_guesses() {
    let (world, post) = world().await;
    world.public("/activate/send", json!({"email": "ann@example.com"})).await.expect(200);
    let code = parameter(&post.to("ann@example.com").await, "code");
    let guess = |code: &str| json!({"email": "ann@example.com", "code": code, "dryrun": true});
    world.public("/activate", guess(&code)).await.expect(200);
    for _ in 0..5 {
        world.public("/activate", guess("wrong")).await.refused(404, "invalid-code");
    }
    world.public("/activate", guess(&code)).await.refused(404, "invalid-code");
}

#[tokio::test]
async fn a_forgotten_password_is_set_by_mail() {
    let (world, post) = world().await;
    world.public("/activate/send", json!({"email": "ann@example.com"})).await.expect(200);
    let code = parameter(&post.to("ann@example.com").await, "code");
    let register = json!({"name": "Ann", "email": "ann@example.com", "password": PASSWORD, "email_code": code});
    let cookie = world.public("/register", register).await.cookie();
    post.0.lock().unwrap().clear();
    world.public("/password-reset", json!({"email": "ann@example.com"})).await.expect(201);
    let mail = post.to("ann@example.com").await;
    let (key, code) = (parameter(&mail, "key"), parameter(&mail, "code"));
    let complete = |code: &str| json!({"key": key, "code": code, "password": "a new password"});
    world.public("/password-reset/complete", complete("wrong")).await.refused(400, "invalid-code");
    world.public("/password-reset/complete", complete(&code)).await.expect(200);
    world.public("/password-reset/complete", complete(&code)).await.refused(400, "invalid-code");
    world.access(&cookie).await.refused(403, "invalid-credentials");
    world.public("/login", json!({"email": "ann@example.com", "password": "a new password"})).await.expect(200);
}

#[tokio::test]
async fn another_address_is_taken_when_it_is_proved() {
    let (world, post) = world().await;
    world.public("/activate/send", json!({"email": "ann@example.com"})).await.expect(200);
    let code = parameter(&post.to("ann@example.com").await, "code");
    let register = json!({"name": "Ann", "email": "ann@example.com", "password": PASSWORD, "email_code": code});
    let cookie = world.public("/register", register).await.cookie();
    let change = Request::builder().method(Method::PUT).uri("/access/self/email").header("cookie", &cookie);
    let body = json!({"email": "other@example.com"}).to_string();
    world.send(change.body(body.into()).unwrap()).await.expect(202);
    let login = |email: &str| json!({"email": email, "password": PASSWORD});
    world.public("/login", login("ann@example.com")).await.expect(200);
    let mail = post.to("other@example.com").await;
    let link = format!("/activate?key={}&code={}", parameter(&mail, "key"), parameter(&mail, "code"));
    world.call("", Method::GET, &link, None).await.expect(200);
    world.public("/login", login("other@example.com")).await.expect(200);
    world.public("/login", login("ann@example.com")).await.refused(403, "invalid-credentials");
}
