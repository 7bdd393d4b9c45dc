//! The host's end of wire-deploy: frames on standard input and output until the input ends.
//!
//! `wire-deploy-agent [--marker TEXT] [--root FOLDER]`: the marker is printed on a line of its own before the first frame,
//! so that the other end knows where a login shell's banner stops. `--root` is for tests: a folder that stands for `/`.

use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use rustix::fs::Mode;
use signal_hook::consts::SIGHUP;
use wire_deploy_agent::host::{Host, Root};

mod serve;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(reason) => {
            eprintln!("wire-deploy-agent: {reason}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), String> {
    let (mut marker, mut root) = (None, "/".to_owned());
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let mut value = || arguments.next().ok_or(format!("expected a value after {argument}"));
        match argument.as_str() {
            "--marker" => marker = Some(value()?),
            "--root" => root = value()?,
            other => return Err(format!("expected --marker TEXT or --root FOLDER, found {other:?}")),
        }
    }
    // A connection that breaks must not end the agent amid a resource; that nobody reads on is noticed when writing.
    signal_hook::flag::register(SIGHUP, Arc::new(AtomicBool::new(false))).map_err(|error| error.to_string())?;
    rustix::process::umask(Mode::WGRP | Mode::WOTH);
    let host = Host::new(Root::new(root));
    serve::serve(host, marker.as_deref()).map_err(|error| error.to_string())
}
