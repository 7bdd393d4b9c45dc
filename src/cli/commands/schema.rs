//! `schema`: the JSON Schemas, for editors and for whoever reads events.

use crate::cli::Session;
use crate::cli::arguments::{Schema, SchemaOf};
use crate::cli::exit::ExitCode;
use crate::report::event;
use crate::services::ALL;
use crate::site::schema::{File, schema};

pub(super) fn run(session: &Session, arguments: &Schema) -> ExitCode {
    let schema = match arguments.what {
        SchemaOf::Site => schema(File::Site, ALL),
        SchemaOf::Inventory => schema(File::Inventory, ALL),
        SchemaOf::Events => event::schema(),
    };
    session.reporter.print(format!("{schema:#}\n"));
    ExitCode::Done
}
