//! `destroy`: removes everything, data included.

use super::meeting::{begin, listen, open};
use super::{Outcome, agree, read_site, wait_for};
use crate::cli::Session;
use crate::cli::arguments::Destroy;
use crate::cli::error::CommandError;
use crate::cli::exit::ExitCode;
use crate::flow::Choice;
use crate::flow::artifacts::Need;
use crate::report::count;
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
    let destroyed = wait_for(async {
        let interrupted = listen(session)?;
        let run = begin(session, Some(&arguments.recording), "destroy")?;
        let choice = Choice { accept_new_host_keys: arguments.connecting.accept_new_host_keys, ..Choice::default() };
        let flow = open(session, choice, Need::Shape).await?;
        let destroyed = flow.destroy(&run, &Holder::current(), &interrupted).await;
        flow.close().await;
        Ok(destroyed?)
    })?;
    match destroyed.failed.first() {
        None if destroyed.not_begun == 0 => Ok(ExitCode::Done),
        None => Err(CommandError::new(ExitCode::Interrupted, "interrupted")
            .because(format!("{} left as before", count(destroyed.not_begun, "host")))
            .hint("`wire-deploy destroy` again clears what is left")),
        Some((host, reason)) => Err(CommandError::failed(format!("{host} could not be cleared"))
            .because(reason)
            .hint("correct that and run `destroy` again")),
    }
}
