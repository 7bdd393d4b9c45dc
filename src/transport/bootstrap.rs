//! From a login shell to a running agent, in as few round trips as there can be.
//!
//! One command is given to the login shell, whichever it is: words in single quotes that hold no quote, `!`, backslash
//! or newline, which every shell leaves alone. It starts /bin/sh on a short script, through sudo if need be. The script
//! runs the agent if a file with its digest is there, or else takes it from its standard input first; then frames flow.
//!
//! What the script says comes on lines that begin with a random marker; all before the first is a banner's noise. The
//! command holds the marker in two halves, so that a shell that echoes what it runs does not seem to have run it.

use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use wire_deploy_agent::digest::Digest;

use super::Problem;
use super::link::{Diagnostics, Ended, Link};
use crate::site::secrets::SecretText;

/// Where hosts keep agents, by digest.
const FOLDER: &str = "/var/lib/wire-deploy/agent";
/// Bytes that a login shell may say before our script does.
const NOISE: usize = 64 * 1024;
/// Bytes written at once while the agent is sent.
const PIECE: usize = 32 * 1024;
/// How long an ended program's last words are waited for.
const LAST_WORDS: Duration = Duration::from_secs(3);

/// The agent as it is sent to hosts.
#[derive(Debug, Clone)]
pub struct AgentBinary {
    /// Digest of the binary, by which hosts keep it.
    pub digest: Digest,
    /// The binary, compressed with gzip.
    pub gzip: Arc<[u8]>,
}

/// How the script becomes root.
#[derive(Debug, Clone)]
pub(super) enum Root {
    /// The login user is root.
    Login,
    /// sudo, with a password or without one.
    Sudo(Option<SecretText>),
}

/// One attempt to start the agent: what is run, and the words to look for in what it says.
pub(super) struct Bootstrap<'a> {
    agent: &'a AgentBinary,
    root: &'a Root,
    folder: &'a str,
    marker: [String; 2],
    prompt: [String; 2],
}

/// An agent that runs: its streams carry frames from now on.
pub(super) struct Started {
    pub(super) reader: Box<dyn AsyncRead + Send + Unpin>,
    pub(super) writer: Box<dyn AsyncWrite + Send + Unpin>,
    /// Ready once it has ended: why.
    pub(super) why: futures_util::future::BoxFuture<'static, String>,
}

impl<'a> Bootstrap<'a> {
    pub(super) fn new(agent: &'a AgentBinary, root: &'a Root) -> Result<Self, Problem> {
        Ok(Self { agent, root, folder: FOLDER, marker: [word()?, word()?], prompt: [word()?, word()?] })
    }

    /// The program to run and its arguments.
    pub(super) fn program(&self) -> Vec<String> {
        let shell = ["/bin/sh", "-c"].map(str::to_owned);
        let ask = match self.root {
            Root::Login => return shell.into_iter().chain([self.script()]).collect(),
            Root::Sudo(None) => "-n",
            Root::Sudo(Some(_)) => "-k -S -p $p",
        };
        let ([m1, m2], [p1, p2]) = (&self.marker, &self.prompt);
        // With no separators and no globbing, the unquoted $1 is one word.
        let launch = format!(
            "m={m1}; m=$m-{m2}; p={p1}; p=$p-{p2}; LC_ALL=C; export LC_ALL; \
             command -v sudo >/dev/null || {{ echo $m:no-sudo; exit 1; }}; \
             set -f; IFS=; exec sudo {ask} /bin/sh -c $1"
        );
        shell.into_iter().chain([launch, "sh".to_owned(), self.script()]).collect()
    }

    /// The same as one line for a login shell.
    pub(super) fn command(&self) -> String {
        let words = self.program().into_iter();
        let quoted = words.map(|word| if word.contains(' ') { format!("'{word}'") } else { word });
        format!("exec {}", quoted.collect::<Vec<_>>().join(" "))
    }

    fn script(&self) -> String {
        let ([m1, m2], folder) = (&self.marker, self.folder);
        let (digest, size) = (&self.agent.digest, self.agent.gzip.len());
        format!(
            "m={m1}; m=$m-{m2}; d={folder}; a=$d/{digest}; t=$d/new-$$; umask 077; \
             no() {{ echo $m:no-$1; exit 1; }}; \
             [ -x $a ] || {{ \
             [ $(id -u) = 0 ] || no root; \
             [ $(uname -m) = x86_64 ] || no amd64; \
             command -v gzip >/dev/null || no gzip; \
             mkdir -p $d || no folder; \
             echo $m:send; \
             head -c {size} | gzip -dc >$t || {{ rm -f $t; no room; }}; \
             chmod 700 $t && sync $t && mv -f $t $a || {{ rm -f $t; no room; }}; \
             [ -x $a ] || no exec; }}; \
             exec $a --marker $m:run"
        )
    }

    /// Talks with what [`Self::program`] started until the agent runs. `patience` is how long the host may say nothing.
    pub(super) async fn start(&self, link: Link, patience: Duration) -> Result<Started, Problem> {
        let Link { mut reader, mut writer, diagnostics, ended } = link;
        let marker = format!("{}:", self.marker.join("-"));
        let mut said = Vec::new();
        let mut prompts = 0;
        let mut buffer = vec![0; PIECE];
        loop {
            let read = tokio::select! {
                read = reader.read(&mut buffer) => Some(read.unwrap_or(0)),
                () = diagnostics.changed() => None,
                () = tokio::time::sleep(patience) => return Err(self.silence(&said, &diagnostics, patience)),
            };
            match read {
                None => self.answer_prompt(&diagnostics, &mut prompts, &mut *writer).await?,
                Some(0) => {
                    drop(writer);
                    let ended = tokio::time::timeout(LAST_WORDS, ended).await;
                    // The last of the standard error may still be on its way.
                    self.answer_prompt(&diagnostics, &mut prompts, &mut tokio::io::sink()).await?;
                    return Err(self.no_agent(&said, &diagnostics, ended.ok()));
                }
                Some(count) => said.extend_from_slice(&buffer[..count]),
            }
            while let Some((word, rest)) = next_word(&said, marker.as_bytes()) {
                said = rest;
                match word.as_str() {
                    "run" => return Ok(running(reader, writer, said, diagnostics, ended)),
                    "send" => self.send(&mut *writer, patience).await?,
                    word => return Err(self.refused(word, &diagnostics)),
                }
            }
            if said.len() > NOISE {
                return Err(Problem::new(
                    format!(
                        "the login shell answers garbage: {} bytes beginning with {:?}",
                        said.len(),
                        beginning(&said)
                    ),
                    "see what its startup files print; nothing should be when no terminal is there",
                ));
            }
        }
    }

    async fn send(&self, writer: &mut (dyn AsyncWrite + Send + Unpin), patience: Duration) -> Result<(), Problem> {
        for piece in self.agent.gzip.chunks(PIECE) {
            match tokio::time::timeout(patience, writer.write_all(piece)).await {
                Ok(Ok(())) => {}
                // The host says why on its output.
                Ok(Err(_)) => return Ok(()),
                Err(_) => {
                    return Err(Problem::new(
                        format!("the host has not taken any of the agent for {} seconds", patience.as_secs()),
                        "see what keeps the host or the way there busy",
                    ));
                }
            }
        }
        let _ = writer.flush().await;
        Ok(())
    }

    /// Answers sudo's prompt: the first with the password, a second means that it was wrong.
    async fn answer_prompt(
        &self,
        diagnostics: &Diagnostics,
        answered: &mut usize,
        writer: &mut (dyn AsyncWrite + Send + Unpin),
    ) -> Result<(), Problem> {
        let Root::Sudo(Some(password)) = self.root else { return Ok(()) };
        let asked = diagnostics.text().matches(&self.prompt.join("-")).count();
        if asked > 1 {
            return Err(wrong_password());
        }
        if asked > *answered {
            *answered = asked;
            for text in [password.expose(), "\n"] {
                // If it cannot be written, the end that follows tells why.
                let _ = writer.write_all(text.as_bytes()).await;
            }
            let _ = writer.flush().await;
        }
        Ok(())
    }

    fn refused(&self, word: &str, diagnostics: &Diagnostics) -> Problem {
        let told = last_lines(&diagnostics.text());
        let told = if told.is_empty() { told } else { format!(": {told}") };
        match word {
            "no-sudo" => Problem::new("there is no sudo on the host", "install sudo there, or log in as root"),
            "no-root" => Problem::new(
                "the login user is not root",
                "log in as root, or have root through sudo by saying become: sudo",
            ),
            // Before it is sent: what a shell makes of a program for another machine is not to be foreseen.
            "no-amd64" => {
                Problem::new("the host is no amd64 (x86_64) machine", "hosts are amd64: take it out of the inventory")
            }
            "no-gzip" => Problem::new("there is no gzip on the host", "install the package gzip there"),
            "no-folder" => Problem::new(
                format!("{} cannot be made{told}", self.folder),
                "see whether /var/lib is mounted read-only or full",
            ),
            "no-room" => Problem::new(
                format!("the agent cannot be written into {}{told}", self.folder),
                "see whether the disk is full or mounted read-only (df -h /var/lib)",
            ),
            "no-exec" => Problem::new(
                format!("nothing in {} may be executed", self.folder),
                "the file system is mounted noexec: mount /var/lib/wire-deploy without that option",
            ),
            word => Problem::new(format!("the bootstrap said {word:?}{told}"), "this is a defect"),
        }
    }

    fn silence(&self, said: &[u8], diagnostics: &Diagnostics, patience: Duration) -> Problem {
        let told = last_lines(&[&String::from_utf8_lossy(said), "\n", &diagnostics.text()].concat());
        let told =
            if told.is_empty() { "it has said nothing".to_owned() } else { format!("its last words are {told:?}") };
        Problem::new(
            format!("the login shell has not started the agent within {} seconds; {told}", patience.as_secs()),
            "see whether its startup files or sudo wait for an answer, or raise ssh.connect_timeout_seconds",
        )
    }

    /// What it means that everything ended before the agent ran.
    fn no_agent(&self, said: &[u8], diagnostics: &Diagnostics, ended: Option<Ended>) -> Problem {
        let said = String::from_utf8_lossy(said).into_owned();
        let told = diagnostics.text().replace(&self.prompt.join("-"), "");
        let all = format!("{said}\n{told}").to_lowercase();
        let has = |texts: &[&str]| texts.iter().any(|text| all.contains(text));
        if matches!(self.root, Root::Sudo(_)) {
            // The texts of sudo 1.8 and 1.9 with LC_ALL=C, and of sudo-rs.
            if has(&["incorrect password", "sorry, try again", "incorrect authentication"]) {
                return wrong_password();
            }
            if has(&["password is required", "terminal is required", "interactive authentication is required"]) {
                return Problem::new(
                    "sudo asks for a password and none is given",
                    "name a provided secret as become.password, or allow the user NOPASSWD in sudoers",
                );
            }
            if has(&["not in the sudoers", "is not allowed to", "may not run sudo", "i'm sorry"]) {
                return Problem::new(
                    "sudo does not let the login user run /bin/sh as root",
                    "add the user to the group sudo, or allow it in /etc/sudoers.d",
                );
            }
            if has(&["must have a tty"]) {
                return Problem::new(
                    "sudo wants a terminal",
                    "take requiretty out of sudoers for the login user: Defaults:USER !requiretty",
                );
            }
        }
        let (code, reason) =
            ended.map_or((None, "its end is not known".to_owned()), |ended| (ended.code, ended.reason));
        if code == Some(126) && told.contains(self.folder) {
            return Problem::new(
                format!("the host cannot execute the agent: {}", last_lines(&told)),
                "hosts are amd64, and /var/lib/wire-deploy must not be mounted noexec",
            );
        }
        if code == Some(127) || (code == Some(126) && all.contains("/bin/sh")) {
            return Problem::new(
                format!("the login shell cannot run /bin/sh: {}", last_lines(&format!("{said}\n{told}"))),
                "hosts need /bin/sh; see whether the login shell is a restricted one",
            );
        }
        let told = last_lines(&format!("{said}\n{told}"));
        let told = if told.is_empty() { "without a word".to_owned() } else { format!("with {told:?}") };
        Problem::new(
            format!("the login shell ended before the agent ran, {told}; {reason}"),
            "see whether this user may log in and run commands: ssh HOST true",
        )
    }
}

fn wrong_password() -> Problem {
    Problem::new("sudo does not take the password", "correct the secret that become.password names")
}

fn running(
    reader: Box<dyn AsyncRead + Send + Unpin>,
    writer: Box<dyn AsyncWrite + Send + Unpin>,
    rest: Vec<u8>,
    diagnostics: Arc<Diagnostics>,
    ended: futures_util::future::BoxFuture<'static, Ended>,
) -> Started {
    let why = async move {
        let reason = match tokio::time::timeout(LAST_WORDS, ended).await {
            Ok(Ended { code: Some(_), reason }) => format!("the agent is gone: {reason}"),
            Ok(Ended { code: None, reason }) => reason,
            Err(_) => "the agent's streams ended".to_owned(),
        };
        let told = last_lines(&diagnostics.text());
        if told.is_empty() { reason } else { format!("{reason}; it said {told:?}") }
    };
    Started { reader: Box::new(std::io::Cursor::new(rest).chain(reader)), writer, why: Box::pin(why) }
}

/// A random word that no banner holds.
fn word() -> Result<String, Problem> {
    let mut bytes = [0; 8];
    getrandom::fill(&mut bytes)
        .map_err(|error| Problem::new(format!("no random numbers: {error}"), "see whether /dev/urandom is there"))?;
    Ok(hex::encode(bytes))
}

/// The word that follows the first marker, and all after its line; `None` until the line is whole.
fn next_word(said: &[u8], marker: &[u8]) -> Option<(String, Vec<u8>)> {
    let start = said.windows(marker.len()).position(|window| window == marker)? + marker.len();
    let length = said[start..].iter().position(|byte| *byte == b'\n')?;
    let word = String::from_utf8_lossy(&said[start..start + length]).trim_end().to_owned();
    Some((word, said[start + length + 1..].to_vec()))
}

fn beginning(said: &[u8]) -> String {
    String::from_utf8_lossy(&said[..said.len().min(60)]).into_owned()
}

/// The last lines of a text that say something, for an error.
fn last_lines(text: &str) -> String {
    let lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let last = lines[lines.len().saturating_sub(3)..].join(" / ");
    let excess = last.chars().count().saturating_sub(300);
    last.chars().skip(excess).filter(|c| !c.is_control()).collect()
}

#[cfg(test)]
mod tests;
