//! `smoke`: two throw-away users try a backend.

use reqwest::Url;

use super::meeting::listen;
use super::{Outcome, read_secrets, read_site, wait_for};
use crate::cli::Session;
use crate::cli::arguments::Smoke;
use crate::cli::error::CommandError;
use crate::cli::exit::ExitCode;
use crate::report::EventKind;
use crate::transport::web::{TrustError, Web};
use crate::verify::smoke::{self, Place};
use crate::workloads::ingress;

pub(super) fn run(session: &Session, arguments: &Smoke) -> Outcome {
    let mut place = match (&arguments.rest, &arguments.websocket) {
        (Some(rest), Some(websocket)) => Place {
            rest: address("--rest", rest, ["https", "http"])?,
            websocket: address("--websocket", websocket, ["wss", "ws"])?,
            web: Web::new(arguments.ca.as_deref())?,
        },
        _ => of_site(session, arguments)?,
    };
    place.web.address = arguments.address;
    let site = place.rest.to_string();
    session.reporter.send(EventKind::RunStarted { command: "smoke".to_owned(), site, run: None });
    wait_for(async {
        smoke::run(&place, &session.reporter, listen(session)?).await?;
        Ok(ExitCode::Done)
    })
}

/// The site's own backend behind its ingress. Unless the site brought a certificate, it is of the site's own authority.
fn of_site(session: &Session, arguments: &Smoke) -> Result<Place, CommandError> {
    let site = read_site(session)?.site;
    let web = match &arguments.ca {
        Some(file) => Web::new(Some(file))?,
        None => match ingress::authority(&site, &read_secrets(&site)?) {
            Ok(Some(authority)) => Web::trusting(&authority)?,
            Ok(None) => Web::new(None)?,
            Err(error) => return Err(CommandError::failed(error.to_string())),
        },
    };
    let domain = &site.domain;
    Ok(Place {
        rest: address("the site's API", &format!("https://nginz-https.{domain}"), ["https", "http"])?,
        websocket: address("the site's websockets", &format!("wss://nginz-ssl.{domain}"), ["wss", "ws"])?,
        web,
    })
}

impl From<TrustError> for CommandError {
    fn from(error: TrustError) -> Self {
        Self::usage(error.message).hint(error.hint)
    }
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
