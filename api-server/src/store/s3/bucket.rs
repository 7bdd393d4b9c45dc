//! A bucket's objects: each request is signed for the server that it goes to.

use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use anyhow::Context as _;
use bytes::Bytes;
use reqwest::header::{CONTENT_TYPE, ETAG, RANGE};
use reqwest::{Response, StatusCode, Url};
use rusty_s3::actions::{CompleteMultipartUploadResponse, CreateMultipartUpload};
use rusty_s3::{Credentials, S3Action as _, UrlStyle};
use tokio::time::{sleep, timeout};

use crate::config;
use crate::store::nodes::{Nodes, told};
use crate::store::{Result, StoreError};

/// A server that has not answered a small request within this time is passed over.
const ANSWER: Duration = Duration::from_secs(10);
/// The same of one that takes a file's bytes.
const TRANSFER: Duration = Duration::from_secs(60);
/// After so long what no server could do is tried once more.
const MOMENT: Duration = Duration::from_secs(1);
/// For so long a signature is good.
const SIGNED: Duration = Duration::from_secs(300);
/// For so long an address that clients are sent to is good.
const OUTSIDE: Duration = Duration::from_secs(300);
/// Files are encrypted: nobody needs to know what they are.
const KIND: &str = "application/octet-stream";

/// A bucket.
pub(super) struct Bucket {
    nodes: Nodes<rusty_s3::Bucket>,
    credentials: Credentials,
    outside: Option<rusty_s3::Bucket>,
}

impl Bucket {
    pub fn new(config: &config::S3) -> anyhow::Result<Self> {
        let at = |address: Url| {
            rusty_s3::Bucket::new(address, UrlStyle::Path, config.bucket.clone(), config.region.clone())
                .with_context(|| format!("bucket {:?}", config.bucket))
        };
        let outside = config.assets_host.as_ref().map(|address| {
            let what = || format!("assets_host {address:?} is no address such as https://assets.wire.example");
            at(Url::parse(address).with_context(what)?).with_context(what)
        });
        Ok(Self {
            nodes: Nodes::new(&config.endpoints, config.authority.as_deref(), at)?,
            credentials: Credentials::new(config.access_key.clone(), config.secret_key.0.expose()),
            outside: outside.transpose()?,
        })
    }

    fn user(&self) -> Option<&Credentials> {
        Some(&self.credentials)
    }

    /// Writes an object.
    pub async fn put(&self, object: &str, bytes: Bytes) -> Result<()> {
        let put = || async {
            let asked = self.nodes.ask(TRANSFER, |client, bucket| {
                let url = bucket.put_object(self.user(), object).sign(SIGNED);
                client.put(url).header(CONTENT_TYPE, KIND).body(bytes.clone())
            });
            good(asked.await?).await.map(drop)
        };
        twice(put).await
    }

    /// Reads a small object.
    pub async fn get(&self, object: &str) -> Result<Option<Bytes>> {
        match self.open(object, 0).await? {
            Some(response) => body(response).await.map(Some),
            None => Ok(None),
        }
    }

    /// Begins to read an object from an offset on.
    pub async fn open(&self, object: &str, offset: u64) -> Result<Option<Response>> {
        let found = self.nodes.find(ANSWER, |client, bucket| {
            let request = client.get(bucket.get_object(self.user(), object).sign(SIGNED));
            if offset == 0 { request } else { request.header(RANGE, format!("bytes={offset}-")) }
        });
        match found.await? {
            Some(response) => good(response).await.map(Some),
            None => Ok(None),
        }
    }

    /// Removes an object, if it is there.
    pub async fn delete(&self, object: &str) -> Result<()> {
        let asked = self
            .nodes
            .ask(ANSWER, |client, bucket| client.delete(bucket.delete_object(self.user(), object).sign(SIGNED)));
        good_or_gone(asked.await?).await
    }

    /// Begins an object of many parts; gives the upload's id.
    pub async fn begin_parts(&self, object: &str) -> Result<String> {
        let begin = || async {
            let asked = self.nodes.ask(ANSWER, |client, bucket| {
                let url = bucket.create_multipart_upload(self.user(), object).sign(SIGNED);
                client.post(url).header(CONTENT_TYPE, KIND)
            });
            text(good(asked.await?).await?).await
        };
        let begun = CreateMultipartUpload::parse_response(&twice(begin).await?).map_err(|_| unreadable())?;
        Ok(begun.upload_id().to_owned())
    }

    /// Sends a part under the next number, and under one more to each further server: a part that a server had begun when it died is
    /// locked for a minute or two.
    pub async fn put_part(&self, object: &str, upload: &str, next: &AtomicU16, bytes: Bytes) -> Result<Part> {
        let send = || async {
            let found = self.nodes.find(TRANSFER, |client, bucket| {
                let number = next.fetch_add(1, Ordering::Relaxed);
                client.put(bucket.upload_part(self.user(), object, number, upload).sign(SIGNED)).body(bytes.clone())
            });
            let response = good(found.await?.ok_or_else(no_upload)?).await?;
            let tag = response.headers().get(ETAG).and_then(|tag| tag.to_str().ok());
            let tag = tag.map(str::to_owned).ok_or_else(unreadable)?;
            Ok(Part { number: next.load(Ordering::Relaxed).saturating_sub(1), tag })
        };
        twice(send).await
    }

    /// Puts the parts together. An earlier attempt whose answer was lost may have done it.
    pub async fn complete_parts(&self, object: &str, upload: &str, parts: &[Part]) -> Result<()> {
        let list = list(parts);
        let complete = || async {
            let found = self.nodes.find(TRANSFER, |client, bucket| {
                let action = bucket.complete_multipart_upload(self.user(), object, upload, std::iter::empty());
                client.post(action.sign(SIGNED)).body(list.clone())
            });
            let Some(response) = found.await? else {
                return if self.has(object).await? { Ok(()) } else { Err(no_upload()) };
            };
            // A server may say 200 before it knows, and tell the failure in the body.
            let text = text(good(response).await?).await?;
            let failed = |_| StoreError::Unavailable(format!("the parts were not put together: {}", code(&text)));
            CompleteMultipartUploadResponse::parse(&text).map(drop).map_err(failed)
        };
        twice(complete).await
    }

    async fn has(&self, object: &str) -> Result<bool> {
        let found =
            self.nodes.find(ANSWER, |client, bucket| client.head(bucket.head_object(self.user(), object).sign(SIGNED)));
        Ok(found.await?.is_some_and(|response| response.status().is_success()))
    }

    /// Drops the parts.
    pub async fn abort_parts(&self, object: &str, upload: &str) -> Result<()> {
        let asked = self.nodes.ask(ANSWER, |client, bucket| {
            client.delete(bucket.abort_multipart_upload(self.user(), object, upload).sign(SIGNED))
        });
        good_or_gone(asked.await?).await
    }

    /// Where clients may fetch an object by themselves, if anywhere.
    pub fn outside_address(&self, object: &str) -> Option<String> {
        let bucket = self.outside.as_ref()?;
        Some(bucket.get_object(self.user(), object).sign(OUTSIDE).into())
    }
}

/// Does what would cost the whole of a large file a second time where no server could: for a moment after one came back, the others do not
/// see what it holds.
async fn twice<T, F: Future<Output = Result<T>>>(attempt: impl Fn() -> F) -> Result<T> {
    match attempt().await {
        Err(StoreError::Unavailable(_)) => {
            sleep(MOMENT).await;
            attempt().await
        }
        done => done,
    }
}

/// A part that was sent.
pub(super) struct Part {
    number: u16,
    tag: String,
}

/// The parts as S3 wants them listed. Their numbers have gaps.
fn list(parts: &[Part]) -> String {
    let part = |part: &Part| {
        format!(
            "<Part><ETag>{}</ETag><PartNumber>{}</PartNumber></Part>",
            part.tag.replace(['<', '&'], ""),
            part.number
        )
    };
    format!("<CompleteMultipartUpload>{}</CompleteMultipartUpload>", parts.iter().map(part).collect::<String>())
}

/// The answer, if it is a good one.
async fn good(response: Response) -> Result<Response> {
    let status = response.status();
    if status.is_success() {
        return Ok(response);
    }
    let text = text(response).await.unwrap_or_default();
    Err(StoreError::Unavailable(format!("S3 answered {}: {}", status.as_u16(), code(&text))))
}

async fn good_or_gone(response: Response) -> Result<()> {
    if response.status() == StatusCode::NOT_FOUND { Ok(()) } else { good(response).await.map(drop) }
}

async fn body(response: Response) -> Result<Bytes> {
    let bytes = timeout(ANSWER, response.bytes()).await;
    let bytes = bytes.map_err(|_| StoreError::Unavailable("an answer broke off".to_owned()))?;
    bytes.map_err(|error| StoreError::Unavailable(told(error)))
}

async fn text(response: Response) -> Result<String> {
    Ok(String::from_utf8_lossy(&body(response).await?).into_owned())
}

fn no_upload() -> StoreError {
    StoreError::Unavailable("S3 does not know of the upload".to_owned())
}

fn unreadable() -> StoreError {
    StoreError::Unavailable("S3's answer is not understood".to_owned())
}

/// Only the code of an error: the rest quotes the request.
fn code(text: &str) -> &str {
    let code = text.split_once("<Code>").and_then(|(_, rest)| rest.split_once("</Code>"));
    code.map_or("no reason given", |(code, _)| code)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn bucket(more: &str) -> anyhow::Result<Bucket> {
        let text = format!("endpoints: ['https://10.0.0.1:9000']\naccess_key: cargohold\nsecret_key: hush\n{more}");
        Bucket::new(&serde_saphyr::from_str(&text).unwrap())
    }

    #[test]
    fn clients_are_sent_to_the_assets_host_with_a_signature_and_no_secret() {
        assert_eq!(bucket("").unwrap().outside_address("files/one"), None);
        let address = bucket("assets_host: https://assets.wire.example").unwrap().outside_address("files/one").unwrap();
        assert!(address.starts_with("https://assets.wire.example/assets/files/one?X-Amz-"), "{address}");
        assert!(address.contains("X-Amz-Signature=") && !address.contains("hush"), "{address}");
        assert!(bucket("assets_host: assets.wire.example").is_err());
    }

    #[test]
    fn only_the_code_of_an_error_is_told() {
        let text = "<Error><Code>AccessDenied</Code><Message>of hush</Message></Error>";
        assert_eq!((code(text), code("<html>")), ("AccessDenied", "no reason given"));
    }
}
