//! `unlock`: who holds the hosts, and taking that away.

use super::meeting::{open, or_interrupted};
use super::{Outcome, agree, list, wait_for};
use crate::cli::Session;
use crate::cli::arguments::Unlock;
use crate::cli::exit::ExitCode;
use crate::flow::Choice;
use crate::flow::artifacts::Need;

pub(super) fn run(session: &Session, arguments: &Unlock) -> Outcome {
    let choice = Choice {
        limit: arguments.limit.clone(),
        accept_new_host_keys: arguments.connecting.accept_new_host_keys,
        ..Choice::default()
    };
    wait_for(or_interrupted(session, async {
        let flow = open(session, choice, Need::Shape).await?;
        let leases = flow.leases().await?;
        if leases.is_empty() {
            session.reporter.note("no host is held");
            return Ok(ExitCode::Done);
        }
        let told = |milliseconds: i64| {
            jiff::Timestamp::from_millisecond(milliseconds).map(|time| time.to_string()).unwrap_or_default()
        };
        let rows = leases.iter().map(|(host, lease)| {
            vec![
                host.as_str().into(),
                lease.holder.as_str().into(),
                lease.run.as_str().into(),
                told(lease.since).into(),
                told(lease.expires).into(),
            ]
        });
        list(session, &["host", "holder", "run", "since", "expires"], rows.collect());
        agree(session, arguments.yes, "Take these leases away? Only `yes` is taken: ", "yes", "--yes")?;
        flow.unlock(&leases).await?;
        flow.close().await;
        session.reporter.note("the leases are taken away");
        Ok(ExitCode::Done)
    }))
}
