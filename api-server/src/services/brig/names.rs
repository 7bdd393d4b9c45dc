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

/// A language tag such as `en` or `de-AT`.
///
/// # Errors
/// 400.
pub fn locale(tag: &str) -> Result<(), ApiError> {
    let good = (2..=16).contains(&tag.len()) && tag.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    if good {
        Ok(())
    } else {
        Err(error::BAD_REQUEST.saying("Error in the locale: a language tag such as en or de-AT is expected"))
    }
}

/// Texts that only clients read, such as a device's label or a team's icon: at most 256 bytes each, those that are there.
///
/// # Errors
/// 400.
pub fn short<'a>(what: &str, texts: impl IntoIterator<Item = &'a Option<String>>) -> Result<(), ApiError> {
    if texts.into_iter().flatten().all(|text| text.len() <= 256) {
        Ok(())
    } else {
        Err(error::BAD_REQUEST.saying(format!("Error in {what}: at most 256 bytes are expected")))
    }
}

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
        assert!(locale("de-AT").is_ok());
        for wrong in ["", "e", "en_GB", "a-tag-without-an-end"] {
            assert!(locale(wrong).is_err(), "{wrong}");
        }
        assert!(short("label", [&None, &Some("x".repeat(256))]).is_ok());
        assert!(short("label", [&Some("x".repeat(257))]).is_err());
        assert!(display_name("  ").is_err());
        assert!(display_name(&"x".repeat(129)).is_err());
    }
}
