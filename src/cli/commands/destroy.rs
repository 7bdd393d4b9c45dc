//! `destroy`: removes everything, data included.

use super::meeting::{begin, open};
use super::{Outcome, agree, read_site, wait_for};
use crate::cli::Session;
use crate::cli::arguments::Destroy;
use crate::cli::error::CommandError;
use crate::cli::exit::ExitCode;
use crate::flow::Choice;
use crate::workspace::machine::Holder;

pub(super) fn run(session: &Session, arguments: &Destroy) -> Outcome {
    let name = read_site(session)?.site.name;
    if let Some(given) = arguments.yes_destroy.as_ref().filter(|given| **given != name) {
        return Err(CommandError::usage(format!(
            "`--yes-destroy {given}` does not name this site; nothing was removed"
        ))
        .hint(format!("this site is {name}")));
    }
    let question =
        format!("This removes everything that site {name} installed, data included.\nType the site's name: ");
    let flag = format!("--yes-destroy {name}");
    agree(session, arguments.yes_destroy.is_some(), &question, &name, &flag)?;
    let left = wait_for(async {
        let run = begin(session, Some(&arguments.recording), "destroy")?;
        let choice = Choice { accept_new_host_keys: arguments.connecting.accept_new_host_keys, ..Choice::default() };
        let flow = open(session, choice).await?;
        let left = flow.destroy(&run, &Holder::current()).await;
        flow.close().await;
        Ok(left?)
    })?;
    match left.first() {
        None => Ok(ExitCode::Done),
        Some((host, reason)) => Err(CommandError::failed(format!("{host} could not be cleared"))
            .because(reason)
            .hint("correct that and run `destroy` again")),
    }
}
