//! `wire-deploy`: parse, run, exit code.

fn main() -> std::process::ExitCode {
    wire_deploy::cli::run(std::env::args_os())
}
