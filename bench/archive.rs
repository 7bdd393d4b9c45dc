//! A 60 MB archive to each of ten hosts, against ten `scp` in parallel.
//!
//! `archive measure FOLDER` boots the hosts and measures. It runs itself inside the hosts' network as `archive send SITE FILE DIGEST`:
//! the program's own way of getting a blob of its store, which knows the digest, to hosts, from the process's start on.

mod hosts;
mod site;

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::path::Path;

use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};
use hosts::{Bench, Cost, Result, print_table};
use wire_deploy_agent::digest::Digest;
use wire_deploy_agent::protocol::{Request, Response};

const HOSTS: usize = 10;
const ROUNDS: usize = 5;
const SIZE: u64 = 60_000_000;

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match &arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["measure", folder] => measure(Path::new(folder)),
        ["send", site, file, digest] => {
            let blob = Digest::try_from((*digest).to_owned())?;
            let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
            println!("sent {}", runtime.block_on(send(Path::new(site), Path::new(file), blob))?);
            Ok(())
        }
        _ => Err("usage: archive measure FOLDER".into()),
    }
}

/// Sends the file to every host that lacks it, as many at once as the site's limit says. Gives how many lacked it.
async fn send(site_file: &Path, file: &Path, blob: Digest) -> Result<usize> {
    let (workspace, _, hosts) = site::open(site_file)?;
    let site = &workspace.site;
    let sent = stream::iter(&site.hosts).map(async |host| -> Result<bool> {
        let agent = hosts.agent(&host.name).await?;
        let request = Request::MissingBlobs { blobs: vec![blob.clone()] };
        match agent.request(&request, &mut |_| {}).await? {
            Response::Missing { blobs } if blobs.is_empty() => Ok(false),
            Response::Missing { .. } => {
                let mut content = tokio::fs::File::open(file).await?;
                agent.put_blob(&blob, SIZE, &mut content, &mut |_| {}).await?;
                Ok(true)
            }
            other => Err(format!("{}: {other:?}", host.name).into()),
        }
    });
    let sent: Vec<bool> = sent.buffer_unordered(site.limits.uploads.max(1)).try_collect().await?;
    hosts.close().await;
    Ok(sent.into_iter().filter(|sent| *sent).count())
}

fn measure(folder: &Path) -> Result<()> {
    let program = std::env::current_exe()?;
    let bench = Bench::boot(folder.join("archive"), HOSTS, &[])?;
    let site = bench.write_site(&["etcd", "redis"])?;
    let file = bench.folder.join("file");
    let own = |digest: &Digest, expected: &str| -> Result<Cost> {
        let mut command = bench.sandbox.command(&program);
        command.arg("send").arg(&site).arg(&file).arg(digest.to_string());
        bench.run(vec![command], Some(expected))
    };
    let scp = || -> Result<Cost> {
        let copies = bench.sandbox.hosts().iter().map(|host| {
            let mut command = bench.sandbox.command("scp");
            command.arg("-q").arg("-i").arg(bench.sandbox.key_file()).args(["-F", "none", "-o"]);
            command.arg(format!("UserKnownHostsFile={}", bench.sandbox.known_hosts_file().display()));
            command.arg(&file).arg(format!("root@{}:/var/tmp/file", host.address));
            command
        });
        bench.run(copies.collect(), None)
    };
    let (mut first, mut copies, mut second) = (Vec::new(), Vec::new(), Vec::new());
    // The agent's first way to the hosts is no part of this.
    own(&write_random(&file)?, &format!("sent {HOSTS}"))?;
    for _ in 0..ROUNDS {
        let digest = write_random(&file)?;
        first.push(own(&digest, &format!("sent {HOSTS}"))?);
        copies.push(scp()?);
        second.push(own(&digest, "sent 0")?);
    }
    println!("{} MB to each of {HOSTS} hosts, medians of {ROUNDS} interleaved runs", SIZE / 1_000_000);
    print_table(&[("wire-deploy", &first), ("10 x scp", &copies), ("a second time", &second)]);
    Ok(())
}

/// Other content each time, which nothing can pack; its digest.
fn write_random(path: &Path) -> Result<Digest> {
    let mut content = Vec::new();
    File::open("/dev/urandom")?.take(SIZE).read_to_end(&mut content)?;
    File::create(path)?.write_all(&content)?;
    Ok(Digest::of(&content))
}
