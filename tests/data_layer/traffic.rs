//! Clients that go on while something happens to their clusters.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// One piece of a client's work, by its number; what is wrong if it fails.
pub type Work<'a> = Box<dyn Fn(u64) -> Result<(), String> + Sync + Send + 'a>;

/// Tells the clients' threads to end, also when what happens meanwhile panics.
struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Longest that a client may wait for a piece of its work while nodes stop one by one, each having taken leave: another one does it at once.
/// Hosts that share a few processors with programs that start are slow themselves.
const ROLLED: Duration = Duration::from_secs(10);

/// Has each client do its work, numbered from 0, over and over until `happening` is over; none of it may fail.
pub fn during<T>(clients: &[(&str, Work<'_>)], happening: impl FnOnce() -> T) -> T {
    at_most(Duration::MAX, clients, happening)
}

/// Likewise while nodes stop one by one: no piece of work may take long.
pub fn during_a_roll<T>(clients: &[(&str, Work<'_>)], happening: impl FnOnce() -> T) -> T {
    at_most(ROLLED, clients, happening)
}

fn at_most<T>(longest: Duration, clients: &[(&str, Work<'_>)], happening: impl FnOnce() -> T) -> T {
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        let work = |client: &Work<'_>| {
            let (mut done, mut took) = (0, Duration::ZERO);
            while !stop.load(Ordering::Relaxed) {
                let begun = Instant::now();
                client(done)?;
                took = took.max(begun.elapsed());
                done += 1;
            }
            Ok::<_, String>((done, took))
        };
        let clients: Vec<_> = clients.iter().map(|(name, client)| (*name, scope.spawn(move || work(client)))).collect();
        let result = {
            let _stop = Stop(&stop);
            happening()
        };
        for (name, client) in clients {
            let done = client.join().unwrap();
            let (done, took) = done.unwrap_or_else(|error| panic!("{name}'s client failed meanwhile: {error}"));
            println!(
                "{name}'s client did its work {done} times, and waited for it {:.1} s at most",
                took.as_secs_f64()
            );
            assert!(done > 3, "{name}'s client did its work only {done} times");
            assert!(took <= longest, "{name}'s client had to wait for {:.1} s", took.as_secs_f64());
        }
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
