//! The services, as a Wire backend cuts them: a folder each, each a list of routes.

use clap::ValueEnum;

use crate::http::Routes;
use crate::store::Part;

pub mod auth;
pub mod brig;
pub mod cannon;
pub mod cargohold;
pub mod galley;
pub mod gundeck;
pub mod internal;
pub mod spar;

/// A service.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub enum Service {
    /// Users, log-in, devices, connections, search.
    Brig,
    /// Conversations, messages, teams.
    Galley,
    /// Notification logs.
    Gundeck,
    /// Websockets.
    Cannon,
    /// Files.
    Cargohold,
    /// Single sign-on.
    Spar,
    /// The token check beside the front end.
    Auth,
}

impl Service {
    /// Every service.
    pub const ALL: [Service; 7] =
        [Self::Brig, Self::Galley, Self::Gundeck, Self::Cannon, Self::Cargohold, Self::Spar, Self::Auth];

    /// Without what it is of no use.
    pub fn needs(self) -> &'static [Part] {
        match self {
            Self::Brig | Self::Galley | Self::Gundeck | Self::Cannon => &[Part::Tables],
            Self::Cargohold => &[Part::Files],
            Self::Spar | Self::Auth => &[],
        }
    }

    /// Its routes.
    pub fn routes(self) -> Routes {
        match self {
            Self::Brig => brig::routes(),
            Self::Galley => galley::routes(),
            Self::Gundeck => gundeck::routes(),
            Self::Cannon => cannon::routes(),
            Self::Cargohold => cargohold::routes(),
            Self::Spar => spar::routes(),
            Self::Auth => auth::routes(),
        }
    }
}
