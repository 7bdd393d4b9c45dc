//! The command line.

use core::net::IpAddr;
use std::path::PathBuf;

use clap::{Args, CommandFactory as _, FromArgMatches as _, Parser, Subcommand, ValueEnum};

use crate::report::{Colors, Output, Verbosity};

/// From an inventory of bare VMs to a running, verified, highly available Wire-style backend.
#[derive(Debug, Parser)]
#[command(name = "wire-deploy", version, max_term_width = 100, infer_subcommands = false)]
#[command(disable_help_subcommand = true, subcommand_required = true, arg_required_else_help = true)]
pub struct Arguments {
    /// Flags that every command has.
    #[command(flatten)]
    pub globals: Globals,
    /// The subcommand.
    #[command(subcommand)]
    pub command: Command,
}

/// Flags that every command has.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Global options")]
pub struct Globals {
    /// The site file
    #[arg(short, long, global = true, value_name = "FILE", env = "WIRE_DEPLOY_CONFIG", hide_env_values = true)]
    #[arg(default_value = "wire-deploy.yaml")]
    pub config: PathBuf,
    /// A folder whose templates replace the built-in ones of the same path
    #[arg(long, global = true, value_name = "DIR")]
    pub templates: Option<PathBuf>,
    /// auto: live bars on a terminal; plain: lines; json: events on stdout, one a line
    #[arg(long, global = true, value_name = "HOW", default_value = "auto", hide_possible_values = true)]
    pub output: OutputArgument,
    /// Colours: auto, always, never
    #[arg(long, global = true, value_name = "WHEN", default_value = "auto", hide_possible_values = true)]
    pub color: ColorArgument,
    /// Show warnings and failures only
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    pub quiet: bool,
    /// Show every step, log line and whole diffs
    #[arg(short, long, global = true)]
    pub verbose: bool,
}

/// How a run is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum OutputArgument {
    /// Live bars where stderr is a terminal, else lines
    Auto,
    /// Lines
    Plain,
    /// Events as JSON on stdout, one a line
    Json,
}

/// Where colours are wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ColorArgument {
    /// On terminals, unless NO_COLOR or CLICOLOR say otherwise
    Auto,
    /// Everywhere
    Always,
    /// Nowhere
    Never,
}

impl Globals {
    /// How a run is shown.
    #[must_use]
    pub fn output(&self) -> Output {
        match self.output {
            OutputArgument::Auto => Output::Auto,
            OutputArgument::Plain => Output::Plain,
            OutputArgument::Json => Output::Json,
        }
    }

    /// Where colours are wanted.
    #[must_use]
    pub fn colors(&self) -> Colors {
        match self.color {
            ColorArgument::Auto => Colors::Auto,
            ColorArgument::Always => Colors::Always,
            ColorArgument::Never => Colors::Never,
        }
    }

    /// How much is shown.
    #[must_use]
    pub fn verbosity(&self) -> Verbosity {
        match (self.quiet, self.verbose) {
            (true, _) => Verbosity::Quiet,
            (_, true) => Verbosity::Verbose,
            _ => Verbosity::Normal,
        }
    }
}

/// Which hosts and services a command is about.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Selection")]
pub struct Selection {
    /// Only these hosts: names, globs, @groups, with commas between; !x takes away
    #[arg(long, value_name = "HOSTS")]
    pub limit: Option<String>,
    /// Only these services
    #[arg(long, value_name = "SERVICES", value_delimiter = ',')]
    pub only: Vec<String>,
}

/// How hosts are met.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Connection")]
pub struct Connecting {
    /// Trust hosts that are not known yet and remember their keys
    #[arg(long)]
    pub accept_new_host_keys: bool,
}

/// What is done in Kubernetes only when it is said.
#[derive(Debug, Clone, Copy, Default, Args)]
#[command(next_help_heading = "Kubernetes")]
pub struct Permission {
    /// Set fields that somebody else has set
    #[arg(long)]
    pub take: bool,
    /// Delete and make anew what cannot be changed
    #[arg(long)]
    pub replace: bool,
    /// Delete namespaces, volume claims and kinds of objects that are not wanted any more
    #[arg(long)]
    pub prune_data: bool,
}

/// What a run leaves behind.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Record")]
pub struct Recording {
    /// Where the folders of runs are; beside the site file unless said
    #[arg(long, value_name = "DIR")]
    pub runs: Option<PathBuf>,
    /// Write a JUnit report
    #[arg(long, value_name = "FILE")]
    pub junit: Option<PathBuf>,
}

/// The subcommands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Write a site file, an inventory and encrypted secrets to start from
    #[command(after_help = "Example:\n  wire-deploy init --name lab --domain wire.example.org --host 10.0.0.1[1:3]")]
    Init(Init),
    /// Check the site, its templates, secrets and SSH keys; connects nowhere
    #[command(after_help = "Example:\n  wire-deploy validate -c lab.yaml")]
    Validate,
    /// Print a JSON Schema: of the site file, the inventory, or events
    #[command(after_help = "Example:\n  wire-deploy schema > wire-deploy.schema.json")]
    Schema(Schema),
    /// List the built-in templates, or show one
    #[command(subcommand, after_help = "Example:\n  wire-deploy templates show hosts/redis/redis.conf")]
    Templates(Templates),
    /// List, show, set or remove the site's secrets
    #[command(subcommand, after_help = "Example:\n  wire-deploy secrets list")]
    Secrets(Secrets),
    /// List the artifacts, or bring artifacts.lock up to date
    #[command(subcommand, after_help = "Example:\n  wire-deploy artifacts update redis")]
    Artifacts(Artifacts),
    /// Assemble container images, look at one, push one to a registry
    #[command(subcommand, after_help = "Example:\n  wire-deploy image build nginx")]
    Image(Image),

    /// Look at the hosts: what is missing, wrong or about to expire
    #[command(after_help = "Example:\n  wire-deploy check --limit @redis")]
    Check(Check),
    /// Show what apply would change, why, and what users would notice
    #[command(after_help = "Example:\n  wire-deploy plan -o lab.plan")]
    Plan(Plan),
    /// Make the hosts what the site says, or do exactly what a saved plan says
    #[command(after_help = "Examples:\n  wire-deploy apply\n  wire-deploy apply lab.plan --yes")]
    Apply(Apply),
    /// Show what differs from the site; exit code 2 if anything does
    #[command(after_help = "Example:\n  wire-deploy drift --output json")]
    Drift(Drift),

    /// Show what runs where, which version, healthy or not
    #[command(after_help = "Example:\n  wire-deploy status --only redis")]
    Status(Status),
    /// Ask every cluster whether it is well, waiting as long as a gate would
    #[command(after_help = "Example:\n  wire-deploy verify --junit verify.xml")]
    Verify(Verify),
    /// Have two throw-away users try a backend: a message, a file, a search
    #[command(
        after_help = "Example:\n  wire-deploy smoke --rest https://nginz-https.wire.example.org \\\n      --websocket wss://nginz-ssl.wire.example.org"
    )]
    Smoke(Smoke),
    /// Write a kubeconfig with which kubectl reaches the site's Kubernetes; connects nowhere
    #[command(after_help = "Example:\n  wire-deploy kubeconfig -o ~/.kube/lab")]
    Kubeconfig(Kubeconfig),
    /// Write the certificate that clients have to trust, unless the site brings one
    #[command(after_help = "Example:\n  wire-deploy authority -o authority.pem")]
    Authority(Authority),
    /// Run one of a service's maintenance tasks; without a task, list them
    #[command(after_help = "Example:\n  wire-deploy maintain etcd defragment")]
    Maintain(Maintain),
    /// Restart a service's nodes one by one although nothing differs
    #[command(after_help = "Example:\n  wire-deploy restart --service redis --limit db1")]
    Restart(Restart),
    /// Show who holds the hosts' leases, and take them away
    #[command(after_help = "Example:\n  wire-deploy unlock --limit db1")]
    Unlock(Unlock),
    /// Remove everything from the hosts, data included; asks for the site's name
    #[command(after_help = "Example:\n  wire-deploy destroy")]
    Destroy(Destroy),

    /// Throw-away real hosts on this machine
    #[command(subcommand, after_help = "Example:\n  wire-deploy sandbox up --hosts 3")]
    Sandbox(Sandbox),
    /// Print a script that completes commands and flags in a shell
    #[command(after_help = "Example:\n  wire-deploy completions bash > /etc/bash_completion.d/wire-deploy")]
    Completions(Completions),
}

/// `init`.
#[derive(Debug, Args)]
pub struct Init {
    /// The folder that the site is written into
    #[arg(value_name = "DIR", default_value = ".")]
    pub folder: PathBuf,
    /// The site's name
    #[arg(long, value_name = "NAME")]
    pub name: String,
    /// The backend's domain, as wire.example.org
    #[arg(long, value_name = "DOMAIN")]
    pub domain: String,
    /// Sizes and time-outs: sandbox, ci or production
    #[arg(long, value_name = "PROFILE", default_value = "production")]
    pub profile: String,
    /// A host, ADDRESS or NAME=ADDRESS, ranges as 10.0.0.1[1:3]; may be given often
    #[arg(long = "host", value_name = "HOST", required = true)]
    pub hosts: Vec<String>,
    /// A service and its hosts, NAME or NAME=HOST,HOST; all services on the first three hosts unless said
    #[arg(long = "service", value_name = "SERVICE")]
    pub services: Vec<String>,
    /// User to log in as
    #[arg(long, value_name = "USER")]
    pub ssh_user: Option<String>,
    /// Private key to log in with
    #[arg(long, value_name = "FILE")]
    pub ssh_key: Option<String>,
    /// What opens the secrets, an age identity or SSH private key; a new age identity unless said
    #[arg(long, value_name = "FILE")]
    pub identity: Option<String>,
}

/// `schema`.
#[derive(Debug, Args)]
pub struct Schema {
    /// The schema of what
    #[arg(value_name = "WHAT", default_value = "site")]
    pub what: SchemaOf,
}

/// What there is a schema of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum SchemaOf {
    /// The site file
    Site,
    /// The inventory
    Inventory,
    /// The events that --output json prints
    Events,
}

/// `templates`.
#[derive(Debug, Subcommand)]
pub enum Templates {
    /// List the built-in templates
    #[command(after_help = "Example:\n  wire-deploy templates list")]
    List,
    /// Show a built-in template
    #[command(after_help = "Example:\n  wire-deploy templates show hosts/redis/redis.conf")]
    Show {
        /// Its path as `list` has it
        template: String,
    },
}

/// `secrets`.
#[derive(Debug, Subcommand)]
pub enum Secrets {
    /// List the names of all secrets, derived and provided
    #[command(after_help = "Example:\n  wire-deploy secrets list")]
    List,
    /// Show a secret; only on a terminal, or with --yes
    #[command(after_help = "Example:\n  wire-deploy secrets show redis/user/brig")]
    Show {
        /// Its name as `list` has it
        secret: String,
        /// Print it even where stdout is no terminal
        #[arg(long)]
        yes: bool,
    },
    /// Keep a secret that you bring; its value is read from stdin
    #[command(after_help = "Example:\n  wire-deploy secrets set sudo < password.txt")]
    Set {
        /// Its name
        secret: String,
    },
    /// Forget a secret that you brought
    #[command(after_help = "Example:\n  wire-deploy secrets remove sudo")]
    Remove {
        /// Its name
        secret: String,
    },
}

/// `artifacts`.
#[derive(Debug, Subcommand)]
pub enum Artifacts {
    /// List the recipes, what is locked for them and what the store holds
    #[command(after_help = "Example:\n  wire-deploy artifacts list")]
    List,
    /// Make or fetch what the site needs and the store lacks; `apply` does so by itself where it reaches package registries
    #[command(after_help = "Example:\n  wire-deploy artifacts fetch")]
    Fetch,
    /// Make recipes anew and write what they gave into artifacts.lock
    #[command(after_help = "Example:\n  wire-deploy artifacts update redis")]
    Update {
        /// The recipes; all that the site's services need unless said
        recipes: Vec<String>,
    },
}

/// `image`.
#[derive(Debug, Subcommand)]
pub enum Image {
    /// Assemble images anew, of the packages that artifacts.lock names, and write what they are there
    #[command(after_help = "Example:\n  wire-deploy image build nginx --out images/")]
    Build {
        /// The images; all unless said
        #[arg(value_name = "IMAGE")]
        images: Vec<String>,
        /// A folder that gets a file of each, for `ctr images import` and the like
        #[arg(long, value_name = "DIR")]
        out: Option<PathBuf>,
    },
    /// Show an image's layers, configuration, digest, labels and what it consists of
    #[command(after_help = "Example:\n  wire-deploy image inspect nginx")]
    Inspect {
        /// The image, or a file of one
        #[arg(value_name = "IMAGE|FILE")]
        image: String,
    },
    /// Push an image to a registry; prints its name there, by digest
    #[command(after_help = "Example:\n  wire-deploy image push nginx registry.example.org/wire/nginx")]
    Push(ImagePush),
}

/// `image push`.
#[derive(Debug, Args)]
pub struct ImagePush {
    /// The image, or a file of one
    #[arg(value_name = "IMAGE|FILE")]
    pub image: String,
    /// Where it goes, HOST[:PORT]/REPOSITORY[:TAG]; the image's version is the tag unless said
    #[arg(value_name = "REFERENCE")]
    pub to: String,
    /// Certificate authorities (PEM) to believe instead of those that this machine believes
    #[arg(long, value_name = "FILE")]
    pub ca: Option<PathBuf>,
    /// A file with log-ins, as Docker's config.json, which it is unless said
    #[arg(long, value_name = "FILE")]
    pub credentials: Option<PathBuf>,
    /// Speak HTTP without TLS
    #[arg(long)]
    pub plain_http: bool,
}

/// `check`.
#[derive(Debug, Args)]
pub struct Check {
    /// Which hosts and services.
    #[command(flatten)]
    pub selection: Selection,
    /// How hosts are met.
    #[command(flatten)]
    pub connecting: Connecting,
}

/// `plan`.
#[derive(Debug, Args)]
pub struct Plan {
    /// Save the plan, for `apply FILE`
    #[arg(short = 'o', long = "out", value_name = "FILE")]
    pub file: Option<PathBuf>,
    /// End with exit code 2 when there are changes
    #[arg(long)]
    pub detailed_exitcode: bool,
    /// Which hosts and services.
    #[command(flatten)]
    pub selection: Selection,
    /// What is allowed in Kubernetes.
    #[command(flatten)]
    pub permission: Permission,
    /// How hosts are met.
    #[command(flatten)]
    pub connecting: Connecting,
}

/// `apply`.
#[derive(Debug, Args)]
pub struct Apply {
    /// A plan saved by `plan -o`; refused if the hosts or the site have changed since
    #[arg(value_name = "FILE", conflicts_with_all = ["limit", "only", "take", "replace", "prune_data"])]
    pub file: Option<PathBuf>,
    /// Do not ask
    #[arg(short, long)]
    pub yes: bool,
    /// Which hosts and services.
    #[command(flatten)]
    pub selection: Selection,
    /// What is allowed in Kubernetes.
    #[command(flatten)]
    pub permission: Permission,
    /// How hosts are met.
    #[command(flatten)]
    pub connecting: Connecting,
    /// What the run leaves behind.
    #[command(flatten)]
    pub recording: Recording,
}

/// `drift`.
#[derive(Debug, Args)]
pub struct Drift {
    /// Which hosts and services.
    #[command(flatten)]
    pub selection: Selection,
    /// What is allowed in Kubernetes.
    #[command(flatten)]
    pub permission: Permission,
    /// How hosts are met.
    #[command(flatten)]
    pub connecting: Connecting,
}

/// `status`.
#[derive(Debug, Args)]
pub struct Status {
    /// Which hosts and services.
    #[command(flatten)]
    pub selection: Selection,
    /// How hosts are met.
    #[command(flatten)]
    pub connecting: Connecting,
}

/// `verify`.
#[derive(Debug, Args)]
pub struct Verify {
    /// Which hosts and services.
    #[command(flatten)]
    pub selection: Selection,
    /// How hosts are met.
    #[command(flatten)]
    pub connecting: Connecting,
    /// What the run leaves behind.
    #[command(flatten)]
    pub recording: Recording,
}

/// `smoke`.
#[derive(Debug, Args)]
pub struct Smoke {
    /// Where the backend's API is; the site's unless said
    #[arg(long, value_name = "URL", requires = "websocket")]
    pub rest: Option<String>,
    /// Where the backend's websockets are; the site's unless said
    #[arg(long, value_name = "URL", requires = "rest")]
    pub websocket: Option<String>,
    /// Certificate authorities (PEM) to believe instead of those that this machine believes
    #[arg(long, value_name = "FILE")]
    pub ca: Option<PathBuf>,
    /// Connect here, wherever the backend's names lead to
    #[arg(long, value_name = "ADDRESS")]
    pub address: Option<IpAddr>,
}

/// `kubeconfig`.
#[derive(Debug, Args)]
pub struct Kubeconfig {
    /// Write it here, readable for you alone
    #[arg(short = 'o', long = "file", value_name = "FILE")]
    pub file: Option<PathBuf>,
    /// The name by which the API's audit log knows who uses it
    #[arg(long, default_value = "operator")]
    pub user: String,
    /// Days that it counts, from today
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u32).range(1..=825))]
    pub days: u32,
    /// Show it although stdout is no terminal
    #[arg(long)]
    pub yes: bool,
}

/// `authority`.
#[derive(Debug, Args)]
pub struct Authority {
    /// Write it here
    #[arg(short = 'o', long = "file", value_name = "FILE")]
    pub file: Option<PathBuf>,
}

/// `maintain`.
#[derive(Debug, Args)]
pub struct Maintain {
    /// The service
    pub service: String,
    /// The task
    pub task: Option<String>,
    /// How hosts are met.
    #[command(flatten)]
    pub connecting: Connecting,
    /// What the run leaves behind.
    #[command(flatten)]
    pub recording: Recording,
}

/// `restart`.
#[derive(Debug, Args)]
pub struct Restart {
    /// The service
    #[arg(long)]
    pub service: String,
    /// Only these hosts: names, globs, @groups, with commas between; !x takes away
    #[arg(long, value_name = "HOSTS")]
    pub limit: Option<String>,
    /// Do not ask
    #[arg(short, long)]
    pub yes: bool,
    /// How hosts are met.
    #[command(flatten)]
    pub connecting: Connecting,
    /// What the run leaves behind.
    #[command(flatten)]
    pub recording: Recording,
}

/// `unlock`.
#[derive(Debug, Args)]
pub struct Unlock {
    /// Take the leases away without asking
    #[arg(short, long)]
    pub yes: bool,
    /// Only these hosts: names, globs, @groups, with commas between; !x takes away
    #[arg(long, value_name = "HOSTS")]
    pub limit: Option<String>,
    /// How hosts are met.
    #[command(flatten)]
    pub connecting: Connecting,
}

/// `destroy`.
#[derive(Debug, Args)]
pub struct Destroy {
    /// Do not ask; NAME must be the site's name
    #[arg(long, value_name = "NAME")]
    pub yes_destroy: Option<String>,
    /// How hosts are met.
    #[command(flatten)]
    pub connecting: Connecting,
    /// What the run leaves behind.
    #[command(flatten)]
    pub recording: Recording,
}

/// `sandbox`.
#[derive(Debug, Subcommand)]
pub enum Sandbox {
    /// Boot hosts and write a complete site for them into sandbox/
    #[command(after_help = "Example:\n  wire-deploy sandbox up --hosts 3")]
    Up {
        /// How many hosts
        #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u8).range(1..=64))]
        hosts: u8,
    },
    /// Run wire-deploy for the sandbox's site, inside its network
    #[command(after_help = "Example:\n  wire-deploy sandbox run -- apply --yes")]
    Run {
        /// The command and its arguments
        #[arg(trailing_var_arg = true, allow_hyphen_values = true, required = true, value_name = "ARGS")]
        arguments: Vec<std::ffi::OsString>,
    },
    /// Log in on a host, or run a command there
    #[command(after_help = "Example:\n  wire-deploy sandbox ssh host1 systemctl status redis-server")]
    Ssh {
        /// The host
        host: String,
        /// The command and its arguments
        #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "CMD")]
        command: Vec<String>,
    },
    /// Stop the hosts and remove all that they were; the site in sandbox/ stays
    #[command(after_help = "Example:\n  wire-deploy sandbox down")]
    Down,
}

/// `completions`.
#[derive(Debug, Args)]
pub struct Completions {
    /// The shell
    pub shell: clap_complete::Shell,
}

/// The commands as the help of the whole program groups them.
const GROUPS: [(&str, &[&str]); 4] = [
    ("The site", &["init", "validate", "schema", "templates", "secrets", "artifacts", "image"]),
    ("Its hosts", &["check", "plan", "apply", "drift"]),
    (
        "Day by day",
        &["status", "verify", "smoke", "kubeconfig", "authority", "maintain", "restart", "unlock", "destroy"],
    ),
    ("This machine", &["sandbox", "completions"]),
];

/// The command line's definition.
#[must_use]
pub fn definition() -> clap::Command {
    let definition = Arguments::command();
    let mut help = "{about}\n\n{usage-heading} {usage}\n".to_owned();
    for (heading, names) in GROUPS {
        help.push_str(&format!("\n{heading}:\n"));
        for name in names {
            let about = definition.find_subcommand(name).and_then(|command| command.get_about());
            help.push_str(&format!("  {name:<12} {}\n", about.cloned().unwrap_or_default()));
        }
    }
    help.push_str("\nGlobal options:\n{options}\n\nMore on a command: wire-deploy COMMAND --help\n");
    definition.help_template(help)
}

/// Reads the command line.
///
/// # Errors
/// When it does not fit, and when help or the version is asked for.
pub fn parse(arguments: impl IntoIterator<Item = std::ffi::OsString>) -> Result<Arguments, clap::Error> {
    Arguments::from_arg_matches(&definition().try_get_matches_from(arguments)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_definition_is_consistent_and_every_command_is_in_one_group() {
        definition().debug_assert();
        let mut grouped: Vec<&str> = GROUPS.iter().flat_map(|(_, names)| names.iter().copied()).collect();
        let definition = definition();
        let mut defined: Vec<&str> = definition.get_subcommands().map(clap::Command::get_name).collect();
        grouped.sort_unstable();
        defined.sort_unstable();
        assert_eq!(grouped, defined);
    }
}
