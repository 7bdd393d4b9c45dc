//! A file that goes up and comes down again.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use md5::{Digest as _, Md5};
use reqwest::header::CONTENT_TYPE;
use serde::Deserialize;

use super::backend::Backend;
use super::users::User;
use super::{Surprise, fill};

/// What separates the parts of an upload; no content holds it, as contents are of this program's making.
const BOUNDARY: &str = "wire-deploy-smoke";

/// Bytes of the file: more than one read of a socket.
const SIZE: usize = 256 * 1024;

/// `one` uploads a file, `other` fetches it.
pub async fn up_and_down(backend: &Backend<'_>, one: &User, other: &User) -> Result<(), Surprise> {
    #[derive(Deserialize)]
    struct Asset {
        key: String,
        domain: String,
        token: Option<String>,
    }
    let mut content = vec![0; SIZE];
    fill(&mut content)?;
    let request = backend.post("/assets").bearer_auth(one.token.expose());
    let request = request.header(CONTENT_TYPE, format!("multipart/mixed; boundary={BOUNDARY}")).body(parts(&content));
    let asset: Asset = backend.exchange(request, &[201]).await?.read()?;
    let query = asset.token.map(|token| format!("?asset_token={}", escaped(&token))).unwrap_or_default();
    let path = format!("/assets/{}/{}{query}", asset.domain, asset.key);
    // The answer may be a redirection to where files are kept; it is followed.
    let fetched = backend.exchange(backend.get(&path).bearer_auth(other.token.expose()), &[200]).await?.body;
    if fetched == content {
        return Ok(());
    }
    Err(Surprise::new(format!("the {SIZE} bytes that were uploaded"), format!("{} others", fetched.len())))
}

/// The body of an upload: what it is to be, and the bytes.
fn parts(content: &[u8]) -> Vec<u8> {
    let settings = r#"{"public":false,"retention":"volatile"}"#;
    let digest = STANDARD.encode(Md5::digest(content));
    let mut body = format!(
        "--{BOUNDARY}\r\nContent-Type: application/json; charset=utf-8\r\nContent-Length: {}\r\n\r\n{settings}\r\n\
         --{BOUNDARY}\r\nContent-Type: application/octet-stream\r\nContent-Length: {}\r\nContent-MD5: {digest}\r\n\r\n",
        settings.len(),
        content.len(),
    )
    .into_bytes();
    body.extend_from_slice(content);
    body.extend_from_slice(format!("\r\n--{BOUNDARY}--\r\n").as_bytes());
    body
}

/// A token as part of a query: of what it may hold, these mean something there.
fn escaped(token: &str) -> String {
    token.replace('%', "%25").replace('+', "%2B").replace('/', "%2F").replace('=', "%3D").replace('&', "%26")
}
