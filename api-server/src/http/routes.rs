//! Routes together with who may use them: the table that is enforced, tested and published.
//!
//! [`Access`] is checked before the handler runs. So no handler can forget to, and a test goes through the table.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Instant;

use axum::Router;
use axum::extract::{ConnectInfo, FromRequestParts, RawPathParams, Request};
use axum::handler::Handler;
use axum::http::Method;
use axum::http::request::Parts;
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodFilter, MethodRouter, on};
use schemars::{JsonSchema, Schema, SchemaGenerator};
use tracing::Instrument as _;

use super::authentication::{self, Caller};
use super::error::{self, Failure};
use crate::app::App;
use crate::domain::conversation::{Action, Conversation, Member};
use crate::domain::team::{Permission, TeamMember};
use crate::domain::{ConversationId, TeamId};

/// Who may use a route.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Access {
    /// Anybody; limited by address.
    Public,
    /// Anybody; the handler checks a cookie, a code or a signature.
    Cookie,
    /// Whoever has an access token; nothing is kept about them, and no store is asked.
    Token,
    /// Whoever has an access token, whose device is still there if it is bound to one.
    User,
    /// Likewise, and it may come in the query.
    Socket,
    /// Members of the conversation in the path.
    Conversation,
    /// Members whose role allows this.
    ConversationAction(Action),
    /// Members of the team in the path.
    Team,
    /// Members of the team who have this permission.
    TeamPermission(Permission),
    /// Other parts of the backend, and its operators: reached by no path of the front end, only on the internal listener.
    Internal,
}

/// Makes a type's JSON Schema.
pub type SchemaOf = fn(&mut SchemaGenerator) -> Schema;

/// One row of the table.
#[derive(Clone)]
pub struct Route {
    /// HTTP method.
    pub method: Method,
    /// Path with `{parameters}`, without version.
    pub path: &'static str,
    /// Who.
    pub access: Access,
    /// Form of the body, if JSON.
    pub request: Option<SchemaOf>,
    /// Status and form of the answer, if JSON.
    pub response: Option<(u16, SchemaOf)>,
}

/// Routes of one or several services.
#[derive(Default)]
pub struct Routes {
    router: Router<Arc<App>>,
    table: Vec<Route>,
}

macro_rules! methods {
    ($($name:ident $filter:ident;)+) => {$(
        #[doc = concat!("Adds a route for ", stringify!($filter), ".")]
        #[must_use]
        pub fn $name<H, T>(self, path: &'static str, access: Access, handler: H) -> Self
        where
            H: Handler<T, Arc<App>>,
            T: 'static,
        {
            self.add(Method::$filter, path, access, on(MethodFilter::$filter, handler))
        }
    )+};
}

impl Routes {
    methods! {
        get GET;
        post POST;
        put PUT;
        delete DELETE;
        head HEAD;
    }

    fn add(mut self, method: Method, path: &'static str, access: Access, handler: MethodRouter<Arc<App>>) -> Self {
        let guarded = handler.route_layer(middleware::from_fn(move |request, next| guard(access, request, next)));
        self.router = self.router.route(path, guarded);
        self.table.push(Route { method, path, access, request: None, response: None });
        self
    }

    /// Says the form of the last route's body.
    #[must_use]
    pub fn takes<T: JsonSchema>(mut self) -> Self {
        if let Some(route) = self.table.last_mut() {
            route.request = Some(SchemaGenerator::subschema_for::<T>);
        }
        self
    }

    /// Says the form of the last route's answer.
    #[must_use]
    pub fn gives<T: JsonSchema>(mut self, status: u16) -> Self {
        if let Some(route) = self.table.last_mut() {
            route.response = Some((status, SchemaGenerator::subschema_for::<T>));
        }
        self
    }

    /// These routes and others.
    #[must_use]
    pub fn and(mut self, others: Self) -> Self {
        self.router = self.router.merge(others.router);
        self.table.extend(others.table);
        self
    }

    /// The table.
    pub fn table(&self) -> &[Route] {
        &self.table
    }

    /// The router that serves them, and the table.
    pub fn into_parts(self) -> (Router<Arc<App>>, Vec<Route>) {
        (self.router, self.table)
    }
}

/// The conversation in the path, and the caller's membership.
#[derive(Clone)]
pub struct Membership {
    /// The conversation.
    pub conversation: Conversation,
    /// The caller in it.
    pub member: Member,
    /// All that are in it, the caller among them.
    pub members: Arc<[Member]>,
}

/// The caller's membership of the team in the path.
#[derive(Clone)]
pub struct TeamMembership(pub TeamMember);

macro_rules! from_guard {
    ($($name:ident)+) => {$(
        impl<S: Send + Sync> FromRequestParts<S> for $name {
            type Rejection = Failure;
            async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Failure> {
                let found = parts.extensions.get::<Self>().cloned();
                found.ok_or_else(|| Failure::Internal(concat!("a handler wants a ", stringify!($name), " its route does not check").to_owned()))
            }
        }
    )+};
}
from_guard! { Membership TeamMembership }

async fn guard(access: Access, request: Request, next: Next) -> Response {
    match admit(access, request).await {
        Ok(request) if request.method().is_safe() => next.run(request).await,
        // The server drops a handler whose client is gone. What changes something is brought to its end all the same.
        Ok(request) => {
            let change = request.extensions().get::<Arc<App>>().map(|app| app.metrics.change());
            let handling = async move {
                let _change = change;
                next.run(request).await
            };
            let handling = tokio::spawn(handling.in_current_span());
            handling.await.unwrap_or_else(|broken| Failure::Internal(broken.to_string()).into_response())
        }
        Err(failure) => failure.into_response(),
    }
}

async fn admit(access: Access, request: Request) -> Result<Request, Failure> {
    let app = request.extensions().get::<Arc<App>>().cloned().ok_or_else(|| Failure::Internal("no app".to_owned()))?;
    let caller = match access {
        Access::Public => {
            let key = (address(&app, &request), request.uri().path().to_owned());
            return if app.limits.addresses.admit(key, Instant::now()) {
                Ok(request)
            } else {
                Err(error::TOO_MANY_REQUESTS.into())
            };
        }
        Access::Cookie | Access::Internal => return Ok(request),
        Access::Socket => authentication::caller(&app, &request, true)?,
        _ => authentication::caller(&app, &request, false)?,
    };
    if !app.limits.users.admit(caller.user, Instant::now()) {
        return Err(error::TOO_MANY_REQUESTS.into());
    }
    if let Some(client) = caller.client
        && access != Access::Token
        && !app.devices.is_there(&*app.store.clients, caller.user, client, Instant::now()).await
    {
        return Err(error::UNAUTHORIZED.saying("The token's client is gone").into());
    }
    let (mut parts, body) = request.into_parts();
    let action = match access {
        Access::ConversationAction(action) => Some(action),
        _ => None,
    };
    if action.is_some() || access == Access::Conversation {
        let membership = membership(&app, &mut parts, &caller).await?;
        if action.is_some_and(|action| !membership.member.role.allows(action)) {
            return Err(error::ACTION_DENIED.into());
        }
        parts.extensions.insert(membership);
    }
    let permission = match access {
        Access::TeamPermission(permission) => Some(permission),
        _ => None,
    };
    if permission.is_some() || access == Access::Team {
        let member = team_member(&app, &mut parts, &caller).await?;
        if permission.is_some_and(|permission| !member.permissions.allows(permission)) {
            return Err(error::OPERATION_DENIED.into());
        }
        parts.extensions.insert(TeamMembership(member));
    }
    parts.extensions.insert(caller);
    Ok(Request::from_parts(parts, body))
}

async fn membership(app: &App, parts: &mut Parts, caller: &Caller) -> Result<Membership, Failure> {
    if parameter(parts, "domain").await.is_some_and(|domain| domain != app.config.domain) {
        return Err(error::NO_CONVERSATION.into());
    }
    let id: Option<ConversationId> = parameter(parts, "conversation").await.and_then(|text| text.parse().ok());
    let id = id.ok_or(error::NO_CONVERSATION)?;
    let conversations = &app.store.conversations;
    // Asked for at once, and all members with the caller: every message waits for this, and goes to all.
    let (conversation, members) = tokio::try_join!(conversations.get(id), conversations.members(id))?;
    let conversation = conversation.ok_or(error::NO_CONVERSATION)?;
    let member = members.iter().find(|member| member.user == caller.user).cloned();
    Ok(Membership { conversation, member: member.ok_or(error::CONVERSATION_DENIED)?, members: members.into() })
}

async fn team_member(app: &App, parts: &mut Parts, caller: &Caller) -> Result<TeamMember, Failure> {
    let id: Option<TeamId> = parameter(parts, "team").await.and_then(|text| text.parse().ok());
    let id = id.ok_or(error::TEAM_NOT_FOUND)?;
    Ok(app.store.teams.member(id, caller.user).await?.ok_or(error::NO_TEAM_MEMBER)?)
}

async fn parameter(parts: &mut Parts, name: &str) -> Option<String> {
    let parameters = RawPathParams::from_request_parts(parts, &()).await.ok()?;
    parameters.iter().find(|(known, _)| *known == name).map(|(_, value)| value.to_owned())
}

/// The client's address: the connection's, or what a trusted front end says.
fn address(app: &App, request: &Request) -> IpAddr {
    let forwarded = || request.headers().get("x-forwarded-for")?.to_str().ok()?.rsplit(',').next()?.trim().parse().ok();
    let peer = || request.extensions().get::<ConnectInfo<SocketAddr>>().map(|info| info.0.ip());
    let address = if app.config.behind_proxy { forwarded().or_else(peer) } else { peer() };
    address.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED))
}
