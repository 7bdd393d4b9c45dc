//! `wire-api`: arguments, logs, and the server.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::{Parser, ValueEnum};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;
use wire_api::app::App;
use wire_api::config::Config;
use wire_api::push;
use wire_api::server;
use wire_api::services::{self, Service};
use wire_api::store::{Store, memory};

/// The reference API server of a Wire-style backend.
#[derive(Parser)]
#[command(name = "wire-api", version)]
struct Arguments {
    /// The services this process offers.
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = Service::ALL)]
    services: Vec<Service>,
    /// Where everything is kept.
    #[arg(long, value_enum)]
    store: StoreKind,
    /// Address for clients (through a front end).
    #[arg(long, default_value = "127.0.0.1:8080")]
    listen: SocketAddr,
    /// Address for probes, metrics and administration (/i/…); without it there are none.
    #[arg(long)]
    internal_listen: Option<SocketAddr>,
    /// The backend's domain; overrides the configuration file's.
    #[arg(long)]
    domain: Option<String>,
    /// Configuration file (YAML).
    #[arg(long)]
    config: Option<PathBuf>,
}

#[derive(Clone, Copy, ValueEnum)]
enum StoreKind {
    /// In this process: gone when it ends.
    Memory,
}

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let filter = EnvFilter::try_from_env("WIRE_API_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt().json().flatten_event(true).with_env_filter(filter).init();
    match run(arguments).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: Arguments) -> anyhow::Result<()> {
    let mut config = arguments.config.as_deref().map(Config::read).transpose()?.unwrap_or_default();
    if let Some(domain) = arguments.domain {
        config.domain = domain;
    }
    let store = open(arguments.store, &config).with_parts(&config)?;
    let hints = push::hints(&config)?;
    let app = App::new(config, store, hints)?;
    let bind = async |address: SocketAddr| {
        let listener = TcpListener::bind(address).await.with_context(|| format!("cannot listen on {address}"))?;
        tracing::info!(address = %listener.local_addr()?, "listening");
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
            let internal = server::serve(bind(address).await?, app.clone(), services::internal::routes(), ended);
            tokio::try_join!(public, internal)?;
        }
        None => public.await?,
    }
    Ok(())
}

fn open(kind: StoreKind, config: &Config) -> Store {
    match kind {
        StoreKind::Memory => {
            let temporary = || std::env::temp_dir().join(format!("wire-api-{}", std::process::id()));
            memory::store(config.assets_folder.clone().unwrap_or_else(temporary))
        }
    }
}
