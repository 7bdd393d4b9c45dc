//! Errors as clients read them: `{"code": 403, "label": "invalid-credentials", "message": "…"}`.

use std::borrow::Cow;

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::json;

use crate::store::StoreError;

/// An error of the API: status, label and message.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ApiError {
    /// The HTTP status.
    pub status: u16,
    /// What clients tell errors apart by; empty for an answer without a body.
    pub label: &'static str,
    /// For people.
    pub message: Cow<'static, str>,
}

impl ApiError {
    /// An error.
    pub const fn new(status: u16, label: &'static str, message: &'static str) -> Self {
        Self { status, label, message: Cow::Borrowed(message) }
    }

    /// The same error with words of its own.
    #[must_use]
    pub fn saying(&self, message: impl Into<String>) -> Self {
        Self { message: Cow::Owned(message.into()), ..self.clone() }
    }
}

/// Why a handler gave no answer.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The client did something it may not, or cannot.
    #[error("{} {}: {}", .0.status, .0.label, .0.message)]
    Api(ApiError),
    /// The answer of its own that a failure has, such as a message's missing devices.
    #[error("refused")]
    Response(Box<Response>),
    /// The store did not do it.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Our fault.
    #[error("{0}")]
    Internal(String),
}

impl From<ApiError> for Failure {
    fn from(error: ApiError) -> Self {
        Self::Api(error)
    }
}

impl From<getrandom::Error> for Failure {
    fn from(error: getrandom::Error) -> Self {
        Self::Internal(format!("no randomness: {error}"))
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        if self.label.is_empty() {
            return status.into_response();
        }
        let body = json!({"code": self.status, "label": self.label, "message": self.message});
        (status, axum::Json(body)).into_response()
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        match self {
            Self::Api(error) => error.into_response(),
            Self::Response(response) => *response,
            Self::Store(StoreError::Unavailable(cause)) => {
                tracing::error!(%cause, "the store does not answer");
                UNAVAILABLE.into_response()
            }
            Self::Store(StoreError::Corrupt(cause)) | Self::Internal(cause) => {
                tracing::error!(%cause, "internal error");
                INTERNAL.into_response()
            }
        }
    }
}

macro_rules! errors {
    ($($(#[doc = $doc:literal])? $name:ident = $status:literal $label:literal $message:literal;)+) => {$(
        #[doc = concat!($message, " (", stringify!($status), " `", $label, "`)")]
        pub const $name: ApiError = ApiError::new($status, $label, $message);
    )+};
}

errors! {
    INTERNAL = 500 "server-error" "Something went wrong on the server";
    UNAVAILABLE = 503 "service-unavailable" "The service cannot answer now; try again";
    TOO_MANY_REQUESTS = 420 "too-many-requests" "Too many requests; slow down";
    NO_ENDPOINT = 404 "no-endpoint" "The requested endpoint does not exist";
    BAD_METHOD = 405 "method-not-allowed" "The endpoint knows no such method";
    UNSUPPORTED_VERSION = 404 "unsupported-version" "The server does not support this API version";
    BAD_REQUEST = 400 "bad-request" "The request is not understood";
    TOO_LARGE = 413 "request-entity-too-large" "The request body is too large";
    NOT_FOUND = 404 "not-found" "Not found";
    GONE = 404 "" "Not found, without a body";
    UNAUTHORIZED = 401 "unauthorized" "A valid access token is needed";
    ACCESS_DENIED = 403 "access-denied" "You do not have permission to access this resource";
    INVALID_CREDENTIALS = 403 "invalid-credentials" "Authentication failed.";
    MISSING_AUTH = 403 "missing-auth" "Re-authentication via password required";
    LOGINS_TOO_FREQUENT = 429 "client-error" "Logins too frequent";
    ACCOUNT_PENDING = 403 "pending-activation" "Account pending activation";
    ACCOUNT_SUSPENDED = 403 "suspended" "Account suspended";
    KEY_EXISTS = 409 "key-exists" "The given e-mail address is in use";
    INVALID_EMAIL = 400 "invalid-email" "Invalid e-mail address";
    INVALID_CODE = 403 "invalid-code" "Invalid verification code";
    INVALID_ACTIVATION_CODE = 404 "invalid-code" "Invalid activation code";
    INVALID_RESET_CODE = 400 "invalid-code" "Invalid password reset code";
    PASSWORD_MUST_DIFFER = 409 "password-must-differ" "For password change or reset, new and old password must be different";
    INVALID_HANDLE = 400 "invalid-handle" "The given handle is invalid (less than 2 or more than 256 characters; chars not in \"a-z0-9_.-\"; or on the blocklist)";
    HANDLE_EXISTS = 409 "handle-exists" "The given handle is already taken";
    HANDLE_NOT_FOUND = 404 "not-found" "Handle not found";
    USER_NOT_FOUND = 404 "not-found" "User not found";
    CLIENT_NOT_FOUND = 404 "client-not-found" "Client not found";
    TOO_MANY_CLIENTS = 403 "too-many-clients" "Too many clients";
    MALFORMED_PREKEYS = 400 "bad-request" "Malformed prekeys uploaded";
    PROPERTY_TOO_MANY = 403 "too-many-properties" "Too many properties";
    PROPERTY_KEY_TOO_LARGE = 403 "property-key-too-large" "The property key is too large";
    PROPERTY_VALUE_TOO_LARGE = 403 "property-value-too-large" "The property value is too large";
    INVALID_USER = 400 "invalid-user" "Invalid user";
    NO_IDENTITY = 403 "no-identity" "The user has no verified email";
    INVALID_TRANSITION = 403 "bad-conn-update" "Invalid status transition";
    CONNECTION_LIMIT = 403 "connection-limit" "Too many sent/accepted connections";
    NOT_CONNECTED = 403 "not-connected" "Users are not connected";
    NO_CONVERSATION = 404 "no-conversation" "Conversation not found";
    CONVERSATION_DENIED = 403 "access-denied" "Conversation access denied";
    ACTION_DENIED = 403 "action-denied" "Insufficient authorization";
    INVALID_OPERATION = 403 "invalid-op" "Invalid operation";
    NO_MEMBER = 404 "no-conversation-member" "Conversation member not found";
    TOO_MANY_MEMBERS = 403 "too-many-members" "Maximum number of members per conversation reached";
    NO_CODE = 404 "no-conversation-code" "Conversation code not found";
    CODE_PASSWORD = 403 "invalid-conversation-password" "Invalid conversation password";
    CODE_EXISTS = 409 "create-conv-code-conflict" "Conversation code already exists with a different password setting than the requested one.";
    GUEST_LINKS_OFF = 409 "guest-links-disabled" "The guest link feature is disabled and all guest links have been revoked";
    UNKNOWN_CLIENT = 403 "unknown-client" "Unknown Client";
    TEAM_NOT_FOUND = 404 "no-team" "Team not found";
    NO_TEAM_MEMBER = 403 "no-team-member" "Requesting user is not a team member";
    TEAM_MEMBER_NOT_FOUND = 404 "no-team-member" "Team member not found";
    NOT_IN_A_TEAM = 404 "team-not-found" "Team of the user is not found";
    OPERATION_DENIED = 403 "operation-denied" "Insufficient permissions";
    NO_OTHER_OWNER = 403 "no-other-owner" "You are trying to remove or downgrade an owner. Promote another team member before proceeding.";
    INVALID_PERMISSIONS = 400 "invalid-permissions" "The specified permissions are invalid";
    TOO_MANY_TEAM_MEMBERS = 403 "too-many-team-members" "Maximum number of members per team reached";
    TOO_MANY_INVITATIONS = 403 "too-many-team-invitations" "Too many team invitations for this team";
    EMAIL_EXISTS = 409 "email-exists" "The given e-mail address is in use.";
    INVALID_INVITATION = 400 "invalid-invitation-code" "Invalid invitation code.";
    ASSET_NOT_FOUND = 404 "not-found" "Asset not found";
    ASSET_UNAUTHORIZED = 403 "unauthorised" "Unauthorised operation";
    ASSET_TOO_LARGE = 413 "client-error" "Asset too large";
    ASSET_INCOMPLETE = 400 "incomplete-body" "HTTP content-length header does not match body size";
    FEATURE_UNKNOWN = 404 "not-found" "Unknown feature";
    MLS_OFF = 400 "mls-not-enabled" "MLS is not configured on this backend.";
    SSO_OFF = 404 "not-found" "Single sign-on is not configured on this backend";
    DRAINING = 503 "service-unavailable" "The server is shutting down; connect again";
}
