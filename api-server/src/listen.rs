//! Where a server listens: at an address, or at a socket in the file system for what runs beside it.

use std::fmt;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::os::unix::fs::FileTypeExt as _;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use anyhow::Context as _;
use tokio::net::{TcpListener, UnixListener, UnixStream};

/// How a socket's path is told from an address.
const SOCKET: &str = "unix:";

/// A place to listen at, as it is written: `ADDRESS:PORT` or `unix:PATH`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Place {
    /// An address and a port.
    Network(SocketAddr),
    /// A socket's path. Whoever may write to it may connect.
    Socket(PathBuf),
}

impl FromStr for Place {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        match text.strip_prefix(SOCKET) {
            Some(path) if Path::new(path).is_absolute() => Ok(Self::Socket(path.into())),
            Some(_) => Err("expected an absolute path after unix:, as in unix:/run/wire/auth.sock".to_owned()),
            None => text.parse().map(Self::Network).map_err(|_| {
                "expected an address and a port, or unix: and a path, as in 127.0.0.1:8080 or unix:/run/wire/auth.sock"
                    .to_owned()
            }),
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Network(address) => address.fmt(formatter),
            Self::Socket(path) => write!(formatter, "{SOCKET}{}", path.display()),
        }
    }
}

/// What takes connections.
pub enum Listener {
    /// From the network.
    Network(TcpListener),
    /// From this machine.
    Socket(UnixListener),
}

impl From<TcpListener> for Listener {
    fn from(listener: TcpListener) -> Self {
        Self::Network(listener)
    }
}

impl Place {
    /// Listens here. A socket that a killed process left is taken over.
    ///
    /// # Errors
    /// The place is taken, or may not be used.
    pub async fn bind(&self) -> anyhow::Result<Listener> {
        let bound: anyhow::Result<Listener> = match self {
            Self::Network(address) => TcpListener::bind(address).await.map(Listener::Network).map_err(Into::into),
            Self::Socket(path) => bind_socket(path).await.map(Listener::Socket),
        };
        bound.with_context(|| format!("cannot listen on {self}"))
    }
}

impl Listener {
    /// Where it listens: with the port that was given to it where 0 was asked for.
    ///
    /// # Errors
    /// The system's.
    pub fn place(&self) -> std::io::Result<Place> {
        match self {
            Self::Network(listener) => listener.local_addr().map(Place::Network),
            Self::Socket(listener) => {
                let address = listener.local_addr()?;
                Ok(Place::Socket(address.as_pathname().map(Path::to_owned).unwrap_or_default()))
            }
        }
    }
}

async fn bind_socket(path: &Path) -> anyhow::Result<UnixListener> {
    match std::fs::symlink_metadata(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(error) => return Err(error.into()),
        Ok(found) => {
            anyhow::ensure!(found.file_type().is_socket(), "there is something else than a socket");
            // Only a process that is alive takes the connection.
            anyhow::ensure!(UnixStream::connect(path).await.is_err(), "another process listens there");
            std::fs::remove_file(path)?;
        }
    }
    Ok(UnixListener::bind(path)?)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn a_place_is_an_address_or_an_absolute_path() {
        for text in ["127.0.0.1:8080", "[::1]:80", "unix:/run/wire/auth.sock"] {
            assert_eq!(text.parse::<Place>().unwrap().to_string(), text);
        }
        for text in ["8080", "localhost:8080", "unix:", "unix:auth.sock", "/run/wire/auth.sock"] {
            assert!(text.parse::<Place>().unwrap_err().starts_with("expected"), "{text}");
        }
    }

    #[tokio::test]
    async fn only_a_socket_that_nobody_listens_at_is_taken_over() {
        let folder = tempfile::tempdir().unwrap();
        let place = Place::Socket(folder.path().join("auth.sock"));
        let first = place.bind().await.unwrap();
        assert_eq!(first.place().unwrap(), place);
        let error = format!("{:#}", place.bind().await.err().unwrap());
        assert!(
            error.starts_with("cannot listen on unix:/") && error.ends_with("another process listens there"),
            "{error}"
        );
        drop(first);
        assert!(folder.path().join("auth.sock").exists());
        place.bind().await.unwrap();

        std::fs::write(folder.path().join("notes"), "kept").unwrap();
        let error = Place::Socket(folder.path().join("notes")).bind().await.err().unwrap();
        assert!(format!("{error:#}").ends_with("something else than a socket"), "{error:#}");
        assert_eq!(std::fs::read_to_string(folder.path().join("notes")).unwrap(), "kept");
    }
}
