//! `schema`: the JSON Schemas, for editors and for whoever reads events.

use super::Outcome;
use crate::cli::Session;
use crate::cli::arguments::{Schema, SchemaOf};
use crate::cli::error::CommandError;
use crate::cli::exit::ExitCode;
use crate::report::event;

pub(super) fn run(session: &Session, arguments: &Schema) -> Outcome {
    let schema = match arguments.what {
        SchemaOf::Site => return Err(CommandError::failed("not built yet")),
        SchemaOf::Events => event::schema(),
    };
    session.reporter.print(format!("{schema:#}\n"));
    Ok(ExitCode::Done)
}
