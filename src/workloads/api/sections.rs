//! The API's services' sections of the site file.

use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::services::{Problem, Severity};
use crate::workloads::settings::{REPLICAS, Replicated, Resources};
use crate::workloads::{Context, Finding};

/// What settings of a service of the API tell.
pub trait ApiSettings: Serialize + DeserializeOwned + JsonSchema + Default + 'static {
    /// How many pods, and what each asks for.
    fn pods(&self) -> (u32, &Resources);

    /// How mails are sent, of the service that does.
    fn mail(&self) -> Option<&Mail> {
        None
    }

    /// Seconds in which a process that ends lets its clients go.
    fn drain_seconds(&self) -> u32 {
        15
    }

    /// What of them cannot be.
    fn problems(&self, _workload: &str) -> Vec<Problem> {
        Vec::new()
    }

    /// What of them deserves to be told.
    fn findings(&self, _context: &Context<'_>) -> Vec<Finding> {
        Vec::new()
    }
}

impl ApiSettings for Replicated {
    fn pods(&self) -> (u32, &Resources) {
        (self.replicas, &self.resources)
    }
}

/// Settings of brig.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Brig {
    /// Pods, on as many hosts as there are. Default: 3.
    pub replicas: u32,
    /// What each asks of its host.
    pub resources: Resources,
    /// How mails are sent. Default: not at all, and every address that somebody registers with is believed.
    pub mail: Option<Mail>,
}

/// How mails are sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Mail {
    /// The server for outgoing mail (SMTP): a name or an address.
    pub host: String,
    /// Its port. Default: 587.
    #[serde(default = "Mail::submission")]
    pub port: u16,
    /// How the connection is protected. Default: `starttls`.
    #[serde(default)]
    pub security: MailSecurity,
    /// User to log in as. Default: none, the server asks for no log-in.
    #[serde(default)]
    pub user: Option<String>,
    /// Name of the provided secret that is the user's password: `wire-deploy secrets set NAME`. Default: none.
    #[serde(default)]
    pub password: Option<String>,
    /// Whose mails they are: `Wire <wire@example.com>`.
    pub sender: String,
}

/// How the connection to the mail server is protected.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum MailSecurity {
    /// TLS asked for with STARTTLS, which must succeed.
    #[default]
    Starttls,
    /// TLS from the beginning.
    Tls,
    /// Not at all.
    None,
}

impl Mail {
    fn submission() -> u16 {
        587
    }
}

impl Default for Brig {
    fn default() -> Self {
        let memory = Resources { memory_limit_megabytes: 1024, ..Resources::default() };
        Self { replicas: REPLICAS, resources: memory, mail: None }
    }
}

impl ApiSettings for Brig {
    fn pods(&self) -> (u32, &Resources) {
        (self.replicas, &self.resources)
    }

    fn mail(&self) -> Option<&Mail> {
        self.mail.as_ref()
    }

    fn problems(&self, workload: &str) -> Vec<Problem> {
        let mut problems = Vec::new();
        let mut problem = |message: &str, hint: &str| {
            problems.push(Problem { message: format!("{workload}: {message}"), hint: hint.to_owned() });
        };
        if let Some(mail) = &self.mail {
            if mail.user.is_some() != mail.password.is_some() {
                problem(
                    "mail has a user without a password, or a password without a user",
                    "say both, `password` as the name of a provided secret, or neither",
                );
            }
            if mail.port == 0 || mail.host.is_empty() || mail.host.contains(char::is_whitespace) {
                problem("mail has no server that can be", "write its name or address, as `smtp.example.com`");
            }
            if !mail.sender.contains('@') {
                problem("mail's sender is no address", "write it as `Wire <wire@example.com>`");
            }
        }
        problems
    }

    fn findings(&self, context: &Context<'_>) -> Vec<Finding> {
        let believes_all = self.mail.is_none() && context.site.profile.name == "production";
        let finding = Finding {
            workload: context.name(),
            severity: Severity::Warning,
            message: "every e-mail address is believed: nothing says how mails are sent".to_owned(),
            hint: "say `workloads: brig: mail:` with the server for outgoing mail".to_owned(),
        };
        believes_all.then_some(finding).into_iter().collect()
    }
}

/// Settings of cannon.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Cannon {
    /// Pods, on as many hosts as there are. Default: 3.
    pub replicas: u32,
    /// What each asks of its host.
    pub resources: Resources,
    /// Seconds in which a pod that is replaced lets its websockets go, so that not all clients come back at once. Default: 60.
    pub drain_seconds: u32,
}

impl Default for Cannon {
    fn default() -> Self {
        let memory = Resources { memory_megabytes: 256, memory_limit_megabytes: 1024, ..Resources::default() };
        Self { replicas: REPLICAS, resources: memory, drain_seconds: 60 }
    }
}

impl ApiSettings for Cannon {
    fn pods(&self) -> (u32, &Resources) {
        (self.replicas, &self.resources)
    }

    fn drain_seconds(&self) -> u32 {
        self.drain_seconds
    }
}
