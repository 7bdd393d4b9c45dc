//! `wire-api`: arguments, logs, and the server; `wire-api migrate` for Cassandra's tables, `reindex` for the directory.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context as _;
use clap::{Parser, Subcommand, ValueEnum};
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;
use wire_api::app::App;
use wire_api::config::{Cassandra, Config};
use wire_api::listen::Place;
use wire_api::push;
use wire_api::server;
use wire_api::services::brig::directory;
use wire_api::services::{self, Service};
use wire_api::store::cassandra::{self, CassandraStore};
use wire_api::store::opensearch::OpenSearch;
use wire_api::store::s3::S3Assets;
use wire_api::store::{Store, memory};

/// The reference API server of a Wire-style backend.
#[derive(Parser)]
#[command(name = "wire-api", version, args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
struct Arguments {
    #[command(subcommand)]
    task: Option<Task>,
    #[command(flatten)]
    serving: Serving,
}

/// What is done instead of serving.
#[derive(Subcommand)]
enum Task {
    /// Bring Cassandra's tables to the newest version, and end; may be run twice and by several at once.
    Migrate {
        /// Configuration file (YAML) with a section `cassandra`.
        #[arg(long)]
        config: PathBuf,
    },
    /// Make the directory of users anew from the users in Cassandra, and end. It goes on to be searched and written meanwhile.
    Reindex {
        /// Configuration file (YAML), as for `--store cassandra`.
        #[arg(long)]
        config: PathBuf,
    },
}

#[derive(clap::Args)]
struct Serving {
    /// The services this process offers.
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = Service::ALL)]
    services: Vec<Service>,
    /// Where everything is kept.
    // Required but where there is another task, which only clap knows.
    #[arg(long, value_enum, required = true)]
    store: Option<StoreKind>,
    /// Address for clients (through a front end), or `unix:PATH` for a front end on the same host.
    #[arg(long, default_value = "127.0.0.1:8080")]
    listen: Place,
    /// Address for probes, metrics and administration (/i/…), or `unix:PATH`; without it there are none.
    #[arg(long)]
    internal_listen: Option<Place>,
    /// The backend's domain; overrides the configuration file's.
    #[arg(long)]
    domain: Option<String>,
    /// Configuration file (YAML).
    #[arg(long)]
    config: Option<PathBuf>,
}

#[derive(Clone, Copy, PartialEq, Debug, ValueEnum)]
enum StoreKind {
    /// In this process: gone when it ends.
    Memory,
    /// In Cassandra, with the directory in OpenSearch, files in S3 and hints through Redis: any number of processes.
    Cassandra,
}

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let filter = EnvFilter::try_from_env("WIRE_API_LOG").unwrap_or_else(|_| EnvFilter::new("info,scylla=warn"));
    // What is said in the course of a request bears its id: `request` in how it was answered, `span.request` in the rest.
    tracing_subscriber::fmt().json().flatten_event(true).with_span_list(false).with_env_filter(filter).init();
    let outcome = match arguments.task {
        Some(Task::Migrate { config }) => migrate(&config).await,
        Some(Task::Reindex { config }) => reindex(&config).await,
        None => serve(arguments.serving).await,
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn migrate(config: &Path) -> anyhow::Result<()> {
    let config = Config::read(config)?;
    config.check()?;
    let config = config.cassandra.context("the configuration has no section `cassandra`")?;
    cassandra::migrate(&config).await.map(drop)
}

async fn reindex(config: &Path) -> anyhow::Result<()> {
    let config = Config::read(config)?;
    config.check()?;
    let (cassandra, search, assets) = clusters(&config)?;
    let store = CassandraStore::open(cassandra).await?.with(search, assets);
    let rebuilt = directory::rebuild(&*store.users, &*store.search).await?;
    tracing::info!(present = rebuilt.present, gone = rebuilt.gone, "the directory is made anew");
    Ok(())
}

async fn serve(arguments: Serving) -> anyhow::Result<()> {
    let mut config = arguments.config.as_deref().map(Config::read).transpose()?.unwrap_or_default();
    if let Some(domain) = arguments.domain {
        config.domain = domain;
    }
    config.check()?;
    let store = open(arguments.store.context("--store is not given")?, &config)?;
    let hints = push::hints(&config)?;
    let app = App::new(config, store, hints)?;
    let bind = async |place: Place| {
        let listener = place.bind().await?;
        tracing::info!(address = %listener.place()?, "listening");
        anyhow::Ok(listener)
    };
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let end = async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        tracing::info!("ending");
    };
    let public = server::serve(bind(arguments.listen).await?, app.clone(), server::public(&arguments.services), end);
    match arguments.internal_listen {
        Some(address) => {
            let mut ending = app.ending.subscribe();
            let ended = async move {
                // The sender lives in the app, which lives longer.
                let _ = ending.wait_for(|ending| *ending).await;
            };
            let internal = server::serve(
                bind(address).await?,
                app.clone(),
                services::internal::routes(&arguments.services),
                ended,
            );
            tokio::try_join!(public, internal)?;
        }
        None => public.await?,
    }
    Ok(())
}

/// The stores, whether or not they answer yet.
fn open(kind: StoreKind, config: &Config) -> anyhow::Result<Store> {
    match kind {
        StoreKind::Memory => {
            let temporary = || std::env::temp_dir().join(format!("wire-api-{}", std::process::id()));
            memory::store(config.assets_folder.clone().unwrap_or_else(temporary)).with_parts(config)
        }
        StoreKind::Cassandra => {
            let (cassandra, search, assets) = clusters(config)?;
            Ok(CassandraStore::open_later(cassandra)?.with(search, assets))
        }
    }
}

/// The clusters: how Cassandra is reached, the directory, files. Nothing is asked yet.
fn clusters(config: &Config) -> anyhow::Result<(&Cassandra, Arc<OpenSearch>, Arc<S3Assets>)> {
    let (cassandra, search, s3) = config.for_cassandra()?;
    let search = OpenSearch::new(search).context("search")?;
    let assets = S3Assets::new(s3).context("s3")?;
    Ok((cassandra, Arc::new(search), Arc::new(assets)))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn read(line: &str) -> Result<Arguments, clap::Error> {
        Arguments::try_parse_from(line.split(' '))
    }

    #[test]
    fn a_task_needs_no_store_and_serving_does() {
        let arguments = read("wire-api --store cassandra --services brig --config file").unwrap();
        assert!(arguments.task.is_none());
        assert_eq!(arguments.serving.store, Some(StoreKind::Cassandra));
        let Some(Task::Migrate { config }) = read("wire-api migrate --config file").unwrap().task else { panic!() };
        assert_eq!(config, Path::new("file"));
        let reindex = read("wire-api reindex --config file").unwrap().task;
        assert!(matches!(reindex, Some(Task::Reindex { config }) if config == Path::new("file")));
        for wrong in
            ["wire-api", "wire-api --config file", "wire-api migrate", "wire-api --store memory migrate --config file"]
        {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }
}
