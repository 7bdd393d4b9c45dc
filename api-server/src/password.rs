//! Passwords: argon2id hashes (19 MiB, two passes), checked off the runtime's threads and only so many at a time.

use std::sync::Arc;

use argon2::Argon2;
use argon2::password_hash::{PasswordHasher as _, PasswordVerifier as _, phc::PasswordHash};
use tokio::sync::Semaphore;

use crate::http::Failure;
use crate::secret::Secret;

/// Hashes and checks passwords.
pub struct Passwords {
    /// Each hash takes 19 MiB and tens of milliseconds of a processor.
    permits: Arc<Semaphore>,
    /// Hash of a password nobody has: checked when there is none, so that the time tells nothing.
    dummy: String,
}

/// Fewest and most characters of a password.
pub const LENGTH: std::ops::RangeInclusive<usize> = 6..=1024;

impl Passwords {
    /// With as many hashes at a time as there are processors.
    ///
    /// # Errors
    /// No randomness for the salt.
    pub fn new() -> anyhow::Result<Self> {
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        let dummy = hash(crate::secret::random_text(16)?.as_str()).map_err(anyhow::Error::msg)?;
        Ok(Self { permits: Arc::new(Semaphore::new(processors)), dummy })
    }

    /// The hash to keep of a password.
    ///
    /// # Errors
    /// [`Failure::Internal`].
    pub async fn hash(&self, password: &Secret) -> Result<String, Failure> {
        let password = password.clone();
        self.run(move || hash(password.expose())).await?.map_err(Failure::Internal)
    }

    /// Whether the password is the one that was hashed. Without a hash it takes as long and is not.
    ///
    /// # Errors
    /// [`Failure::Internal`].
    pub async fn verify(&self, password: &Secret, hash: Option<&str>) -> Result<bool, Failure> {
        let (password, text) = (password.clone(), hash.unwrap_or(&self.dummy).to_owned());
        let matches = self.run(move || matches(password.expose(), &text)).await?;
        Ok(matches && hash.is_some())
    }

    async fn run<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<T, Failure> {
        let _permit = self.permits.acquire().await.map_err(|error| Failure::Internal(error.to_string()))?;
        tokio::task::spawn_blocking(work).await.map_err(|error| Failure::Internal(error.to_string()))
    }
}

fn hash(password: &str) -> Result<String, String> {
    Argon2::default().hash_password(password.as_bytes()).map(|hash| hash.to_string()).map_err(|error| error.to_string())
}

fn matches(password: &str, hash: &str) -> bool {
    PasswordHash::new(hash).is_ok_and(|hash| Argon2::default().verify_password(password.as_bytes(), &hash).is_ok())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[tokio::test]
    async fn only_the_right_password_matches() {
        let passwords = Passwords::new().unwrap();
        let right = Secret::new("correct horse".to_owned());
        let hash = passwords.hash(&right).await.unwrap();
        assert!(hash.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{hash}");
        assert!(passwords.verify(&right, Some(&hash)).await.unwrap());
        assert!(!passwords.verify(&Secret::new("wrong".to_owned()), Some(&hash)).await.unwrap());
        assert!(!passwords.verify(&right, None).await.unwrap());
    }
}
