//! Two processes of each service side by side, one of which, whichever it is, is killed every now and then: every message that was answered for
//! reaches every device, once; and every file is as it was sent.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::path::Path;
use std::process::{Child, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures_util::StreamExt as _;
use futures_util::future::join_all;
use reqwest::Method;
use reqwest::header::SET_COOKIE;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use wire_deploy::transport::web::Web;

use crate::common::wire_api;
use crate::common::world::World;

const SERVICES: [&str; 7] = ["auth", "brig", "cannon", "cargohold", "galley", "gundeck", "spar"];
/// Processes of each.
const PROCESSES: usize = 2;
const FIRST_PORT: usize = 8100;
const MESSAGES: usize = 1000;
/// Messages that are under way at once.
const SENDERS: usize = 4;
/// A process is killed whenever so many more messages were answered for.
const BETWEEN_KILLS: usize = 60;
/// A client asks again and again for so long.
const PATIENCE: Duration = Duration::from_secs(60);
const PASSWORD: &str = "correct horse battery";

pub fn loses_nothing(world: &World, configuration: &Path) {
    let processes = Processes::start(world, configuration);
    let api = Api::new();
    let sent = world.inside(async {
        let ann = Person::register(&api).await;
        let bob = Person::register(&api).await;
        let sender = ann.device(&api).await;
        let devices = [bob.device(&api).await, bob.device(&api).await];
        let conversation = connect(&api, &ann, &bob).await;
        let receivers = devices.clone().map(|device| Receiver::new(&api, &bob, device));
        let message = Envelope { sender, recipient: bob.id.clone(), devices: devices.into(), conversation };
        let over = AtomicBool::new(false);
        let sending = async {
            let sent = send_all(&api, &ann, &message, &processes).await;
            over.store(true, Ordering::Relaxed);
            sent
        };
        let listening = join_all(receivers.iter().map(|receiver| receiver.listen(&over)));
        let (sent, _, files) = tokio::join!(sending, listening, visit_the_others(&api, &ann, &over));
        assert!(files > 0, "no file was sent");
        for receiver in &receivers {
            receiver.expect(&sent);
        }
        sent
    });
    let again = sent.values().filter(|attempts| **attempts > 1).count();
    println!("{} messages, {} processes killed, {again} messages sent again", sent.len(), processes.killed());
}

/// Who looks for what is where, as an ingress would: the processes of a service take turns.
struct Api {
    http: reqwest::Client,
    turn: AtomicUsize,
}

/// What a request came to.
enum Asked {
    Answered(u16, Value, Option<String>),
    /// Nobody knows whether it was done.
    Lost,
}

fn port(service: &str, process: usize) -> usize {
    let service = SERVICES.iter().position(|name| *name == service).unwrap();
    FIRST_PORT + service * PROCESSES + process
}

impl Api {
    fn new() -> Arc<Self> {
        // A connection to a process that was killed is of no more use.
        let http = Web::new(None).unwrap().http().no_proxy().pool_max_idle_per_host(0).timeout(Duration::from_secs(10));
        Arc::new(Self { http: http.build().unwrap(), turn: AtomicUsize::new(0) })
    }

    fn next(&self) -> usize {
        self.turn.fetch_add(1, Ordering::Relaxed) % PROCESSES
    }

    /// Asks one process, or another one if the first takes no connection.
    async fn ask(&self, service: &str, method: Method, path: &str, headers: &[(&str, &str)], body: &Value) -> Asked {
        let body = if body.is_null() { Vec::new() } else { body.to_string().into_bytes() };
        let headers = [headers, &[("content-type", "application/json")]].concat();
        match self.exchange(service, method, path, &headers, body).await {
            Some((status, body, cookie)) => {
                Asked::Answered(status, serde_json::from_slice(&body).unwrap_or_default(), cookie)
            }
            None => Asked::Lost,
        }
    }

    /// Likewise, with a body of any kind: status, body and cookie, or nothing when nobody knows whether it was done.
    async fn exchange(
        &self,
        service: &str,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: Vec<u8>,
    ) -> Option<(u16, Vec<u8>, Option<String>)> {
        let begun = Instant::now();
        loop {
            let url = format!("http://127.0.0.1:{}{path}", port(service, self.next()));
            let mut request = self.http.request(method.clone(), url);
            for (name, value) in headers {
                request = request.header(*name, *value);
            }
            match request.body(body.clone()).send().await {
                Ok(answer) if answer.status().as_u16() < 500 => {
                    let status = answer.status().as_u16();
                    let cookie = answer.headers().get(SET_COOKIE).and_then(|value| value.to_str().ok());
                    let cookie = cookie.and_then(|value| value.split(';').next()).map(str::to_owned);
                    return answer.bytes().await.ok().map(|body| (status, body.to_vec(), cookie));
                }
                Err(error) if error.is_connect() => {
                    assert!(begun.elapsed() < PATIENCE, "no process of {service} takes a connection: {error}");
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
                Ok(_) | Err(_) => return None,
            }
        }
    }

    /// Asks until there is an answer, which must have this status.
    async fn expect(
        &self,
        service: &str,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: Value,
        expected: u16,
    ) -> (Value, Option<String>) {
        let begun = Instant::now();
        loop {
            match self.ask(service, method.clone(), path, headers, &body).await {
                Asked::Answered(status, body, cookie) => {
                    assert_eq!(status, expected, "{method} {path}: {body}");
                    return (body, cookie);
                }
                Asked::Lost => assert!(begun.elapsed() < PATIENCE, "{method} {path} is not answered"),
            }
        }
    }
}

struct Person {
    id: String,
    authorization: String,
    token: String,
}

impl Person {
    async fn register(api: &Api) -> Self {
        let mut name = [0; 8];
        getrandom::fill(&mut name).unwrap();
        let email = format!("{}@example.com", hex::encode(name));
        let body = json!({"name": "Killed", "email": email, "password": PASSWORD});
        let (registered, cookie) = api.expect("brig", Method::POST, "/register", &[], body, 201).await;
        let cookie = cookie.unwrap();
        let (access, _) = api.expect("brig", Method::POST, "/access", &[("cookie", &cookie)], Value::Null, 200).await;
        let token = access["access_token"].as_str().unwrap().to_owned();
        Self { id: registered["id"].as_str().unwrap().to_owned(), authorization: format!("Bearer {token}"), token }
    }

    async fn device(&self, api: &Api) -> String {
        let prekeys: Vec<_> = (1..=5).map(|id| json!({"id": id, "key": "cHJla2V5"})).collect();
        let body = json!({
            "type": "permanent", "class": "desktop", "password": PASSWORD,
            "prekeys": prekeys, "lastkey": {"id": 65535, "key": "bGFzdA=="},
        });
        let (device, _) = api.expect("brig", Method::POST, "/clients", &self.headers(), body, 201).await;
        device["id"].as_str().unwrap().to_owned()
    }

    fn headers(&self) -> [(&str, &str); 1] {
        [("authorization", &self.authorization)]
    }
}

/// Connects two people; their conversation.
async fn connect(api: &Api, one: &Person, other: &Person) -> String {
    let domain = "wire.example";
    let path = format!("/v8/connections/{domain}/{}", other.id);
    let (asked, _) = api.expect("brig", Method::POST, &path, &one.headers(), json!({}), 201).await;
    let path = format!("/v8/connections/{domain}/{}", one.id);
    let accept = json!({"status": "accepted"});
    api.expect("brig", Method::PUT, &path, &other.headers(), accept, 200).await;
    asked["conversation"].as_str().unwrap().to_owned()
}

/// From whose device to which devices, and where.
struct Envelope {
    sender: String,
    recipient: String,
    devices: Vec<String>,
    conversation: String,
}

impl Envelope {
    fn around(&self, text: &str) -> Value {
        let text = STANDARD.encode(text);
        let texts: BTreeMap<_, _> = self.devices.iter().map(|device| (device, &text)).collect();
        json!({"sender": self.sender, "recipients": {(self.recipient.as_str()): texts}})
    }
}

/// How often each message was sent until it was answered for.
type Sent = BTreeMap<String, usize>;

/// Sends all messages, several at a time, and has processes killed meanwhile.
async fn send_all(api: &Api, ann: &Person, envelope: &Envelope, processes: &Processes<'_>) -> Sent {
    let (next, answered) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let path = format!("/conversations/{}/otr/messages", envelope.conversation);
    let sender = || async {
        let mut sent = Sent::new();
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= MESSAGES {
                return sent;
            }
            let text = format!("message {number}");
            let body = envelope.around(&text);
            let begun = Instant::now();
            let mut attempts = 1;
            loop {
                match api.ask("galley", Method::POST, &path, &ann.headers(), &body).await {
                    Asked::Answered(201, ..) => break,
                    Asked::Answered(status, body, _) => panic!("{text} is refused: {status} {body}"),
                    Asked::Lost => attempts += 1,
                }
                assert!(begun.elapsed() < PATIENCE, "{text} is not answered for");
            }
            sent.insert(text, attempts);
            if answered.fetch_add(1, Ordering::Relaxed) % BETWEEN_KILLS == BETWEEN_KILLS / 2 {
                processes.kill_one();
            }
        }
    };
    join_all((0..SENDERS).map(|_| sender())).await.into_iter().flatten().collect()
}

/// Uses the services that messages do not, until all is over: a token is checked, single sign-on is asked for, and each file is fetched as it
/// was sent. Gives the number of files.
async fn visit_the_others(api: &Api, ann: &Person, over: &AtomicBool) -> usize {
    let mut files = 0;
    while !over.load(Ordering::Relaxed) {
        api.expect("auth", Method::GET, "/check", &ann.headers(), Value::Null, 204).await;
        api.expect("spar", Method::GET, "/sso/settings", &[], Value::Null, 200).await;
        let text = format!("file {files}");
        let upload = format!(
            "--b\r\nContent-Type: application/json\r\n\r\n{{\"public\": true}}\r\n\
             --b\r\nContent-Type: application/octet-stream\r\n\r\n{text}\r\n--b--\r\n"
        );
        let headers = [ann.headers()[0], ("content-type", "multipart/mixed; boundary=b")];
        let sent = insist(|| api.exchange("cargohold", Method::POST, "/assets", &headers, upload.clone().into())).await;
        assert_eq!(sent.0, 201, "{text} is refused");
        let sent: Value = serde_json::from_slice(&sent.1).unwrap();
        let path = format!("/assets/{}", sent["key"].as_str().unwrap());
        let fetch = ann.headers();
        let (status, body, _) = insist(|| api.exchange("cargohold", Method::GET, &path, &fetch, Vec::new())).await;
        assert_eq!((status, body), (200, text.into_bytes()));
        files += 1;
    }
    files
}

/// Asks until there is an answer.
async fn insist<T, F: Future<Output = Option<T>>>(ask: impl Fn() -> F) -> T {
    let begun = Instant::now();
    loop {
        if let Some(answer) = ask().await {
            return answer;
        }
        assert!(begun.elapsed() < PATIENCE, "there is no answer");
    }
}

/// A device: on a websocket as long as it holds, and what was missed meanwhile read from the log, as clients do.
struct Receiver {
    api: Arc<Api>,
    authorization: String,
    token: String,
    device: String,
    /// Texts by the ids of their notifications.
    received: Mutex<BTreeMap<String, Vec<String>>>,
}

impl Receiver {
    fn new(api: &Arc<Api>, person: &Person, device: String) -> Self {
        let (authorization, token) = (person.authorization.clone(), person.token.clone());
        Self { api: api.clone(), authorization, token, device, received: Mutex::default() }
    }

    /// Until all is over, and what is in the log by then has come, too.
    async fn listen(&self, over: &AtomicBool) {
        let mut since = None;
        while !over.load(Ordering::Relaxed) {
            let url = format!(
                "ws://127.0.0.1:{}/await?access_token={}&client={}",
                port("cannon", self.api.next()),
                self.token,
                self.device
            );
            let address = url.trim_start_matches("ws://").split('/').next().unwrap().to_owned();
            let Ok(stream) = TcpStream::connect(address).await else { continue };
            let Ok((mut socket, _)) = tokio_tungstenite::client_async(url, stream).await else { continue };
            // What is told from now on comes here; what was before is in the log.
            since = self.catch_up(since).await;
            while !over.load(Ordering::Relaxed) {
                match tokio::time::timeout(Duration::from_millis(200), socket.next()).await {
                    Ok(Some(Ok(Message::Text(text)))) => since = self.take(text.as_bytes()).or(since),
                    Ok(Some(Ok(Message::Binary(bytes)))) => since = self.take(&bytes).or(since),
                    Ok(Some(Ok(Message::Close(_)) | Err(_)) | None) => break,
                    Ok(Some(Ok(_))) | Err(_) => {}
                }
            }
        }
        self.catch_up(since).await;
    }

    /// Reads the log from after a notification on; the last one's id.
    async fn catch_up(&self, mut since: Option<String>) -> Option<String> {
        loop {
            let from = since.as_ref().map(|id| format!("&since={id}")).unwrap_or_default();
            let path = format!("/v8/notifications?client={}&size=500{from}", self.device);
            let headers = [("authorization", self.authorization.as_str())];
            let (page, _) = self.api.expect("gundeck", Method::GET, &path, &headers, Value::Null, 200).await;
            for notification in page["notifications"].as_array().unwrap() {
                since = self.take(notification.to_string().as_bytes()).or(since);
            }
            if page["has_more"] != true {
                return since;
            }
        }
    }

    /// Keeps a notification; its id.
    fn take(&self, bytes: &[u8]) -> Option<String> {
        let notification: Value = serde_json::from_slice(bytes).unwrap();
        let id = notification["id"].as_str()?.to_owned();
        let texts = notification["payload"].as_array()?.iter().filter_map(|event| event["data"]["text"].as_str());
        let texts = texts.map(|text| String::from_utf8(STANDARD.decode(text).unwrap()).unwrap()).collect();
        self.received.lock().unwrap().insert(id.clone(), texts);
        Some(id)
    }

    /// Every message is there: once, and more often only if it was sent more often.
    fn expect(&self, sent: &Sent) {
        let received = self.received.lock().unwrap();
        let texts: Vec<&String> = received.values().flatten().collect();
        let distinct: BTreeSet<_> = texts.iter().copied().collect();
        let missing: Vec<_> = sent.keys().filter(|text| !distinct.contains(text)).collect();
        assert!(missing.is_empty(), "device {} never got {missing:?}", self.device);
        for (text, attempts) in sent {
            let times = texts.iter().filter(|received| **received == text).count();
            assert!(times <= *attempts, "device {} got {text:?} {times} times, sent {attempts} times", self.device);
        }
    }
}

/// The processes, gone when this is dropped.
struct Processes<'a> {
    world: &'a World,
    configuration: &'a Path,
    running: Mutex<BTreeMap<(&'static str, usize), Child>>,
    killed: AtomicUsize,
    /// What is killed next follows from it.
    chance: Mutex<u64>,
}

impl<'a> Processes<'a> {
    fn start(world: &'a World, configuration: &'a Path) -> Self {
        // To see the same again: `WIRE_DEPLOY_SEED=… cargo test …`.
        let known = std::env::var("WIRE_DEPLOY_SEED").ok().map(|seed| seed.parse().unwrap());
        let seed = known.unwrap_or_else(|| uuid::Uuid::new_v4().as_u64_pair().0);
        println!("processes are killed by the seed {seed}");
        let (running, killed) = (Mutex::default(), AtomicUsize::new(0));
        let processes = Self { world, configuration, running, killed, chance: Mutex::new(seed) };
        for service in SERVICES {
            for process in 0..PROCESSES {
                let child = processes.spawn(service, process);
                processes.running.lock().unwrap().insert((service, process), child);
            }
        }
        processes
    }

    fn spawn(&self, service: &str, process: usize) -> Child {
        let log = self.world.file(&format!("wire-api-{service}-{process}.log"));
        let log = File::options().create(true).append(true).open(log).unwrap();
        let mut command = self.world.sandbox().command(wire_api());
        command.args(["--services", service, "--store", "cassandra", "--config"]).arg(self.configuration);
        command.args(["--listen", &format!("127.0.0.1:{}", port(service, process))]);
        command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap()
    }

    /// Kills some process and starts it anew: whoever runs pods would.
    fn kill_one(&self) {
        self.killed.fetch_add(1, Ordering::Relaxed);
        let number = self.number(SERVICES.len() * PROCESSES);
        let (service, process) = (SERVICES[number / PROCESSES], number % PROCESSES);
        let mut running = self.running.lock().unwrap();
        let child = running.get_mut(&(service, process)).unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
        *child = self.spawn(service, process);
    }

    /// A number below a limit (splitmix64).
    fn number(&self, limit: usize) -> usize {
        let mut state = self.chance.lock().unwrap();
        *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (*state ^ (*state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((mixed ^ (mixed >> 31)) % limit as u64).unwrap()
    }

    fn killed(&self) -> usize {
        self.killed.load(Ordering::Relaxed)
    }
}

impl Drop for Processes<'_> {
    fn drop(&mut self) {
        for child in self.running.lock().unwrap_or_else(std::sync::PoisonError::into_inner).values_mut() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
