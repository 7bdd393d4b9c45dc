//! API versions: all are served alike, so the prefix `/v<n>` is checked and taken off before routing.

use axum::extract::Request;
use axum::http::Uri;
use axum::http::uri::PathAndQuery;

/// The newest version.
pub const NEWEST: u32 = 15;

/// The version a client asked for; 0 when it said none.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Version(pub u32);

/// Takes `/v<n>` off the path; a number too high stays, and is answered 404 by the fallback.
pub fn take_prefix(mut request: Request) -> Request {
    let mut version = Version(0);
    if let Some((number, rest)) = split(request.uri().path())
        && number <= NEWEST
    {
        let path = match request.uri().query() {
            Some(query) => format!("{rest}?{query}"),
            None => rest.to_owned(),
        };
        if let Ok(path) = PathAndQuery::try_from(path) {
            let mut parts = request.uri().clone().into_parts();
            parts.path_and_query = Some(path);
            if let Ok(uri) = Uri::from_parts(parts) {
                *request.uri_mut() = uri;
                version = Version(number);
            }
        }
    }
    request.extensions_mut().insert(version);
    request
}

/// Splits `/v<n>/rest` into the number and `/rest`.
pub fn split(path: &str) -> Option<(u32, &str)> {
    let rest = path.strip_prefix("/v")?;
    let slash = rest.find('/')?;
    let digits = &rest[..slash];
    let plain = !digits.is_empty() && digits.len() < 9 && digits.bytes().all(|byte| byte.is_ascii_digit());
    plain.then(|| digits.parse().ok()).flatten().map(|number| (number, &rest[slash..]))
}

#[cfg(test)]
mod tests {
    use super::split;

    #[test]
    fn only_a_number_is_a_version() {
        assert_eq!(split("/v13/users/x"), Some((13, "/users/x")));
        for path in ["/users", "/v/x", "/v1", "/vx/a", "/v-1/a", "/v99999999999/a"] {
            assert_eq!(split(path), None, "{path}");
        }
    }
}
