//! Runs phases in order and tells how long each took.

use std::io::Write as _;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::time::Instant;

pub struct Phases {
    wanted: Vec<String>,
    failed: Vec<String>,
    begun: Instant,
}

impl Phases {
    pub fn from_environment() -> Self {
        let wanted = std::env::var("PHASES").unwrap_or_default();
        let wanted = wanted.split(',').filter(|word| !word.is_empty()).map(str::to_owned).collect();
        Self { wanted, failed: Vec::new(), begun: Instant::now() }
    }

    /// A phase without which the others are pointless.
    pub fn essential<T>(&mut self, name: &str, phase: impl FnOnce() -> T) -> T {
        let since = Instant::now();
        match catch_unwind(AssertUnwindSafe(phase)) {
            Ok(result) => {
                tell(name, since, "");
                result
            }
            Err(panic) => {
                tell(name, since, "  FAILED, and nothing can work without it");
                resume_unwind(panic)
            }
        }
    }

    /// A phase of which the others are independent.
    pub fn run(&mut self, name: &str, phase: impl FnOnce()) {
        if !self.wanted.is_empty() && !self.wanted.iter().any(|word| name.contains(word)) {
            return;
        }
        let since = Instant::now();
        let failed = catch_unwind(AssertUnwindSafe(phase)).is_err();
        tell(name, since, if failed { "  FAILED" } else { "" });
        if failed {
            self.failed.push(name.to_owned());
        }
    }

    pub fn finish(self) {
        tell("all phases", self.begun, "");
        assert!(self.failed.is_empty(), "failed phases: {:#?}", self.failed);
    }
}

/// Written past the test harness, which would show it only on failure.
fn tell(name: &str, since: Instant, outcome: &str) {
    let _ = writeln!(std::io::stderr(), "  {:>6.1} s  {name}{outcome}", since.elapsed().as_secs_f64());
}
