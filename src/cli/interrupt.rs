//! Ctrl-C and SIGTERM: the first asks the run to finish the step in hand and stop, a second one ends the program at once.

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

use super::exit::ExitCode;
use crate::report::Reporter;

/// A flag that becomes true at the first interruption. Must be called within the runtime.
///
/// # Errors
/// When signals cannot be listened to.
pub fn cancellation(reporter: &Reporter) -> std::io::Result<watch::Receiver<bool>> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let (sender, receiver) = watch::channel(false);
    let reporter = reporter.clone();
    tokio::spawn(async move {
        let mut asked = false;
        loop {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
            if asked {
                // At once means at once: leases expire by themselves and the next apply goes on from what it finds.
                std::process::exit(i32::from(ExitCode::Interrupted.code()));
            }
            asked = true;
            reporter.warn("interrupted: finishing the step in hand; again to stop at once", None);
            sender.send_replace(true);
        }
    });
    Ok(receiver)
}
