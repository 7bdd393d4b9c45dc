//! The cluster as its operator sees it: by kubectl, with a kubeconfig that wire-deploy wrote, through the address that moves.

use std::fs;
use std::path::PathBuf;
use std::process::Output;

use serde_json::Value;
use wire_deploy::artifacts::{Store, lock_file};
use wire_deploy::site::init::SITE_FILE;
use wire_deploy_agent::digest::Digest;

use crate::common::world::{HOSTS, World, files_below};

const KUBECONFIG: &str = "kubeconfig";
/// Where images that were made are.
const IMAGES: &str = "images";
/// The program that is kubectl when it is called so.
const PROGRAM: &str = "kubectl";

impl World {
    /// kubectl, by the version that is locked.
    fn kubectl_program(&self) -> PathBuf {
        let path = self.folder.join(PROGRAM);
        if !path.exists() {
            self.run(&["kubeconfig", "-o", KUBECONFIG]).expect_code(0);
            let lock = lock_file::read(&lock_file::beside(&self.folder.join(SITE_FILE))).unwrap();
            let blob: &Digest = &lock.file("kubernetes-1.36", "kube").unwrap().blob;
            fs::copy(Store::of_user().unwrap().path(blob), &path).unwrap();
            let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
            fs::set_permissions(&path, mode).unwrap();
        }
        path
    }

    /// Runs kubectl; no request may take longer than ten seconds.
    pub fn try_kubectl(&self, arguments: &[&str]) -> Output {
        self.kubectl_patiently(&[&["--request-timeout=10s"], arguments].concat())
    }

    fn kubectl_patiently(&self, arguments: &[&str]) -> Output {
        let program = self.kubectl_program();
        let mut command = self.sandbox().command(program);
        command.arg("--kubeconfig").arg(self.folder.join(KUBECONFIG)).args(arguments).output().unwrap()
    }

    #[track_caller]
    pub fn kubectl(&self, arguments: &[&str]) -> String {
        expect_done(arguments, self.try_kubectl(arguments))
    }

    /// Waits until what a namespace's Deployment or StatefulSet says is so.
    #[track_caller]
    pub fn await_rollout(&self, namespace: &str, what: &str) {
        let arguments = ["rollout", "status", what, "-n", namespace, "--timeout=120s"];
        expect_done(&arguments, self.kubectl_patiently(&arguments));
    }

    #[track_caller]
    pub fn kubectl_json(&self, arguments: &[&str]) -> Value {
        serde_json::from_str(&self.kubectl(&[arguments, &["-o", "json"]].concat())).unwrap()
    }

    /// Has the API hold what a manifest says.
    #[track_caller]
    pub fn manifest(&self, name: &str, text: &str) {
        let path = self.folder.join(name);
        fs::write(&path, text).unwrap();
        self.kubectl(&["apply", "--server-side", "-f", path.to_str().unwrap()]);
    }

    /// The names of the nodes and whether each is ready.
    pub fn nodes(&self) -> Vec<(String, bool)> {
        let nodes = self.kubectl_json(&["get", "nodes"]);
        let node = |node: &Value| {
            let conditions = node["status"]["conditions"].as_array().unwrap();
            let ready =
                conditions.iter().any(|condition| condition["type"] == "Ready" && condition["status"] == "True");
            (node["metadata"]["name"].as_str().unwrap().to_owned(), ready)
        };
        nodes["items"].as_array().unwrap().iter().map(node).collect()
    }

    /// Makes an image of a recipe.
    pub fn build_image(&self, recipe: &str) {
        self.run_outside(&["image", "build", recipe, "--out", IMAGES]).expect_code(0);
    }

    /// Has every host hold the images that were made.
    pub fn import_images(&self) {
        for host in HOSTS {
            for image in files_below(&self.folder.join(IMAGES)) {
                let mut ssh = self.sandbox().ssh(host).unwrap();
                ssh.args(["ctr", "--namespace=k8s.io", "images", "import", "-"]).stdin(fs::File::open(image).unwrap());
                assert!(ssh.output().unwrap().status.success(), "{host} takes no image");
            }
        }
    }
}

#[track_caller]
fn expect_done(arguments: &[&str], output: Output) -> String {
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "kubectl {arguments:?}: {error}");
    String::from_utf8(output.stdout).unwrap()
}
