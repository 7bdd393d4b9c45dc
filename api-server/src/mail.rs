//! Mails: activation, password reset, invitations. Their texts are short and plain.

use anyhow::Context as _;
use lettre::message::Mailbox;
use lettre::transport::smtp::{self, authentication::Credentials};
use lettre::{AsyncSmtpTransport, AsyncTransport as _, Message, Tokio1Executor};

use crate::config::{Config, Links, MailSecurity};
use crate::http::Failure;

/// Sends mails, or says that it cannot.
pub struct Mailer {
    smtp: Option<(AsyncSmtpTransport<Tokio1Executor>, Mailbox)>,
    links: Links,
}

/// A mail's text.
pub enum Letter<'a> {
    /// Proves an address.
    Activation {
        /// Names the proof.
        key: &'a str,
        /// The proof.
        code: &'a str,
    },
    /// Lets a password be set.
    PasswordReset {
        /// Names the proof.
        key: &'a str,
        /// The proof.
        code: &'a str,
    },
    /// Lets an account be deleted.
    Deletion {
        /// Names the proof.
        key: &'a str,
        /// The proof.
        code: &'a str,
    },
    /// Asks into a team.
    Invitation {
        /// The team's name.
        team: &'a str,
        /// The proof.
        code: &'a str,
    },
}

impl Letter<'_> {
    fn subject(&self) -> String {
        match self {
            Self::Activation { code, .. } => format!("{code} is your verification code"),
            Self::PasswordReset { .. } => "Set a new password".to_owned(),
            Self::Deletion { .. } => "Delete your account?".to_owned(),
            Self::Invitation { team, .. } => format!("You have been invited to join {}", one_line(team)),
        }
    }

    fn body(&self, links: &Links) -> String {
        let Links { accounts, .. } = links;
        match self {
            Self::Activation { key, code } => {
                format!("Your verification code is {code}.\n\nOr open {accounts}/verify/?key={key}&code={code}\n")
            }
            Self::PasswordReset { key, code } => {
                format!(
                    "To set a new password, open {accounts}/reset/?key={key}&code={code}\n\nIf you did not ask for it, do nothing.\n"
                )
            }
            Self::Deletion { key, code } => {
                format!(
                    "To delete your account for ever, open {accounts}/d/?key={key}&code={code}\n\nIf you did not ask for it, change your password.\n"
                )
            }
            Self::Invitation { team, code } => {
                format!(
                    "You have been invited to join {}.\n\nTo join, open {accounts}/join/?team-code={code}\n",
                    one_line(team)
                )
            }
        }
    }
}

/// A name that cannot add lines to a mail.
fn one_line(text: &str) -> String {
    text.chars().map(|character| if character.is_control() { ' ' } else { character }).collect()
}

impl Mailer {
    /// As configured.
    ///
    /// # Errors
    /// A sender that is no address, TLS that cannot be set up.
    pub fn new(config: &Config) -> anyhow::Result<Self> {
        let smtp = config.mail.as_ref().map(|mail| {
            let builder = match mail.security {
                MailSecurity::Starttls => AsyncSmtpTransport::<Tokio1Executor>::starttls_relay(&mail.host)?,
                MailSecurity::Tls => AsyncSmtpTransport::<Tokio1Executor>::relay(&mail.host)?,
                MailSecurity::None => AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(&mail.host),
            };
            let builder = match (&mail.user, &mail.password) {
                (Some(user), Some(password)) => {
                    builder.credentials(Credentials::new(user.clone(), password.0.expose().to_owned()))
                }
                _ => builder,
            };
            let sender = mail.sender.parse().with_context(|| format!("mail.sender {:?} is no address", mail.sender))?;
            anyhow::Ok((builder.port(mail.port).build(), sender))
        });
        Ok(Self { smtp: smtp.transpose()?, links: config.links.clone() })
    }

    /// Sends a letter; without a mail server there is nothing to do.
    ///
    /// # Errors
    /// The mail server did not take it.
    pub async fn send(&self, address: &str, letter: &Letter<'_>) -> Result<(), Failure> {
        let Some((smtp, sender)) = &self.smtp else { return Ok(()) };
        let receiver = address.parse().map_err(|_| Failure::Api(crate::http::error::INVALID_EMAIL))?;
        let message = Message::builder()
            .from(sender.clone())
            .to(receiver)
            .subject(letter.subject())
            .body(letter.body(&self.links));
        let message = message.map_err(|error| Failure::Internal(format!("mail: {error}")))?;
        smtp.send(message).await.map_err(|error| Failure::Internal(told(&error)))?;
        Ok(())
    }
}

/// Why a mail was not taken, without the server's words: they quote addresses.
fn told(error: &smtp::Error) -> String {
    if let Some(code) = error.status() {
        return format!("the mail server answered {code}");
    }
    let causes = std::iter::successors(std::error::Error::source(error), |cause| cause.source());
    let io = causes.filter_map(|cause| cause.downcast_ref::<std::io::Error>()).next();
    let kind = match io {
        Some(io) => io.kind().to_string(),
        None if error.is_timeout() => "no answer in time".to_owned(),
        None if error.is_tls() => "TLS failed".to_owned(),
        None => "not understood".to_owned(),
    };
    format!("the mail server: {kind}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_team_name_adds_no_lines() {
        let letter = Letter::Invitation { team: "Evil\r\nBcc: all@example.com", code: "x" };
        assert!(!letter.subject().contains(['\r', '\n']));
    }
}
