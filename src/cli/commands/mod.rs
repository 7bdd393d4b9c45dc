//! One file per subcommand.

use std::future::Future;
use std::io::IsTerminal as _;
use std::path::Path;

use serde_json::{Map, Value};

use super::Session;
use super::arguments::{Command, Recording};
use super::error::CommandError;
use super::exit::ExitCode;
use crate::report::{Output, table};
use crate::services;
use crate::site::model::Site;
use crate::site::secrets::Secrets;
use crate::workspace::secrets_file::SecretsFile;
use crate::workspace::sources::Workspace;

mod apply;
mod artifacts;
mod authority;
mod check;
mod completions;
mod destroy;
mod image;
mod init;
mod kubeconfig;
mod maintain;
mod meeting;
mod plan;
mod sandbox;
mod schema;
mod secrets;
mod smoke;
mod status;
mod templates;
mod unlock;
mod validate;

/// How a command ends.
type Outcome = Result<ExitCode, CommandError>;

impl Command {
    /// What the command's run leaves behind, if it leaves anything.
    pub(super) fn recording(&self) -> Option<&Recording> {
        match self {
            Self::Apply(arguments) => Some(&arguments.recording),
            Self::Verify(arguments) => Some(&arguments.recording),
            Self::Maintain(arguments) => Some(&arguments.recording),
            Self::Restart(arguments) => Some(&arguments.recording),
            Self::Destroy(arguments) => Some(&arguments.recording),
            _ => None,
        }
    }
}

/// Runs a command.
pub(super) fn run(session: &Session, command: Command) -> Outcome {
    match command {
        Command::Init(arguments) => init::run(session, arguments),
        Command::Validate => validate::run(session),
        Command::Schema(arguments) => Ok(schema::run(session, &arguments)),
        Command::Templates(arguments) => templates::run(session, &arguments),
        Command::Secrets(arguments) => secrets::run(session, &arguments),
        Command::Artifacts(arguments) => artifacts::run(session, &arguments),
        Command::Image(arguments) => image::run(session, &arguments),
        Command::Sandbox(arguments) => sandbox::run(session, &arguments),
        Command::Completions(arguments) => Ok(completions::run(session, &arguments)),
        Command::Check(arguments) => check::run(session, &arguments),
        Command::Plan(arguments) => plan::run(session, &arguments),
        Command::Drift(arguments) => plan::drift(session, &arguments),
        Command::Apply(arguments) => apply::run(session, &arguments),
        Command::Status(arguments) => status::run(session, &arguments),
        Command::Verify(arguments) => status::verify(session, &arguments),
        Command::Smoke(arguments) => smoke::run(session, &arguments),
        Command::Kubeconfig(arguments) => kubeconfig::run(session, &arguments),
        Command::Authority(arguments) => authority::run(session, &arguments),
        Command::Maintain(arguments) => maintain::run(session, &arguments),
        Command::Restart(arguments) => apply::restart(session, &arguments),
        Command::Unlock(arguments) => unlock::run(session, &arguments),
        Command::Destroy(arguments) => destroy::run(session, &arguments),
    }
}

/// The site that the flags name.
fn read_site(session: &Session) -> Result<Workspace, CommandError> {
    let workspace = Workspace::read(&session.globals.config, services::ALL)?;
    Ok(match &session.globals.templates {
        Some(folder) => workspace.with_templates(folder)?,
        None => workspace,
    })
}

/// The site's secrets file, opened.
fn open_secrets(site: &Site) -> Result<SecretsFile, CommandError> {
    Ok(SecretsFile::open(Path::new(&site.secrets.file), Path::new(&site.secrets.identity))?)
}

/// The site's secrets.
fn read_secrets(site: &Site) -> Result<Secrets, CommandError> {
    Ok(open_secrets(site)?.secrets(&site.generations)?)
}

/// Runs what needs the asynchronous runtime; made here, so that commands that need none start at once.
fn wait_for<T>(work: impl Future<Output = Result<T, CommandError>>) -> Result<T, CommandError> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| CommandError::failed("cannot start the asynchronous runtime").because(error))?;
    let result = runtime.block_on(work);
    // A question that nobody will answer any more must not keep the program from ending.
    runtime.shutdown_background();
    result
}

/// Prints a list: a table for people, one object a line with `--output json`.
fn list(session: &Session, fields: &[&str], rows: Vec<Vec<Value>>) {
    let text = if session.globals.output() == Output::Json {
        let object = |row: Vec<Value>| {
            let members = fields.iter().map(|field| (*field).to_owned()).zip(row);
            format!("{}\n", Value::Object(members.collect::<Map<_, _>>()))
        };
        rows.into_iter().map(object).collect::<String>()
    } else {
        let headings: Vec<String> = fields.iter().map(|field| field.to_uppercase()).collect();
        let headings: Vec<&str> = headings.iter().map(String::as_str).collect();
        let rows: Vec<_> =
            rows.into_iter().map(|row| row.iter().map(|value| table::plain(told(value))).collect()).collect();
        table::render(&headings, &rows)
    };
    session.reporter.print(text);
}

/// A value as a cell of a table: strings without quotes, `-` where there is none.
fn told(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// Has a person agree by typing `expected`, unless they did so beforehand.
fn agree(session: &Session, beforehand: bool, question: &str, expected: &str, flag: &str) -> Result<(), CommandError> {
    if beforehand {
        return Ok(());
    }
    if !std::io::stdin().is_terminal() {
        return Err(CommandError::usage("stdin is no terminal, so nobody can agree; nothing was done")
            .hint(format!("`{flag}` agrees beforehand")));
    }
    match session.reporter.ask(question) {
        Some(answer) if answer == expected => Ok(()),
        _ => Err(CommandError::failed("not agreed, so nothing was done")),
    }
}
