//! `maintain`: a service's maintenance tasks.

use super::meeting::{begin, listen, open};
use super::{Outcome, list, wait_for};
use crate::cli::Session;
use crate::cli::arguments::Maintain;
use crate::cli::error::CommandError;
use crate::cli::exit::ExitCode;
use crate::flow::Choice;
use crate::flow::artifacts::Need;
use crate::services;
use crate::site::names::ServiceName;
use crate::workspace::machine::Holder;

pub(super) fn run(session: &Session, arguments: &Maintain) -> Outcome {
    let service = ServiceName(arguments.service.clone());
    let known = services::ALL.iter().find(|known| known.name() == service);
    let Some(known) = known else {
        let names: Vec<String> = services::ALL.iter().map(|service| service.name().0).collect();
        let error = CommandError::usage(format!("there is no service {service}"));
        return Err(error.hint(format!("the services are {}", names.join(", "))));
    };
    let Some(task) = &arguments.task else {
        let rows = known.tasks().iter().map(|(name, about)| vec![(*name).into(), (*about).into()]);
        list(session, &["task", "about"], rows.collect());
        return Ok(ExitCode::Done);
    };
    let done = wait_for(async {
        let interrupted = listen(session)?;
        let run = begin(session, Some(&arguments.recording), "maintain")?;
        let choice = Choice {
            only: vec![arguments.service.clone()],
            accept_new_host_keys: arguments.connecting.accept_new_host_keys,
            ..Choice::default()
        };
        let flow = open(session, choice, Need::Shape).await?;
        let done = flow.maintain(&service, task, &run, &Holder::current(), interrupted).await;
        flow.close().await;
        Ok(done?)
    })?;
    if !done {
        return Err(CommandError::new(ExitCode::Interrupted, "interrupted")
            .because("what the cluster was told to do, it may still be doing")
            .hint("the same command again is safe"));
    }
    session.reporter.note(format!("{service}: {task} is done"));
    Ok(ExitCode::Done)
}
