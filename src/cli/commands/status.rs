//! `status` and `verify`: what runs where, and whether it is well.

use super::meeting::{begin, choice, end_of, open, or_interrupted};
use super::{Outcome, wait_for};
use crate::cli::Session;
use crate::cli::arguments::{Status, Verify};
use crate::flow::artifacts::Need;

pub(super) fn run(session: &Session, arguments: &Status) -> Outcome {
    let choice = choice(&arguments.selection, &arguments.connecting);
    let health = wait_for(or_interrupted(session, async {
        begin(session, None, "status")?;
        let flow = open(session, choice, Need::Shape).await?;
        let health = flow.status().await;
        flow.close().await;
        Ok(health?)
    }))?;
    Ok(end_of(&health))
}

pub(super) fn verify(session: &Session, arguments: &Verify) -> Outcome {
    let choice = choice(&arguments.selection, &arguments.connecting);
    let health = wait_for(or_interrupted(session, async {
        begin(session, Some(&arguments.recording), "verify")?;
        let flow = open(session, choice, Need::Shape).await?;
        let health = flow.verify().await;
        flow.close().await;
        Ok(health?)
    }))?;
    Ok(end_of(&health))
}
