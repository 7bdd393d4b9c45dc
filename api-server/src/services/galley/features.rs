//! Features: what is on and off, for everybody and for a team.

use std::collections::BTreeMap;

use axum::extract::{Path, State};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::app::App;
use crate::domain::team::Permission;
use crate::domain::{TeamId, Time};
use crate::http::body::{Json, json as answer};
use crate::http::{Access, Answer, App as AppState, Caller, Failure, Routes, error};
use crate::services::brig::account;

/// The routes.
pub fn routes() -> Routes {
    Routes::default()
        .get("/feature-configs", Access::User, own)
        .get("/teams/{team}/features", Access::Team, of_team)
        .get("/teams/{team}/features/{feature}", Access::Team, one)
        .put("/teams/{team}/features/{feature}", Access::TeamPermission(Permission::SetTeamData), set)
}

/// Features by name: on or off, whether a team may change it, and settings.
const FEATURES: &[(&str, bool, bool, &str)] = &[
    ("appLock", true, true, r#"{"enforceAppLock": false, "inactivityTimeoutSecs": 60}"#),
    ("apps", false, false, ""),
    ("cells", false, false, ""),
    ("channels", false, false, ""),
    ("chatBubbles", false, false, ""),
    ("classifiedDomains", false, false, r#"{"domains": []}"#),
    ("conferenceCalling", true, false, r#"{"useSFTForOneToOneCalls": false}"#),
    ("conversationGuestLinks", true, true, ""),
    ("digitalSignatures", false, false, ""),
    ("domainRegistration", false, false, ""),
    ("enforceFileDownloadLocation", false, false, "{}"),
    ("exposeInvitationURLsToTeamAdmin", false, false, ""),
    ("fileSharing", true, true, ""),
    ("legalhold", false, false, ""),
    ("limitedEventFanout", false, false, ""),
    (
        "mls",
        false,
        false,
        r#"{"allowedCipherSuites": [1], "defaultCipherSuite": 1, "defaultProtocol": "proteus", "protocolToggleUsers": [], "supportedProtocols": ["proteus"]}"#,
    ),
    ("mlsE2EId", false, false, r#"{"verificationExpiration": 86400}"#),
    ("mlsMigration", false, false, "{}"),
    ("outlookCalIntegration", false, false, ""),
    ("searchVisibility", false, false, ""),
    ("searchVisibilityInbound", false, false, ""),
    ("selfDeletingMessages", true, true, r#"{"enforcedTimeoutSeconds": 0}"#),
    ("sndFactorPasswordChallenge", false, false, ""),
    ("sso", false, false, ""),
    ("validateSAMLemails", false, false, ""),
];

/// Every feature as it is without a team's own settings.
fn defaults() -> BTreeMap<String, Value> {
    let feature = |(name, on, free, config): &(&str, bool, bool, &str)| {
        let mut value = json!({
            "status": if *on { "enabled" } else { "disabled" },
            "lockStatus": if *free { "unlocked" } else { "locked" },
            "ttl": "unlimited",
        });
        // A feature without settings has no config at all.
        if let Ok(config) = serde_json::from_str::<Value>(config) {
            value["config"] = config;
        }
        ((*name).to_owned(), value)
    };
    FEATURES.iter().map(feature).collect()
}

async fn all(app: &App, team: Option<TeamId>) -> Result<BTreeMap<String, Value>, Failure> {
    let mut features = defaults();
    if let Some(team) = team {
        for (name, own) in app.store.teams.features(team).await? {
            if let (Some(feature), Some(own)) = (features.get_mut(&name), own.as_object()) {
                for (key, value) in own {
                    feature[key] = value.clone();
                }
            }
        }
    }
    Ok(features)
}

/// Whether a team has a feature.
///
/// # Errors
/// The store's.
pub async fn is_on(app: &App, team: TeamId, name: &str) -> Result<bool, Failure> {
    Ok(all(app, Some(team)).await?.get(name).is_some_and(|feature| feature["status"] == "enabled"))
}

async fn own(State(app): AppState, caller: Caller) -> Answer {
    let user = account::own(&app, &caller).await?;
    Ok(answer(200, all(&app, user.team).await?))
}

async fn of_team(State(app): AppState, Path(team): Path<TeamId>) -> Answer {
    Ok(answer(200, all(&app, Some(team)).await?))
}

async fn one(State(app): AppState, Path((team, feature)): Path<(TeamId, String)>) -> Answer {
    let features = all(&app, Some(team)).await?;
    Ok(answer(200, features.get(&feature).ok_or(error::FEATURE_UNKNOWN)?))
}

#[derive(Deserialize)]
struct Settings {
    status: Status,
    config: Option<Value>,
}

#[derive(Deserialize, serde::Serialize)]
#[serde(rename_all = "lowercase")]
enum Status {
    Enabled,
    Disabled,
}

async fn set(
    State(app): AppState,
    caller: Caller,
    Path((team, name)): Path<(TeamId, String)>,
    Json(settings): Json<Settings>,
) -> Answer {
    let features = all(&app, Some(team)).await?;
    let known = features.get(&name).ok_or(error::FEATURE_UNKNOWN)?;
    if known["lockStatus"] == "locked" {
        return Err(error::ApiError::new(
            409,
            "feature-locked",
            "Feature config cannot be updated because the feature is locked",
        )
        .into());
    }
    let mut own = json!({"status": settings.status});
    if let (Some(config), Some(expected)) = (&settings.config, known.get("config").and_then(Value::as_object)) {
        let same = config.as_object().is_some_and(|given| {
            given.len() == expected.len()
                && expected.iter().all(|(key, value)| given.get(key).is_some_and(|given| same_kind(given, value)))
        });
        if !same {
            return Err(error::BAD_REQUEST.saying(format!("Error in config: {} is expected", json!(expected))).into());
        }
        own["config"] = config.clone();
    }
    app.store.teams.put_feature(team, &name, &own).await?;
    let changed = all(&app, Some(team)).await?.remove(&name).ok_or(error::FEATURE_UNKNOWN)?;
    let event =
        json!({"type": "feature-config.update", "name": name, "team": team, "time": Time::now(), "data": changed});
    let members = app.store.teams.members(team).await?;
    app.push.tell(members.into_iter().map(|member| member.user), &event, Some(&caller.connection)).await?;
    Ok(answer(200, changed))
}

fn same_kind(left: &Value, right: &Value) -> bool {
    std::mem::discriminant(left) == std::mem::discriminant(right)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_of_features_are_json() {
        for (name, _, _, config) in FEATURES {
            assert!(config.is_empty() || serde_json::from_str::<Value>(config).is_ok(), "{name}");
        }
        assert_eq!(defaults()["mls"]["status"], "disabled");
    }
}
