//! `templates`: the built-in templates, so that an operator knows what can be replaced.

use super::{Outcome, list};
use crate::cli::Session;
use crate::cli::arguments::Templates;
use crate::cli::error::CommandError;
use crate::cli::exit::ExitCode;
use crate::templates::replaceable;

pub(super) fn run(session: &Session, arguments: &Templates) -> Outcome {
    match arguments {
        Templates::List => {
            let rows = replaceable().map(|(path, text)| vec![path.into(), text.lines().count().into()]);
            list(session, &["template", "lines"], rows.collect());
        }
        Templates::Show { template } => {
            let found = replaceable().find(|(path, _)| path == template);
            let (_, text) = found.ok_or_else(|| {
                CommandError::usage(format!("there is no built-in template {template}"))
                    .hint("`wire-deploy templates list` shows them all")
            })?;
            session.reporter.print(text);
        }
    }
    Ok(ExitCode::Done)
}
