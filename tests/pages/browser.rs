//! A real browser, driven as a person does it: by labels, clicks and keys. It is Debian's chromium, spoken to by the Chrome
//! DevTools Protocol over one websocket.

use std::cell::RefCell;
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio_tungstenite::tungstenite::{Message, WebSocket, client};

/// How long a page on a busy machine may take to show something.
const PATIENCE: Duration = Duration::from_secs(30);

/// Functions that steps below call in the page.
const HELPERS: &str = include_str!("helpers.js");

/// A browser without a window, until this is dropped.
pub struct Browser {
    process: Child,
    connection: RefCell<Connection>,
    _folder: TempDir,
}

struct Connection {
    socket: WebSocket<TcpStream>,
    last: u64,
    events: Vec<Value>,
}

/// What a browser may speak to, and whom it trusts there.
pub struct World<'a> {
    /// All hosts below this domain are at `address`, others nowhere.
    pub domain: &'a str,
    /// Address and port of what answers for port 443.
    pub address: String,
    /// The sha256 of the one public key that is trusted without an authority, in base64.
    pub key: String,
}

impl Browser {
    pub fn start(world: &World<'_>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut process = Command::new("chromium");
        // Its own sandbox does not run as root, and what it shows here is our own.
        process.args(["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run"]);
        process.args(["--disable-background-networking", "--disable-component-update", "--disable-sync", "--lang=en"]);
        process.args(["--no-proxy-server", "--force-color-profile=srgb", "--remote-debugging-port=0"]);
        process.arg(format!("--user-data-dir={}", folder.path().display()));
        process.arg(format!("--ignore-certificate-errors-spki-list={}", world.key));
        let (domain, address) = (world.domain, &world.address);
        process.arg(format!("--host-resolver-rules=MAP *.{domain}:443 {address}, MAP * ~NOTFOUND"));
        process.env("HOME", folder.path()).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let process = process.arg("about:blank").spawn().unwrap();
        let file = folder.path().join("DevToolsActivePort");
        let begun = Instant::now();
        let (port, path) = loop {
            let text = std::fs::read_to_string(&file).unwrap_or_default();
            if let Some((port, path)) = text.split_once('\n').filter(|(_, path)| !path.is_empty()) {
                break (port.to_owned(), path.to_owned());
            }
            assert!(begun.elapsed() < PATIENCE, "chromium has not begun to listen");
            std::thread::sleep(Duration::from_millis(50));
        };
        let stream = TcpStream::connect(format!("127.0.0.1:{port}")).unwrap();
        stream.set_read_timeout(Some(PATIENCE * 2)).unwrap();
        let (socket, _) = client(format!("ws://127.0.0.1:{port}{path}"), stream).unwrap();
        let connection = RefCell::new(Connection { socket, last: 0, events: Vec::new() });
        Self { process, connection, _folder: folder }
    }

    /// Somebody with a browser of their own: cookies and storage are shared with nobody.
    pub fn person(&self) -> Page<'_> {
        let context = self.call(None, "Target.createBrowserContext", &json!({}))["browserContextId"].clone();
        self.page(context)
    }

    fn page(&self, context: Value) -> Page<'_> {
        let target = json!({"url": "about:blank", "browserContextId": context});
        let target = self.call(None, "Target.createTarget", &target)["targetId"].clone();
        let attached = self.call(None, "Target.attachToTarget", &json!({"targetId": target, "flatten": true}));
        let session = attached["sessionId"].as_str().unwrap().to_owned();
        let page = Page { browser: self, context, session };
        for domain in ["Page", "Runtime", "Log", "Audits", "Network"] {
            page.call(&format!("{domain}.enable"), &json!({}));
        }
        page.call("Page.addScriptToEvaluateOnNewDocument", &json!({"source": HELPERS}));
        page
    }

    /// Sends a command and waits for its answer; what happens meanwhile is kept.
    fn call(&self, session: Option<&str>, method: &str, parameters: &Value) -> Value {
        let mut connection = self.connection.borrow_mut();
        connection.last += 1;
        let id = connection.last;
        let mut command = json!({"id": id, "method": method, "params": parameters});
        if let Some(session) = session {
            command["sessionId"] = json!(session);
        }
        connection.socket.send(Message::text(command.to_string())).unwrap();
        loop {
            let Message::Text(text) = connection.socket.read().unwrap() else { continue };
            let mut answer: Value = serde_json::from_str(&text).unwrap();
            if answer["id"] == id {
                assert!(answer["error"].is_null(), "{method} {parameters}: {}", answer["error"]);
                return answer["result"].take();
            }
            connection.events.push(answer);
        }
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// One page in front of somebody.
pub struct Page<'a> {
    browser: &'a Browser,
    context: Value,
    session: String,
}

impl Page<'_> {
    pub fn call(&self, method: &str, parameters: &Value) -> Value {
        self.browser.call(Some(&self.session), method, parameters)
    }

    /// Another page of the same person's.
    pub fn another(&self) -> Self {
        self.browser.page(self.context.clone())
    }

    /// Opens an address and waits until the page shows more than that it asks.
    pub fn open(&self, address: &str) {
        let opened = self.call("Page.navigate", &json!({"url": address}));
        assert!(opened["errorText"].is_null(), "{address}: {opened}");
        self.until("testing.isShown()", &format!("{address} to show something"));
    }

    /// Evaluates JavaScript in the page; a promise's value is waited for.
    pub fn evaluate(&self, script: &str) -> Value {
        let parameters = json!({"expression": script, "awaitPromise": true, "returnByValue": true});
        let mut answer = self.call("Runtime.evaluate", &parameters);
        assert!(answer["exceptionDetails"].is_null(), "{script}: {}", answer["exceptionDetails"]);
        answer["result"]["value"].take()
    }

    /// Waits until something in the page is neither false nor missing, and returns it.
    fn until(&self, script: &str, what: &str) -> Value {
        let begun = Instant::now();
        loop {
            // While the page is another's, it has no helpers yet.
            let value = self.evaluate(&format!("globalThis.testing && document.body ? ({script}) : null"));
            if !value.is_null() && value != false {
                return value;
            }
            assert!(begun.elapsed() < PATIENCE, "waited for {what}; the page shows:\n{}", self.text());
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// What can be read on the page.
    pub fn text(&self) -> String {
        self.evaluate("document.body?.innerText").as_str().unwrap_or_default().to_owned()
    }

    /// Waits until a text can be read.
    pub fn sees(&self, text: &str) {
        self.until(&format!("document.body.innerText.includes({})", json!(text)), text);
    }

    /// Waits until a text cannot be read any more.
    pub fn sees_no_more(&self, text: &str) {
        self.until(&format!("!document.body.innerText.includes({})", json!(text)), &format!("{text:?} to go"));
    }

    /// Waits until a row of a table or list that begins with a text holds another.
    pub fn sees_in_row(&self, row: &str, text: &str) {
        self.until(&format!("testing.row({}, {})", json!(row), json!(text)), &format!("{text} in the row {row}"));
    }

    /// Waits until no row begins with a text.
    pub fn sees_no_row(&self, row: &str) {
        self.until(&format!("!testing.row({}, '')", json!(row)), &format!("the row {row} to go"));
    }

    /// Types into the field with this label below the heading, in place of what is there.
    pub fn fill(&self, heading: &str, label: &str, text: &str) {
        self.until(&format!("testing.field({}, {})", json!(heading), json!(label)), label);
        self.call("Input.insertText", &json!({"text": text}));
    }

    /// Chooses in the field with this label.
    pub fn choose(&self, label: &str, option: &str) {
        self.until(&format!("testing.choose({}, {})", json!(label), json!(option)), &format!("{option} of {label}"));
    }

    /// Clicks on the button or link of this name below the heading, with the mouse.
    pub fn click(&self, heading: &str, name: &str) {
        let place = self.until(&format!("testing.place({}, {})", json!(heading), json!(name)), name);
        for kind in ["mousePressed", "mouseReleased"] {
            let event = json!({"type": kind, "x": place["x"], "y": place["y"], "button": "left", "clickCount": 1});
            self.call("Input.dispatchMouseEvent", &event);
        }
    }

    /// Presses a key, such as `Tab`.
    pub fn press(&self, key: &str) {
        let (code, text) = match key {
            "Tab" => (9, ""),
            "Enter" => (13, "\r"),
            "Escape" => (27, ""),
            _ => panic!("no such key: {key}"),
        };
        let kind = if text.is_empty() { "rawKeyDown" } else { "keyDown" };
        let event = json!({"type": kind, "key": key, "code": key, "windowsVirtualKeyCode": code, "text": text});
        self.call("Input.dispatchKeyEvent", &event);
        let event = json!({"type": "keyUp", "key": key, "code": key, "windowsVirtualKeyCode": code});
        self.call("Input.dispatchKeyEvent", &event);
    }

    /// Shows pages light or dark, on a screen of this width, in CSS pixels.
    pub fn appear(&self, scheme: &str, width: u32, height: u32) {
        let features = json!({"features": [{"name": "prefers-color-scheme", "value": scheme}]});
        self.call("Emulation.setEmulatedMedia", &features);
        let size = json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600});
        self.call("Emulation.setDeviceMetricsOverride", &size);
    }

    /// A picture of what is shown, as PNG.
    pub fn picture(&self) -> Vec<u8> {
        let picture = self.call("Page.captureScreenshot", &json!({"format": "png"}));
        STANDARD.decode(picture["data"].as_str().unwrap()).unwrap()
    }

    /// What the browser has complained of since the last time: errors and warnings, whatever its policies stopped, addresses
    /// outside of `domain`. Answers that refuse are told as `status path`.
    pub fn complaints(&self, domain: &str) -> Vec<String> {
        // Events that are on their way come before this answer.
        self.evaluate("0");
        let mut connection = self.browser.connection.borrow_mut();
        let events = std::mem::take(&mut connection.events);
        let (own, others): (Vec<Value>, Vec<Value>) =
            events.into_iter().partition(|event| event["sessionId"] == self.session.as_str());
        connection.events = others;
        own.iter().filter_map(|event| complaint(event, domain)).collect()
    }
}

fn complaint(event: &Value, domain: &str) -> Option<String> {
    let parameters = &event["params"];
    match event["method"].as_str()? {
        "Runtime.exceptionThrown" => Some(format!("exception: {}", parameters["exceptionDetails"])),
        "Runtime.consoleAPICalled" => {
            let is_bad = ["error", "warning", "assert"].contains(&parameters["type"].as_str()?);
            is_bad.then(|| format!("console: {}", parameters["args"]))
        }
        "Log.entryAdded" => {
            let entry = &parameters["entry"];
            // Refusing answers are told below.
            let is_bad = ["error", "warning"].contains(&entry["level"].as_str()?) && entry["source"] != "network";
            is_bad.then(|| format!("log: {entry}"))
        }
        "Audits.issueAdded" => Some(format!("issue: {}", parameters["issue"])),
        "Network.responseReceived" => {
            let (status, address) =
                (parameters["response"]["status"].as_u64()?, parameters["response"]["url"].as_str()?);
            let path = address.splitn(4, '/').nth(3).unwrap_or_default();
            (status >= 400).then(|| format!("{status} /{}", path.split('?').next().unwrap_or_default()))
        }
        "Network.requestWillBeSent" => {
            let address = parameters["request"]["url"].as_str()?;
            let host = address.strip_prefix("https://").and_then(|rest| rest.split('/').next());
            let is_own = host.is_some_and(|host| host.ends_with(&format!(".{domain}"))) || address == "about:blank";
            (!is_own).then(|| format!("asked for {address}"))
        }
        _ => None,
    }
}
