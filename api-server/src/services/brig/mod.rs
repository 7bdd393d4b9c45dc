//! Users: registration, log-in, profiles, devices, prekeys, connections, search, calls.

use crate::http::Routes;

pub mod account;
pub mod activation;
pub mod calls;
pub mod claims;
pub mod clients;
pub mod connections;
pub mod cookies;
pub mod deletion;
pub mod directory;
pub mod handles;
pub mod invitations;
pub mod login;
pub mod names;
pub mod password_reset;
pub mod prekeys;
pub mod properties;
pub mod register;
pub mod search;
pub mod system;
pub mod users;

/// The routes.
pub fn routes() -> Routes {
    system::routes()
        .and(register::routes())
        .and(activation::routes())
        .and(login::routes())
        .and(cookies::routes())
        .and(password_reset::routes())
        .and(account::routes())
        .and(deletion::routes())
        .and(handles::routes())
        .and(properties::routes())
        .and(clients::routes())
        .and(prekeys::routes())
        .and(users::routes())
        .and(connections::routes())
        .and(search::routes())
        .and(calls::routes())
        .and(invitations::routes())
}
