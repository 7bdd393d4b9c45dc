//! A client that goes on while something happens to the cluster.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// Tells the client's thread to end, also when what happens meanwhile panics.
struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Has `client` do its work, numbered from 0, over and over until `happening` is over; none of it may fail.
pub fn during<T>(client: impl Fn(u64) -> Result<(), String> + Sync, happening: impl FnOnce() -> T) -> T {
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        let client = scope.spawn(|| {
            let mut done = 0;
            while !stop.load(Ordering::Relaxed) {
                client(done)?;
                done += 1;
            }
            Ok::<u64, String>(done)
        });
        let result = {
            let _stop = Stop(&stop);
            happening()
        };
        let done = client.join().unwrap().unwrap_or_else(|error| panic!("a client failed meanwhile: {error}"));
        assert!(done > 3, "the client did its work only {done} times");
        result
    })
}

/// What a client does at any of several nodes: at the first that does it, again until `patience` is over.
pub fn at_any<'a, T>(
    nodes: &[&'a str],
    patience: Duration,
    mut attempt: impl FnMut(&'a str) -> Result<T, String>,
) -> Result<T, String> {
    let until = Instant::now() + patience;
    loop {
        let mut errors = Vec::new();
        for node in nodes {
            match attempt(node) {
                Ok(value) => return Ok(value),
                Err(error) => errors.push(format!("{node}: {error}")),
            }
        }
        if Instant::now() > until {
            return Err(errors.join("; "));
        }
        thread::sleep(Duration::from_millis(100));
    }
}
