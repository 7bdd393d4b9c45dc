//! The directory in OpenSearch, behind the alias `directory` whose mapping and analysers the deployment makes.
//!
//! - Writes refresh the one shard they touch (`refresh=true`): users are entered seldom, and somebody who has just registered is looked
//!   for at once. Waiting for the periodic refresh would let each registration wait for seconds.
//! - A write that no node takes in time goes on by itself, so that nobody's registration hangs on a node that died.
//! - Each write bears its time as the version, and an older one never overwrites a newer: neither one that was late nor a rebuild
//!   of the whole directory.
//! - Candidates are ranked here once more, exactly as the store in memory does; OpenSearch only has to bring the best ones.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use reqwest::header::CONTENT_TYPE;
use reqwest::{Method, StatusCode, Url};
use serde_json::Value;
use tokio::time::{Instant, sleep, timeout};
use tracing::Instrument as _;

use super::nodes::{Nodes, told};
use super::search::{Document, Search, SearchQuery};
use super::{Result, StoreError};
use crate::config;
use crate::domain::{Time, UserId};
use crate::secret::Secret;

mod body;

/// A node that does not answer within this time is passed over.
const ANSWER: Duration = Duration::from_secs(3);
/// A bulk takes longer.
const BULK_ANSWER: Duration = Duration::from_secs(30);
/// For so long a caller waits.
const PATIENCE: Duration = Duration::from_secs(5);
/// For so long a write is tried: OpenSearch notices a silent node after half a minute.
const PERSISTENCE: Duration = Duration::from_secs(90);
const PAUSE: Duration = Duration::from_millis(250);
/// Entries of a bulk.
const BULK: usize = 500;

/// The directory in OpenSearch.
pub struct OpenSearch(Arc<Cluster>);

struct Cluster {
    nodes: Nodes<Url>,
    login: Option<(String, Secret)>,
}

impl OpenSearch {
    /// The directory of a cluster. Nothing is asked yet.
    ///
    /// # Errors
    /// Addresses or a file of authorities that are none.
    pub fn new(config: &config::Search) -> anyhow::Result<Self> {
        let nodes = Nodes::new(&config.endpoints, config.authority.as_deref(), Ok)?;
        let password = config.password.as_ref().map(|password| password.0.clone()).unwrap_or_default();
        let login = config.user.clone().map(|user| (user, password));
        Ok(Self(Arc::new(Cluster { nodes, login })))
    }

    /// Writes an entry, however long it takes; waits only for so long.
    async fn write(&self, method: Method, user: UserId, body: String) -> Result<()> {
        let path = body::entry_path(user, Time::now());
        let cluster = Arc::clone(&self.0);
        let writing = async move {
            let written = match cluster.ask_for(PERSISTENCE, &method, &path, &body).await {
                Ok((status, answer)) if !body::is_written(status) => Err(refused(status, &answer)),
                asked => asked.map(drop),
            };
            if let Err(error) = &written {
                tracing::error!(%user, %error, "the directory is out of date: rebuild it (reindex)");
            }
            written
        };
        let writing = tokio::spawn(writing.in_current_span());
        match timeout(PATIENCE, writing).await {
            Ok(Ok(written)) => written,
            Ok(Err(broken)) => Err(StoreError::Unavailable(broken.to_string())),
            Err(_) => {
                tracing::warn!(%user, "the directory does not answer; the entry follows");
                Ok(())
            }
        }
    }
}

impl Cluster {
    /// One exchange with whichever node answers.
    async fn ask(&self, limit: Duration, method: &Method, path: &str, body: &str) -> Result<(StatusCode, Value)> {
        let response = self.nodes.ask(limit, |client, address| {
            let mut url = address.clone();
            let (path, query) = path.split_once('?').unwrap_or((path, ""));
            url.set_path(path);
            url.set_query(Some(query));
            let request = client.request(method.clone(), url).header(CONTENT_TYPE, "application/json");
            let request = if body.is_empty() { request } else { request.body(body.to_owned()) };
            match &self.login {
                Some((user, password)) => request.basic_auth(user, Some(password.expose())),
                None => request,
            }
        });
        let response = response.await?;
        let status = response.status();
        let bytes = timeout(limit, response.bytes()).await;
        let bytes = bytes.map_err(|_| StoreError::Unavailable("an answer broke off".to_owned()))?;
        let bytes = bytes.map_err(|error| StoreError::Unavailable(told(error)))?;
        Ok((status, serde_json::from_slice(&bytes).unwrap_or_default()))
    }

    /// Asks again while the cluster is busy, without some of its shards, or not there at all.
    async fn ask_for(
        &self,
        persistence: Duration,
        method: &Method,
        path: &str,
        body: &str,
    ) -> Result<(StatusCode, Value)> {
        let began = Instant::now();
        loop {
            let asked = self.ask(ANSWER, method, path, body).await;
            let passing = match &asked {
                Ok((status, _)) => status.is_server_error() || *status == StatusCode::TOO_MANY_REQUESTS,
                Err(_) => true,
            };
            if !passing || began.elapsed() > persistence {
                return asked;
            }
            sleep(PAUSE).await;
        }
    }
}

/// Only the kind of error: reasons quote what was sent.
fn refused(status: StatusCode, answer: &Value) -> StoreError {
    let kind = answer["error"]["type"].as_str().unwrap_or("no reason given");
    StoreError::Unavailable(format!("OpenSearch answered {}: {kind}", status.as_u16()))
}

#[async_trait]
impl Search for OpenSearch {
    async fn put(&self, document: &Document) -> Result<()> {
        self.write(Method::PUT, document.id, body::entry(document).to_string()).await
    }

    async fn delete(&self, user: UserId) -> Result<()> {
        self.write(Method::DELETE, user, String::new()).await
    }

    async fn load(&self, read: Time, present: &[Document], gone: &[UserId]) -> Result<()> {
        let lines: Vec<_> = present
            .iter()
            .map(|document| body::bulk_entry(document, read))
            .chain(gone.iter().map(|user| body::bulk_removal(*user, read)))
            .collect();
        for lines in lines.chunks(BULK) {
            let (status, answer) = self.0.ask(BULK_ANSWER, &Method::POST, body::BULK_PATH, &lines.concat()).await?;
            if !status.is_success() {
                return Err(refused(status, &answer));
            }
            if let Some(status) = body::first_failure(&answer) {
                return Err(StoreError::Unavailable(format!("OpenSearch answered {status} for an entry of many")));
            }
        }
        Ok(())
    }

    async fn find(&self, query: &SearchQuery) -> Result<Vec<Document>> {
        let wanted = query.wanted();
        if wanted.is_empty() {
            return Ok(Vec::new());
        }
        let body = body::query(query, &wanted).to_string();
        let (status, answer) = self.0.ask_for(PATIENCE, &Method::POST, body::SEARCH_PATH, &body).await?;
        if !status.is_success() {
            return Err(refused(status, &answer));
        }
        Ok(query.choose(body::found(&answer)))
    }
}
