//! `smoke`: two throw-away users try a backend.

use reqwest::Url;

use super::meeting::listen;
use super::{Outcome, wait_for};
use crate::cli::Session;
use crate::cli::arguments::Smoke;
use crate::cli::error::CommandError;
use crate::cli::exit::ExitCode;
use crate::report::EventKind;
use crate::transport::web::Web;
use crate::verify::smoke::{self, Place};

pub(super) fn run(session: &Session, arguments: &Smoke) -> Outcome {
    let place = Place {
        rest: address("--rest", &arguments.rest, ["https", "http"])?,
        websocket: address("--websocket", &arguments.websocket, ["wss", "ws"])?,
        web: Web::new(arguments.ca.as_deref()).map_err(|error| CommandError::usage(error.message).hint(error.hint))?,
    };
    let site = place.rest.to_string();
    session.reporter.send(EventKind::RunStarted { command: "smoke".to_owned(), site, run: None });
    wait_for(async {
        smoke::run(&place, &session.reporter, listen(session)?).await?;
        Ok(ExitCode::Done)
    })
}

/// An address with one of two schemes and a host.
fn address(flag: &str, text: &str, schemes: [&str; 2]) -> Result<Url, CommandError> {
    let [usual, other] = schemes;
    let refused = |reason: String| {
        CommandError::usage(format!("{flag} {text}: {reason}"))
            .hint(format!("expected an address such as {usual}://HOST, or {other}://HOST:PORT"))
    };
    let url = Url::parse(text).map_err(|error| refused(error.to_string()))?;
    if !schemes.contains(&url.scheme()) {
        return Err(refused(format!("{} is not {usual} or {other}", url.scheme())));
    }
    if !url.username().is_empty() || url.password().is_some() || url.query().is_some() || url.fragment().is_some() {
        return Err(refused("it has more than a scheme, a host, a port and a path".to_owned()));
    }
    Ok(url)
}
