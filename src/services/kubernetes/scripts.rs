//! What the scripts on the hosts do, tried in a folder of this machine, with programs that only note how they were called.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::{Command, Output};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::templates::Templates;

const TOKEN: &str = "abcdef.0123456789abcdef";

/// A folder that stands for a host.
struct Place(TempDir);

impl Place {
    /// With a script of the service, and with programs that do nothing but what is told of them.
    fn new(script: &str, values: &Value, programs: &[(&str, &str)]) -> Self {
        let place = Self(tempfile::tempdir().unwrap());
        let text =
            Templates::new(&BTreeMap::new()).unwrap().render(&format!("hosts/kubernetes/{script}"), values).unwrap();
        let here = |folder: &str| place.path(folder).to_str().unwrap().to_owned();
        let text = ["/etc/kubernetes", "/run/wire-deploy", "/var/lib/kubelet"]
            .into_iter()
            .fold(text, |text, folder| text.replace(folder, &here(folder)));
        place.program("script", &text);
        for (name, does) in programs {
            place.program(&format!("bin/{name}"), &format!("#!/bin/sh\ncd {}\n{does}\n", here("")));
        }
        place
    }

    fn path(&self, path: &str) -> PathBuf {
        self.0.path().join(path.trim_start_matches('/'))
    }

    fn write(&self, path: &str, text: &str) {
        fs::create_dir_all(self.path(path).parent().unwrap()).unwrap();
        fs::write(self.path(path), text).unwrap();
    }

    fn program(&self, path: &str, text: &str) {
        self.write(path, text);
        fs::set_permissions(self.path(path), fs::Permissions::from_mode(0o755)).unwrap();
    }

    fn text(&self, path: &str) -> String {
        fs::read_to_string(self.path(path)).unwrap_or_default()
    }

    fn run(&self, arguments: &[&str]) -> Output {
        let path = format!("{}:/usr/bin:/bin", self.path("bin").display());
        Command::new("/bin/sh").arg(self.path("script")).args(arguments).env("PATH", path).output().unwrap()
    }
}

/// kubeadm, whose joins fail as often as the file `failures` has lines, and leave something; the other programs that the node's script calls.
const KUBEADM: &str = r#"echo "$1" >>calls
case $1 in
  join)
    echo half >var/lib/kubelet/config.yaml
    [ -s failures ] || exit 0
    sed -i 1d failures
    echo "[preflight] Reading configuration from the cluster"
    echo "error: could not find a JWS signature in the cluster-info ConfigMap for token ID \"abcdef\" of abcdef.0123456789abcdef"
    exit 1
    ;;
  reset) rm -rf etc/kubernetes/* var/lib/kubelet/* ;;
esac"#;

fn node(failures: &str) -> Place {
    let values = json!({"folder": "/etc/kubernetes/wire-deploy", "stamps": "/var/lib/kubelet/wire-deploy", "address": "10.0.0.1", "api_port": 6443});
    let quiet = ["systemctl", "ip", "nft"].map(|name| (name, "exit 0"));
    let place = Place::new("kubernetes-node", &values, &[&quiet[..], &[("kubeadm", KUBEADM)]].concat());
    place.write("failures", failures);
    place.write("etc/kubernetes/wire-deploy/join.yaml", TOKEN);
    place.write("etc/kubernetes/pki/ca.crt", "ours");
    place.write("var/lib/kubelet/keep", "");
    place
}

#[test]
fn a_join_that_fails_is_reset_and_tried_once_more() {
    let place = node("1\n");
    let output = place.run(&["join", "v1.36.3"]);
    assert!(output.status.success(), "{output:?}");
    assert_eq!(place.text("calls"), "join\nreset\njoin\n");
    assert_eq!(place.text("etc/kubernetes/pki/ca.crt"), "ours", "what is ours was taken along");
    assert_eq!(place.text("var/lib/kubelet/wire-deploy/version"), "v1.36.3\n");
    assert!(place.path("var/lib/kubelet/wire-deploy/joined").exists());
    assert!(!place.path("etc/kubernetes/wire-deploy/join.yaml").exists(), "the token stays");
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("could not find a JWS signature"), "{said}");
}

#[test]
fn the_reason_of_either_failure_is_shown_and_the_token_is_not() {
    let place = node("1\n2\n");
    let output = place.run(&["join", "v1.36.3"]);
    assert!(!output.status.success());
    assert_eq!(place.text("calls"), "join\nreset\njoin\n");
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(said.matches("could not find a JWS signature").count(), 2, "{said}");
    assert!(said.contains("token ID \"abcdef\" of (token)") && !said.contains(TOKEN), "{said}");
    assert!(!place.path("var/lib/kubelet/wire-deploy/joined").exists());
    for log in ["kubeadm-first.log", "kubeadm.log"] {
        assert!(place.text(&format!("run/wire-deploy/{log}")).contains("JWS"), "{log}");
    }
}

#[test]
fn an_attempt_that_was_cut_short_is_cleared_first() {
    let place = node("");
    place.write("var/lib/kubelet/config.yaml", "half");
    assert!(place.run(&["join", "v1.36.3"]).status.success());
    assert_eq!(place.text("calls"), "reset\njoin\n");
}

/// ip and nft of a kernel whose routes are the lines of `routes` and whose table is `table`.
const IP: &str = r#"case "$*" in
  *show*) cat routes ;;
  "route replace"*) grep -v "^$3 " routes >rest; echo "$3 via $5 dev eth0 " | cat rest - >new; mv new routes ;;
  "route delete"*) grep -v "^$3 via $5 " routes >rest; mv rest routes ;;
esac"#;
const NFT: &str = r#"case $1 in list) cat table ;; *) cat >table ;; esac"#;

#[test]
fn routes_that_the_kernel_lost_are_noticed_and_put_back() {
    let ways =
        json!([{"share": "10.244.2.0/24", "address": "10.0.0.2"}, {"share": "10.244.3.0/24", "address": "10.0.0.3"}]);
    let values = json!({"share": "10.244.1.0/24", "pod_network": "10.244.0.0/16", "protocol": 217, "ways": ways, "digest": "mine"});
    let place = Place::new("pod-network", &values, &[("ip", IP), ("nft", NFT)]);
    place.write("routes", "10.244.9.0/24 via 10.0.0.9 dev eth0 \n");
    place.write("table", "");
    let knows = || place.run(&["check", "mine"]).status.success();
    assert!(!knows());
    let all = "10.244.2.0/24 via 10.0.0.2 dev eth0 \n10.244.3.0/24 via 10.0.0.3 dev eth0 \n";
    let mend = || assert!(place.run(&[]).status.success());
    mend();
    assert_eq!(place.text("routes"), all);
    assert!(knows() && !place.run(&["check", "another"]).status.success());
    for (path, lost) in
        [("routes", ""), ("routes", &format!("{all}10.244.9.0/24 via 10.0.0.9 dev eth0 \n")), ("table", "")]
    {
        place.write(path, lost);
        assert!(!knows(), "{path} is {lost:?}");
        mend();
        assert!(knows());
    }
}
