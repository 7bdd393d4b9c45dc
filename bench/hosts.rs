//! Hosts to measure on, and what runs cost.

use std::error::Error;
use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use wire_deploy::sandbox::{HostOptions, Lifetime, Options, Sandbox, site};

pub type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// What one run cost.
#[derive(Clone, Copy)]
pub struct Cost {
    pub wall: Duration,
    /// Processor time on this machine.
    pub here: Duration,
    /// Processor time on all hosts together.
    pub there: Duration,
}

/// Hosts, gone when this is dropped, and a folder for what is measured on them.
pub struct Bench {
    pub sandbox: Sandbox,
    pub folder: PathBuf,
}

impl Drop for Bench {
    fn drop(&mut self) {
        if let Err(error) = Sandbox::down(&self.folder.join("hosts")) {
            eprintln!("taking the hosts down: {error:#}");
        }
    }
}

impl Bench {
    /// Boots `host1` and so on, with these packages besides what all hosts have.
    pub fn boot(folder: PathBuf, hosts: usize, packages: &[&str]) -> Result<Self> {
        fs::create_dir_all(&folder)?;
        let options = Options {
            folder: folder.join("hosts"),
            hosts: (1..=hosts).map(|number| HostOptions::named(&format!("host{number}"))).collect(),
            packages: packages.iter().map(|package| (*package).to_owned()).collect(),
            lifetime: Lifetime::ThisProcess,
        };
        Ok(Self { sandbox: Sandbox::up(&options)?, folder })
    }

    /// The site of the hosts, with secrets; the first three are in these groups.
    pub fn write_site(&self, groups: &[&str]) -> Result<PathBuf> {
        let folder = self.folder.join("site");
        if folder.exists() {
            fs::remove_dir_all(&folder)?;
        }
        Ok(site::write(&self.sandbox, &folder, groups)?)
    }

    /// Runs commands side by side to their end.
    pub fn run(&self, mut commands: Vec<Command>, expected: Option<&str>) -> Result<Cost> {
        let (here, there) = (children_time()?, self.sandbox.processor_time()?);
        let begun = Instant::now();
        let mut children = Vec::new();
        for command in &mut commands {
            command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
            children.push(command.spawn()?);
        }
        for (child, command) in children.into_iter().zip(&commands) {
            let output = child.wait_with_output()?;
            let text = String::from_utf8_lossy(&output.stdout);
            if !output.status.success() || expected.is_some_and(|expected| text.trim() != expected) {
                let error = String::from_utf8_lossy(&output.stderr);
                return Err(format!("{command:?} ended with {}: {text}{error}", output.status).into());
            }
        }
        let wall = begun.elapsed();
        let here = children_time()?.saturating_sub(here);
        // The hosts' sshd has yet to clear up.
        std::thread::sleep(Duration::from_millis(300));
        Ok(Cost { wall, here, there: self.sandbox.processor_time()?.saturating_sub(there) })
    }
}

/// Processor time of all children that have ended.
fn children_time() -> Result<Duration> {
    processor_time(&fs::read_to_string("/proc/self/stat")?, 16)
}

/// Two neighbouring fields of a process's `stat` (`man proc`, counted from one), which count ticks of 10 ms: 14 for the process's own
/// time, 16 for its children's that have ended.
pub fn processor_time(stat: &str, first: usize) -> Result<Duration> {
    // The second field is the program's name in parentheses.
    let (_, rest) = stat.rsplit_once(") ").ok_or("the kernel does not tell")?;
    let ticks =
        rest.split(' ').skip(first - 3).take(2).map(str::parse).collect::<std::result::Result<Vec<u64>, _>>()?;
    Ok(Duration::from_millis(ticks.iter().sum::<u64>() * 10))
}

pub fn print_table(rows: &[(&str, &[Cost])]) {
    let median = |costs: &[Cost], part: fn(&Cost) -> Duration| {
        let mut parts: Vec<Duration> = costs.iter().map(part).collect();
        parts.sort();
        parts.get(parts.len() / 2).map_or(0.0, Duration::as_secs_f64)
    };
    println!(
        "{:20} {:>8} {:>12} {:>13} {:>24}",
        "", "wall s", "CPU here s", "CPU hosts s", "wire-deploy's wall to its"
    );
    let own = rows.first().map_or(0.0, |(_, costs)| median(costs, |cost| cost.wall));
    for (name, costs) in rows {
        let wall = median(costs, |cost| cost.wall);
        let (here, there) = (median(costs, |cost| cost.here), median(costs, |cost| cost.there));
        println!("{name:20} {wall:8.3} {here:12.2} {there:13.2} {:>24.3}", own / wall);
    }
}
