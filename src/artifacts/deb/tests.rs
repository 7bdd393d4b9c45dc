//! The machine's real apt, against the mirror that it is configured with.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use super::*;

fn progress() -> Progress {
    Progress::new("packages", &(std::sync::Arc::new(|_| ()) as crate::artifacts::command::Tell))
}

fn temporary() -> (tempfile::TempDir, Store) {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::at(folder.path());
    (folder, store)
}

#[tokio::test]
async fn a_small_closure_is_resolved_fetched_and_fetched_again() {
    let (_folder, store) = temporary();
    let wanted = ["hello".to_owned()];
    let closure = resolve(&wanted, "bookworm", &store, &progress()).await.unwrap();
    let names: Vec<&str> = closure.packages.iter().map(|package| package.name.as_str()).collect();
    assert_eq!(closure.wanted, wanted);
    assert!(names.contains(&"hello") && names.contains(&"libc6"), "{names:?}");
    assert!(names.is_sorted(), "{names:?}");
    assert_eq!(version(&closure), "2.10");
    for package in &closure.packages {
        assert!(store.has(&package.blob, package.size).unwrap(), "{}", package.name);
    }

    // The same state of the mirror gives the same closure.
    assert_eq!(resolve(&wanted, "bookworm", &store, &progress()).await.unwrap(), closure);

    // Exactly the locked version of what is missing comes back, and nothing else is fetched.
    let hello = closure.packages.iter().find(|package| package.name == "hello").unwrap();
    std::fs::remove_file(store.path(&hello.blob)).unwrap();
    fetch(&closure.packages, "hello", "bookworm", &store, &progress()).await.unwrap();
    assert!(store.has(&hello.blob, hello.size).unwrap());

    // A version that the mirror does not have is told with the way out.
    let gone = Package { version: "2.9-0".to_owned(), blob: "0".repeat(64).try_into().unwrap(), ..hello.clone() };
    let error = fetch(&[gone], "greeting", "bookworm", &store, &progress()).await.unwrap_err();
    assert!(error.message.contains("no longer has a version"), "{error:?}");
    assert!(error.hint.contains("`wire-deploy artifacts update greeting`"), "{error:?}");

    // What the mirror gives must be what the lock says.
    let other = Package { blob: "0".repeat(64).try_into().unwrap(), ..hello.clone() };
    let error = fetch(&[other], "hello", "bookworm", &store, &progress()).await.unwrap_err();
    assert!(error.message.contains("expected sha256 000"), "{error:?}");

    // A package that is in no index.
    let progress = progress();
    let apt = Apt::open(known("bookworm").unwrap(), &store, &progress).await.unwrap();
    let error = apt.closure(&["no-such-package-at-all".to_owned()]).await.unwrap_err();
    assert!(error.message.contains("Unable to locate package no-such-package-at-all"), "{error:?}");
    assert!(error.hint.contains("no such package"), "{error:?}");
}

#[tokio::test]
async fn a_mirror_that_does_not_answer_is_told_in_apts_words() {
    let (_folder, store) = temporary();
    let sources = "Types: deb\nURIs: http://127.0.0.1:9/debian\nSuites: bookworm\nComponents: main\n";
    let progress = progress();
    let apt = Apt::open_with(known("bookworm").unwrap(), &store, &progress, sources).await.unwrap();
    let error = apt.update().await.unwrap_err();
    assert!(error.hint.contains("cannot be reached"), "{error:?}");
    assert!(!error.log.is_empty());
}

#[test]
fn an_unknown_release_is_told_with_the_known_ones() {
    assert_eq!(known("trusty").unwrap_err().hint, "the releases are: bookworm, jammy, noble");
}

#[test]
fn versions_are_for_people() {
    let closure = |version: &str| Closure {
        wanted: vec!["a".to_owned()],
        packages: vec![Package {
            name: "a".to_owned(),
            version: version.to_owned(),
            architecture: "all".to_owned(),
            blob: "0".repeat(64).try_into().unwrap(),
            size: 1,
        }],
    };
    assert_eq!(version(&closure("5:7.0.15-1~deb12u6")), "7.0.15");
    assert_eq!(version(&closure("1.2-rc1-3")), "1.2-rc1");
    assert_eq!(version(&closure("20240101")), "20240101");
}
