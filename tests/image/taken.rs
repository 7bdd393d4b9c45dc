//! Images of another recipe's programs and nothing else.

use super::*;

#[test]
fn programs_of_another_recipe_are_an_image_that_is_the_same_everywhere_and_runs() {
    const IMAGES: [&str; 2] = ["pause-image", "kubernetes-test-image"];
    // What go compiled before is where it is otherwise looked for below XDG_CACHE_HOME.
    let cache = text(&Command::new("go").args(["env", "GOCACHE"]).output().unwrap().stdout);
    let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    for folder in [&one, &other] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_wire-deploy"));
        command
            .current_dir(folder.path())
            .env("XDG_CACHE_HOME", folder.path().join("cache"))
            .env("GOCACHE", cache.trim());
        let output = command.args(["image", "build", "--out", "."]).args(IMAGES).output().unwrap();
        assert!(output.status.success(), "{}", text(&output.stderr));
    }
    let file = |folder: &TempDir, image: &str| folder.path().join(format!("{image}.oci.tar"));
    let lock: Value = serde_json::from_slice(&fs::read(one.path().join("artifacts.lock")).unwrap()).unwrap();
    for image in IMAGES {
        assert!(fs::read(file(&one, image)).unwrap() == fs::read(file(&other, image)).unwrap(), "{image} differs");
        let layout = Layout::read(&file(&one, image)).unwrap();
        assert_eq!(lock["recipes"][image]["image"], layout.digest.as_str());
        assert_eq!(layout.manifest.layers.len(), 2);
        assert_eq!(layout.name, format!("wire-deploy.internal/{image}:1.0.0"));
    }

    let root = unpacked(&file(&one, "pause-image"));
    let output = in_image(root.path()).args(["/pause", "-v"]).output().unwrap();
    assert!(output.status.success() && !output.stdout.is_empty(), "kubeadm tries it like this before an upgrade");
    let mut pause = Server(in_image(root.path()).arg("/pause").spawn().unwrap());
    std::thread::sleep(Duration::from_millis(500));
    assert!(pause.0.try_wait().unwrap().is_none(), "it holds on");
    let id = pause.0.id().to_string();
    assert!(Command::new("kill").arg(&id).status().unwrap().success());
    assert!(until("it ends when it is asked to", || pause.0.try_wait().unwrap()).success());

    // In a network of its own: the port is fixed.
    let root = unpacked(&file(&one, "kubernetes-test-image"));
    let script = "ip link set lo up; NODE_NAME=here chroot --userspec 10001:10001 \"$0\" /web >&2 & \
                  for attempt in $(seq 100); do sleep 0.1; chroot \"$0\" /web get http://127.0.0.1:8080/ && break; done; kill $!";
    let mut command = Command::new("unshare");
    let output = command.args(["--net", "sh", "-c", script]).arg(root.path()).output().unwrap();
    let answer = text(&output.stdout);
    assert!(
        answer.starts_with("pod=") && answer.contains(" node=here from=127.0.0.1:"),
        "{answer} {}",
        text(&output.stderr)
    );
}
