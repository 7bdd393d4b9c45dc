//! `authority`: the certificate of the site's own authority for what users' clients see, for them to trust.

use super::{Outcome, read_secrets, read_site};
use crate::cli::Session;
use crate::cli::arguments::Authority;
use crate::cli::error::CommandError;
use crate::cli::exit::ExitCode;
use crate::workloads::ingress;
use crate::workspace::files::{self, Existing};

pub(super) fn run(session: &Session, arguments: &Authority) -> Outcome {
    let workspace = read_site(session)?;
    let secrets = read_secrets(&workspace.site)?;
    let certificate = ingress::authority(&workspace.site, &secrets)
        .map_err(|error| CommandError::failed(error.to_string()))?
        .ok_or_else(|| {
            CommandError::usage("no authority of the site's signs what clients see")
                .hint("the site has no workload `ingress`, or brings a certificate for it, whose issuer clients have to trust")
        })?;
    match &arguments.file {
        Some(path) => files::write(path, certificate.as_bytes(), 0o644, Existing::Replace)
            .map_err(|error| CommandError::failed(format!("cannot write {}", path.display())).because(error))?,
        None => session.reporter.print(certificate),
    }
    Ok(ExitCode::Done)
}
