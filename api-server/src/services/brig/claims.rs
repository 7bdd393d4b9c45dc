//! Names that belong to one user: taken, and found taken.

use crate::app::App;
use crate::domain::{Time, UserId};
use crate::http::Failure;
use crate::store::users::Claim;

/// Seconds after which whoever took a name bears it: no request takes as long.
const SETTLED: i64 = 60;

/// Takes a name for a user: true when it is theirs. One that a process took for somebody just before it died is free again after a minute.
///
/// # Errors
/// The store's.
pub async fn take(app: &App, claim: &Claim, user: UserId) -> Result<bool, Failure> {
    let users = &app.store.users;
    Ok(users.claim(claim, user).await? || users.take_over(claim, user, Time::now().plus_seconds(-SETTLED)).await?)
}

/// Whether somebody bears a name, as far as can be told without taking it.
///
/// # Errors
/// The store's.
pub async fn is_borne(app: &App, claim: &Claim) -> Result<bool, Failure> {
    match app.store.users.owner(claim).await? {
        Some(owner) => Ok(claim.is_borne_by(app.store.users.get(owner).await?.as_ref())),
        None => Ok(false),
    }
}
