//! Which service a path leads to, who may use it and how much: the gateway's whole table. What is not in it is answered 404.
//!
//! Services, limits and body sizes are those of Wire's own gateway where it has such a path.

use serde::Serialize;

use super::limits::Zone;

/// A service of the backend.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Backend {
    /// Users, log-in, devices, connections, search.
    Brig,
    /// Websockets.
    Cannon,
    /// Files.
    Cargohold,
    /// Conversations, messages, teams.
    Galley,
    /// Notification logs.
    Gundeck,
    /// Single sign-on.
    Spar,
}

/// Whom the gateway lets pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Admission {
    /// Anybody. Neither cookies nor tokens are passed on.
    Anybody,
    /// Anybody; the service itself looks at the cookie and the token, which only such a route is given.
    ByService,
    /// Whoever has an access token. The service is told whose it is, and never sees it.
    Token,
    /// Likewise, and it may come in the query; what is opened is a websocket, which has a port of its own.
    Websocket,
}

/// How large a body may be, and what becomes of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Body {
    /// JSON.
    Json,
    /// A message with a text for each device.
    Message,
    /// A change of an MLS group.
    Bundle,
    /// A file: as large as the service takes, passed on as it comes and kept nowhere on the way.
    File,
}

/// A row of the table. The first whose pattern fits a path holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Route {
    /// The path without its version: `{name}` is any one segment, a last `**` is the path before it and all below.
    pub pattern: &'static str,
    /// Where it leads.
    pub backend: Backend,
    /// For whom.
    pub admission: Admission,
    /// How often.
    pub zone: Zone,
    /// With what body.
    pub body: Body,
}

impl Body {
    /// As nginx writes it; 0 is no limit of the gateway's.
    #[must_use]
    pub fn limit(self) -> &'static str {
        match self {
            Self::Json => "512k",
            Self::Message => "40m",
            Self::Bundle => "70m",
            Self::File => "0",
        }
    }
}

impl Route {
    /// The pattern as a regular expression of nginx's, with the version that clients may put before a path.
    ///
    /// Patterns have no characters but letters, digits, `-`, `.`, `/` and what is replaced here.
    #[must_use]
    pub fn expression(&self) -> String {
        let (path, below) = match self.pattern.strip_suffix("/**") {
            Some(path) => (path, "(?:/.*)?"),
            None => (self.pattern, ""),
        };
        let segments = path.split('/').map(|segment| match segment.starts_with('{') {
            true => "[^/]+".to_owned(),
            false => segment.replace('.', "\\."),
        });
        format!("^(?:/v[0-9]+)?{}{below}$", segments.collect::<Vec<_>>().join("/"))
    }

    const fn anybody(pattern: &'static str, backend: Backend, zone: Zone) -> Self {
        Self { pattern, backend, admission: Admission::Anybody, zone, body: Body::Json }
    }

    const fn token(pattern: &'static str, backend: Backend) -> Self {
        Self { pattern, backend, admission: Admission::Token, zone: Zone::User, body: Body::Json }
    }

    const fn websocket(pattern: &'static str) -> Self {
        Self { admission: Admission::Websocket, ..Self::token(pattern, Backend::Cannon) }
    }

    const fn with(self, body: Body) -> Self {
        Self { body, ..self }
    }
}

use Backend::{Brig, Cargohold, Galley, Gundeck, Spar};
use Zone::{Address, SignOn, SignOnLookup, Unlimited};

/// The table.
pub const ROUTES: &[Route] = &[
    // Before there is a token.
    Route::anybody("/api-version", Brig, Unlimited),
    Route::anybody("/api/swagger.json", Brig, Address),
    Route::anybody("/system/settings/unauthorized", Brig, Address),
    Route::anybody("/register", Brig, Address),
    Route::anybody("/activate/**", Brig, Address),
    Route::anybody("/login", Brig, Address),
    Route::anybody("/verification-code/send", Brig, Address),
    Route::anybody("/password-reset/**", Brig, Address),
    Route::anybody("/delete", Brig, Address),
    Route::anybody("/teams/invitations/info", Brig, Address),
    Route::anybody("/teams/invitations/by-email", Brig, Address),
    Route::anybody("/custom-backend/by-domain/{domain}", Galley, Address),
    Route::anybody("/conversations/code-check", Galley, Address),
    Route::anybody("/sso/get-by-email", Spar, SignOnLookup),
    Route::anybody("/sso/**", Spar, SignOn),
    // By the cookie.
    // It has a mail sent to whatever address.
    Route { admission: Admission::ByService, ..Route::anybody("/access/self/email", Brig, Address) },
    Route { admission: Admission::ByService, ..Route::anybody("/access/**", Brig, Unlimited) },
    // Users.
    Route::token("/self/**", Brig),
    Route::token("/users/**", Brig),
    Route::token("/list-users", Brig),
    Route::token("/handles/**", Brig),
    Route::token("/search/**", Brig),
    Route::token("/clients/**", Brig),
    Route::token("/cookies/**", Brig),
    Route::token("/connections/**", Brig),
    Route::token("/list-connections", Brig),
    Route::token("/properties/**", Brig),
    Route::token("/properties-values", Brig),
    Route::token("/calls/**", Brig),
    Route::token("/system/settings", Brig),
    Route::token("/teams/invitations/accept", Brig),
    Route::token("/teams/{team}/invitations/**", Brig),
    Route::token("/teams/{team}/size", Brig),
    Route::token("/upgrade-personal-to-team", Galley),
    // Conversations and teams.
    Route::token("/conversations/{conversation}/otr/messages", Galley).with(Body::Message),
    Route::token("/conversations/{domain}/{conversation}/proteus/messages", Galley).with(Body::Message),
    Route::token("/broadcast/**", Galley).with(Body::Message),
    Route::token("/conversations/**", Galley),
    Route::token("/one2one-conversations", Galley),
    Route::token("/teams/**", Galley),
    Route::token("/feature-configs", Galley),
    Route::token("/mls/commit-bundles", Galley).with(Body::Bundle),
    Route::token("/mls/**", Galley),
    // Notifications.
    Route::token("/notifications/**", Gundeck),
    Route::token("/push/**", Gundeck),
    Route::token("/time", Gundeck),
    Route::websocket("/await"),
    Route::websocket("/events"),
    // Files: uploads count, and looking at a conversation full of pictures is no misuse.
    Route::token("/assets", Cargohold).with(Body::File),
    Route::token("/assets/v3", Cargohold).with(Body::File),
    Route { zone: Unlimited, ..Route::token("/assets/**", Cargohold) },
    // Single sign-on's administration.
    Route::token("/identity-providers/**", Spar),
    Route::token("/scim/**", Spar),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_become_expressions() {
        let expression = |pattern| Route::token(pattern, Brig).expression();
        assert_eq!(expression("/time"), "^(?:/v[0-9]+)?/time$");
        assert_eq!(expression("/api/swagger.json"), r"^(?:/v[0-9]+)?/api/swagger\.json$");
        assert_eq!(expression("/teams/{team}/size"), "^(?:/v[0-9]+)?/teams/[^/]+/size$");
        assert_eq!(expression("/users/**"), "^(?:/v[0-9]+)?/users(?:/.*)?$");
    }

    #[test]
    fn patterns_are_plain_and_lead_to_nothing_internal() {
        for Route { pattern, .. } in ROUTES {
            let mut segments = pattern.strip_suffix("/**").unwrap_or(pattern).split('/');
            assert_eq!(segments.next(), Some(""), "{pattern}");
            for segment in segments {
                let word = segment.strip_prefix('{').and_then(|name| name.strip_suffix('}')).unwrap_or(segment);
                let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-.".contains(&byte);
                assert!(!word.is_empty() && word.bytes().all(plain), "{pattern}");
            }
            assert!(!pattern.starts_with("/i/") && !pattern.starts_with("/{"), "{pattern}");
        }
    }
}
