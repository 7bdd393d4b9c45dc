//! Files that a site names by address and digest. The digest decides: whoever serves them need not be trusted.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::time::Duration;

use sha2::{Digest as _, Sha256};
use wire_deploy_agent::digest::Digest;

use super::ArtifactError;
use super::command::Progress;
use super::image::layout::Layout;
use super::made::Files;
use super::recipe::Brought;
use super::store::{Store, failed};
use crate::lock::LockedFile;
use crate::site::model::Source;
use crate::transport::web::{Web, told};

/// How long a server may say nothing.
const SILENCE: Duration = Duration::from_secs(60);

/// Fetches what the store lacks; and the digests of those that are images, by name.
///
/// # Errors
/// When one cannot be fetched, is not what the site says it is, or is no image where one is wanted.
pub async fn fetch(
    brought: &Brought,
    store: &Store,
    progress: &Progress,
) -> Result<(Files, BTreeMap<String, Digest>), ArtifactError> {
    let web = Web::new(None).map_err(|error| ArtifactError::new(error.message, error.hint))?;
    let http = web.http().read_timeout(SILENCE).build().map_err(|error| {
        ArtifactError::new(format!("HTTP cannot be set up: {}", told(error)), "report this as a bug")
    })?;
    let (mut files, mut images) = (Files::new(), BTreeMap::new());
    for (name, source) in &brought.files {
        let path = store.path(&source.sha256);
        if !path.exists() {
            progress.line(format!("fetching {name}"));
            fetch_one(&http, name, source, store).await?;
        }
        let blob = source.sha256.clone();
        files.insert(name.clone(), LockedFile { size: store.size(&blob)?, blob });
        if brought.are_images {
            images.insert(name.clone(), Layout::read(&path).map_err(|error| no_image(name, error))?.digest);
        }
    }
    Ok((files, images))
}

async fn fetch_one(http: &reqwest::Client, name: &str, source: &Source, store: &Store) -> Result<(), ArtifactError> {
    let url = &source.url;
    let unfetched = |why: String| {
        ArtifactError::new(
            format!("{name} cannot be fetched from {url}: {why}"),
            "see that the address in the site's `artifacts` can be reached from this machine",
        )
    };
    let answer = http.get(url).send().await.and_then(reqwest::Response::error_for_status);
    let mut answer = answer.map_err(|error| unfetched(told(error)))?;
    let mut file = tempfile::NamedTempFile::new().map_err(|error| failed("write to", &std::env::temp_dir(), &error))?;
    let mut hasher = Sha256::new();
    while let Some(piece) = answer.chunk().await.map_err(|error| unfetched(told(error)))? {
        hasher.update(&piece);
        file.write_all(&piece).map_err(|error| failed("write", file.path(), &error))?;
    }
    let found = Digest::from_hasher(hasher);
    if found != source.sha256 {
        return Err(ArtifactError::new(
            format!("{name} from {url} is not what the site says: its SHA-256 is {found}, expected {}", source.sha256),
            "nothing of it is kept: find out which of the two is right",
        ));
    }
    store.put_file(file.path()).map(drop)
}

/// What Kubernetes' releases have is an archive of Docker's form.
fn no_image(name: &str, error: ArtifactError) -> ArtifactError {
    let hint = format!("`skopeo copy docker-archive:{name}.tar oci-archive:{name}.oci.tar` makes one of Docker's form");
    ArtifactError { message: format!("{name}: {}", error.message), hint, log: error.log }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::io::{BufRead as _, BufReader, Write as _};
    use std::net::TcpListener;
    use std::sync::Arc;

    use super::*;

    /// A web server that has one file, whatever is asked for; its address.
    fn server(status: &'static str, content: Vec<u8>) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let lines = BufReader::new(stream.try_clone().unwrap()).lines();
            lines.take_while(|line| !line.as_ref().unwrap().is_empty()).for_each(drop);
            write!(stream, "HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", content.len())
                .unwrap();
            stream.write_all(&content).unwrap();
        });
        format!("http://{address}/kubelet")
    }

    fn fetched(store: &Store, url: String, sha256: Digest, are_images: bool) -> Result<LockedFile, ArtifactError> {
        let files = BTreeMap::from([("kubelet".to_owned(), Source { url, sha256 })]);
        let brought = Brought { version: "1.0".to_owned(), files, are_images };
        let progress = Progress::new("test", &(Arc::new(|_| ()) as super::super::command::Tell));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(fetch(&brought, store, &progress)).map(|(files, _)| files["kubelet"].clone())
    }

    #[test]
    fn a_file_is_kept_only_if_it_is_what_the_site_says() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::at(folder.path());
        let (content, digest) = (b"program".to_vec(), Digest::of(b"program"));
        let other = Digest::of(b"another");
        let error = fetched(&store, server("200 OK", content.clone()), other.clone(), false).unwrap_err();
        assert!(error.message.contains(digest.as_str()) && error.message.contains(other.as_str()), "{error:?}");
        assert!(!store.path(&digest).exists() && !store.path(&other).exists());
        let error = fetched(&store, server("404 Not Found", Vec::new()), digest.clone(), false).unwrap_err();
        assert!(error.message.contains("404"), "{error:?}");
        let file = fetched(&store, server("200 OK", content), digest.clone(), false).unwrap();
        assert_eq!(file, LockedFile { blob: digest.clone(), size: 7 });
        // It is in the store, so nobody is asked.
        assert_eq!(fetched(&store, "http://127.0.0.1:1/".to_owned(), digest.clone(), false).unwrap(), file);
        let error = fetched(&store, "http://127.0.0.1:1/".to_owned(), digest, true).unwrap_err();
        assert!(error.message.contains("is not an image") && error.hint.contains("skopeo"), "{error:?}");
    }
}
