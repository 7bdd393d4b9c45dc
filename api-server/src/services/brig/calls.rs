//! Calls: where TURN and conference servers are, with credentials that are good for a while.
//!
//! Credentials after the TURN REST API draft that coturn's `use-auth-secret` follows: the user is the time they end, the password an HMAC-SHA1 of it
//! under the shared secret.

use axum::extract::State;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::{Value, json};
use sha1::Sha1;

use crate::domain::Time;
use crate::http::body::Json;
use crate::http::{Access, Answer, App, Caller, Failure, Routes};

/// The routes.
pub fn routes() -> Routes {
    Routes::default().get("/calls/config", Access::User, config).get("/calls/config/v2", Access::User, config)
}

/// Seconds after which a client asks again.
const TTL: i64 = 3600;
/// Seconds that credentials are good: longer than a call that begins just before the client asks again.
const LIFETIME: i64 = 24 * 3600;

async fn config(State(app): App, _caller: Caller) -> Answer<Json<Value>> {
    let calls = &app.config.calls;
    let user = format!("{}:{}", Time::now().seconds() + LIFETIME, getrandom::u32()?);
    let servers = match &calls.turn_secret {
        Some(secret) => {
            let credential = credential(secret.0.expose(), &user)?;
            calls
                .turn_servers
                .iter()
                .map(|server| json!({"urls": [server], "username": user, "credential": credential}))
                .collect()
        }
        None => Vec::new(),
    };
    let mut answer = json!({"ttl": TTL, "ice_servers": servers, "is_federating": false});
    if !calls.conference_servers.is_empty() {
        let conference: Vec<_> = calls.conference_servers.iter().map(|url| json!({"urls": [url]})).collect();
        answer["sft_servers"] = json!(conference);
        answer["sft_servers_all"] = json!(conference);
    }
    Ok(Json(answer))
}

fn credential(secret: &str, user: &str) -> Result<String, Failure> {
    let mut mac =
        Hmac::<Sha1>::new_from_slice(secret.as_bytes()).map_err(|error| Failure::Internal(error.to_string()))?;
    mac.update(user.as_bytes());
    Ok(STANDARD.encode(mac.finalize().into_bytes()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    #[test]
    fn a_credential_is_what_coturn_computes() {
        // printf 1700000000:7 | openssl dgst -sha1 -hmac hush -binary | base64
        assert_eq!(super::credential("hush", "1700000000:7").unwrap(), "+oVI0TwQSlI1tGD9/7LpucCdDuE=");
    }
}
