//! Images in a host's containerd: imported once, named as often as is asked, kept; a full disk and a containerd that does not run.

use std::collections::BTreeSet;

use wire_deploy::artifacts::{Store, Wanted, prepare};
use wire_deploy::lock::Lock;
use wire_deploy::report;
use wire_deploy_agent::resource::ContainerImage;

use super::*;

const PAUSE: &str = "pause-image";
const LIST: &str = "ctr --namespace=k8s.io images list";

/// What this needs of recipes, made.
fn artifacts() -> (Lock, Store) {
    let store = Store::of_user().unwrap();
    let wanted = ["containerd", PAUSE].map(|recipe| Wanted {
        recipe: recipe.to_owned(),
        releases: BTreeSet::from(["bookworm".to_owned()]),
        brought: None,
    });
    let (reporter, writer) = report::start(report::Options::default());
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let lock = runtime.block_on(prepare(&wanted, &Lock::default(), &store, &reporter)).unwrap();
    drop((reporter, writer));
    (lock, store)
}

pub fn are_imported_once_and_kept(bench: &mut Bench<'_>) {
    let (lock, store) = artifacts();
    let (digest, file) = lock.image(PAUSE).unwrap();
    let image = |reference: &str| {
        let (reference, digest, blob) = (reference.to_owned(), digest.clone(), file.blob.clone());
        Resource::ContainerImage(ContainerImage { reference, digest, blob })
    };
    let both = [image("a.example/pause:1"), image("a.example/other:2")];
    assert_eq!(bench.observe(&both), [State::Absent, State::Absent], "there is no containerd");

    let closure = lock.packages("containerd", "bookworm").unwrap().clone();
    for package in &closure.packages {
        bench.put(&fs::read(store.path(&package.blob)).unwrap());
    }
    let name = "containerd".to_owned();
    let packages = Resource::Packages(Packages { name, wanted: closure.wanted, closure: closure.packages });
    bench.settle(&[packages]);
    let begun = Instant::now();
    assert_eq!(bench.observe(&both), [State::Absent, State::Absent], "it does not run");
    assert!(begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());
    let failure = bench.apply(&both, None).unwrap_err();
    assert!(failure.message.contains("containerd does not run"), "{failure}");

    // One that is too full to take anything in.
    bench.shell("mount -t tmpfs -o size=1m tmpfs /var/lib/containerd && systemctl start containerd");
    bench.put(&fs::read(store.path(&file.blob)).unwrap());
    bench.shell("head -c 900k /dev/zero >/var/lib/containerd/full");
    let failure = bench.apply(&both, None).unwrap_err();
    assert!(failure.message.contains("a.example/pause:1 does not fit on the disk"), "{failure} {:?}", failure.log);
    assert!(failure.hint.is_some_and(|hint| hint.contains("/var/lib/containerd")));
    bench.shell("systemctl stop containerd; umount /var/lib/containerd; systemctl start containerd");

    bench.settle(&both);
    let events = bench.apply(&both, None).unwrap();
    assert!(events.iter().all(|event| !matches!(event, Event::Applied { changed: true, .. })), "{events:?}");
    let listed = bench.shell(LIST);
    let named = |name: &str| listed.lines().find(|line| line.split_whitespace().next() == Some(name));
    for name in ["a.example/pause:1", "a.example/other:2"] {
        let line = named(name).unwrap_or_else(|| panic!("{name} is not in {listed}"));
        assert!(line.contains(digest.as_str()) && line.contains("io.cri-containerd.pinned=pinned"), "{line}");
    }
    assert!(named("wire-deploy.internal/pause-image:1.0.0").is_none(), "the archive's own name: {listed}");
    // The second name was given without the archive.
    assert!(named(&format!("a.example/pause@sha256:{digest}")).is_some(), "{listed}");
    assert!(named(&format!("a.example/other@sha256:{digest}")).is_none(), "{listed}");

    // An import that was cut short leaves a name without the label, and is done again.
    bench.put(&fs::read(store.path(&file.blob)).unwrap());
    bench.shell("ctr --namespace=k8s.io images label a.example/pause:1 io.cri-containerd.pinned=");
    bench.shell("ctr --namespace=k8s.io images label a.example/other:2 io.cri-containerd.pinned=");
    assert_eq!(bench.observe(&both[..1]), [State::ContainerImage { digest: None }]);
    bench.settle(&both);

    bench.remove(&both[..1]);
    assert!(bench.shell(LIST).contains("a.example/pause@sha256"), "the other name needs it");
    bench.remove(&both);
    assert_eq!(bench.shell(&format!("{LIST} --quiet")), "");
}
