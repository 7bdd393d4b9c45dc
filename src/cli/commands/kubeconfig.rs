//! `kubeconfig`: a way into the cluster's API for kubectl.

use std::io::IsTerminal as _;

use super::{Outcome, read_secrets, read_site};
use crate::cli::Session;
use crate::cli::arguments::Kubeconfig;
use crate::cli::error::CommandError;
use crate::cli::exit::ExitCode;
use crate::services::kubernetes::kubeconfig::kubeconfig;
use crate::workspace::files::{self, Existing};

pub(super) fn run(session: &Session, arguments: &Kubeconfig) -> Outcome {
    if arguments.file.is_none() && !arguments.yes && !std::io::stdout().is_terminal() {
        return Err(CommandError::usage("stdout is no terminal, so the key is not shown")
            .hint("`-o FILE` writes it to a file that only you can read, and `--yes` shows it all the same"));
    }
    let workspace = read_site(session)?;
    let secrets = read_secrets(&workspace.site)?;
    let text = kubeconfig(&workspace.site, &secrets, &arguments.user, arguments.days, crate::observe::now())
        .map_err(|error| CommandError::usage(error.to_string()).hint("put hosts into the group kubernetes"))?;
    match &arguments.file {
        Some(path) => files::write(path, text.expose().as_bytes(), 0o600, Existing::Replace)
            .map_err(|error| CommandError::failed(format!("cannot write {}", path.display())).because(error))?,
        None => session.reporter.print(text.expose().to_owned()),
    }
    Ok(ExitCode::Done)
}
