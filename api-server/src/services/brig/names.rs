//! What names, handles and e-mail addresses look like.

use crate::http::error::{self, ApiError};
use crate::secret::Secret;

/// A display name: 1 to 128 characters, trimmed, without control characters.
///
/// # Errors
/// 400.
pub fn display_name(text: &str) -> Result<String, ApiError> {
    let name = text.trim();
    let length = name.chars().count();
    if (1..=128).contains(&length) && !name.chars().any(char::is_control) {
        Ok(name.to_owned())
    } else {
        Err(error::BAD_REQUEST.saying("Error in the name: 1 to 128 characters are expected"))
    }
}

/// An e-mail address in lower case.
///
/// # Errors
/// 400.
pub fn email(text: &str) -> Result<String, ApiError> {
    let address = text.trim().to_lowercase();
    let good = address.len() <= 254
        && address.parse::<lettre::Address>().is_ok()
        && !address.chars().any(|character| character.is_control() || character.is_whitespace());
    if good { Ok(address) } else { Err(error::INVALID_EMAIL) }
}

/// A handle: 2 to 256 of `a-z0-9_.-`.
///
/// # Errors
/// 400.
pub fn handle(text: &str) -> Result<String, ApiError> {
    let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'_' | b'.' | b'-');
    let good = (2..=256).contains(&text.len()) && text.bytes().all(allowed) && !RESERVED.contains(&text);
    if good { Ok(text.to_owned()) } else { Err(error::INVALID_HANDLE) }
}

/// Handles that could be taken for the backend's own.
const RESERVED: &[&str] = &["admin", "administrator", "all", "everyone", "root", "support", "wire"];

/// A password of allowed length.
///
/// # Errors
/// 400.
pub fn password(password: &Secret) -> Result<(), ApiError> {
    let length = password.expose().chars().count();
    if crate::password::LENGTH.contains(&length) {
        Ok(())
    } else {
        Err(error::BAD_REQUEST.saying("Error in the password: 6 to 1024 characters are expected"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_checked() {
        assert_eq!(email(" Ann@Example.COM ").ok().as_deref(), Some("ann@example.com"));
        for wrong in ["", "ann", "@example.com", "ann@", "a b@example.com", "ann@example.com\r\nBcc: x@y.z"] {
            assert!(email(wrong).is_err(), "{wrong}");
        }
        assert!(handle("ann_1.x-y").is_ok());
        for wrong in ["a", "Ann", "a n", "admin", "ann!"] {
            assert!(handle(wrong).is_err(), "{wrong}");
        }
        assert!(display_name("  ").is_err());
        assert!(display_name(&"x".repeat(129)).is_err());
    }
}
