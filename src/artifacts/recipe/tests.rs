//! Recipes that parse, and those that are refused.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use super::*;

#[test]
fn every_embedded_recipe_parses() {
    let names = Recipe::names();
    assert!(names.contains(&"redis") && names.contains(&"etcd"), "{names:?}");
    for name in names {
        Recipe::named(name).unwrap();
    }
}

#[test]
fn etcd_says_the_version_that_its_module_has() {
    let recipe = Recipe::named("etcd").unwrap();
    let Kind::Go(go) = &recipe.kind else { panic!("etcd is built by go") };
    for package in go.builds.values() {
        let line = format!("\t{package} v{} // indirect\n", go.version);
        assert!(recipe.sources["go.mod"].contains(&line), "{line}");
    }
}

#[test]
fn kubernetes_says_the_version_that_its_modules_have_and_its_minor_versions_share_their_sources() {
    let mut mains = Vec::new();
    for name in ["kubernetes-1.35", "kubernetes-1.36"] {
        let recipe = Recipe::named(name).unwrap();
        let Kind::Go(go) = &recipe.kind else { panic!("{name} is built by go") };
        let minor = name.strip_prefix("kubernetes-1.").unwrap();
        let rest = go.version.strip_prefix("1.").unwrap();
        assert!(rest.starts_with(&format!("{minor}.")), "{name} has {}", go.version);
        let modules = &recipe.sources["go.mod"];
        assert!(modules.contains(&format!("\tk8s.io/kubernetes v{}\n", go.version)), "{name}");
        let replaced = modules.lines().filter_map(|line| line.split_once(" => "));
        assert!(replaced.clone().count() > 30, "{name}");
        for (_, by) in replaced {
            assert!(by.ends_with(&format!(" v0.{rest}")), "{name}: {by}");
        }
        for package in ["k8s.io/client-go/pkg/version", "k8s.io/component-base/version"] {
            for (variable, value) in [("gitVersion", format!("v{}", go.version)), ("gitMinor", minor.to_owned())] {
                let flag = format!("-X {package}.{variable}={value}");
                assert!(go.ldflags.contains(&flag), "{name}: {flag}");
            }
        }
        mains.push(recipe.sources["main.go"].clone());
    }
    assert_eq!(mains[0], mains[1]);
}

#[test]
fn what_another_folder_gives_counts_as_the_recipes_own() {
    const GO: &str = "go:\n  version: '1'\n  builds: {a: .}\n  sources: shared\n";
    const IMAGE: &str =
        "image:\n  description: x\n  take: {recipe: a, files: {a: bin/a}}\n  user: 1\n  entrypoint: [/bin/a]\n";
    let go = [(FILE, GO), ("go.mod", "module m\n"), ("go.sum", "")];
    let parse = |main: &'static str, more: Vec<(&'static str, &'static str)>| {
        let folder = move |name: &str| match name {
            "shared" => [vec![("main.go", main)], more.clone()].concat(),
            "a" => go.to_vec(),
            _ => Vec::new(),
        };
        (Recipe::parse("a", &go, &folder), Recipe::parse("b", &[(FILE, IMAGE)], &folder))
    };
    let (one, image_of_one) = parse("package main\n", Vec::new());
    let one = one.unwrap();
    assert_eq!(one.sources.keys().collect::<Vec<_>>(), ["go.mod", "go.sum", "main.go"]);
    let (other, image_of_other) = parse("package main // changed\n", Vec::new());
    assert_ne!(one.digest, other.unwrap().digest);
    assert_ne!(image_of_one.unwrap().digest, image_of_other.unwrap().digest);
    let reason = |more| parse("package main\n", more).0.unwrap_err().message;
    assert!(reason(vec![("go.mod", "")]).contains("go.mod is both in shared and beside it"));
    assert!(reason(vec![(FILE, GO)]).contains("expected a folder of artifacts/ without a recipe, found \"shared\""));
}

#[test]
fn an_image_that_cannot_be_is_refused_with_the_reason() {
    let take = "  take: {recipe: pause, files: {pause: pause}}\n";
    let packages = "  release: bookworm\n  packages: [libc6]\n";
    let cases = [
        (String::new(), "packages, take: expected at least one"),
        ("  packages: [libc6]\n".to_owned(), "packages, release: expected both or neither"),
        (format!("{take}  release: bookworm\n"), "packages, release: expected both or neither"),
        (format!("{take}{packages}  program: wire-api\n"), "program: expected packages beside it and nothing taken"),
        (format!("{take}  links: {{../a: pause}}\n"), "\"../a\" is not a path within the image"),
        ("  take: {recipe: pause, files: {pause: /pause}}\n".to_owned(), "\"/pause\" is not a path within the image"),
        ("  take: {recipe: pause, files: {sleep: pause}}\n".to_owned(), "recipe pause builds no \"sleep\""),
        ("  take: {recipe: redis, files: {redis: redis}}\n".to_owned(), "recipe redis builds nothing by go"),
        ("  take: {recipe: x, files: {a: a}}\n".to_owned(), "a recipe cannot take from itself"),
        (format!("{take}  root_because: I like it\n"), "or 0 and the reason in root_because"),
    ];
    for (more, reason) in cases {
        let yaml = format!("image:\n  description: x\n{more}  user: 1\n  entrypoint: [/pause]\n");
        let error = Recipe::from_files("x", &[(FILE, &yaml)]).unwrap_err();
        assert!(error.message.starts_with("artifacts/x/recipe.yaml: "), "{error}");
        assert!(error.message.contains(reason), "{error} should say {reason}");
    }
    let root = format!("image:\n  description: x\n{take}  user: 0\n  entrypoint: [/pause]\n");
    assert!(Recipe::from_files("x", &[(FILE, &root)]).unwrap_err().message.contains("the reason in root_because"));
    Recipe::from_files("x", &[(FILE, &format!("{root}  root_because: it must\n"))]).unwrap();
}

#[test]
fn an_unknown_recipe_is_told_with_the_known_ones() {
    let error = Recipe::named("radish").unwrap_err();
    assert_eq!(error.message, "there is no recipe \"radish\"");
    assert!(Recipe::names().len() > 1 && error.hint.contains(&Recipe::names().join(", ")), "{}", error.hint);
    // A prefix of a name is another name, and a folder of sources that others share is none.
    assert!(Recipe::named("etc").is_err() && Recipe::named("kubernetes").is_err());
}

#[test]
fn a_recipe_that_cannot_be_is_refused_with_the_reason() {
    let go = "go:\n  version: '1'\n  builds: {a: .}\n";
    let maven = |rest: &str| format!("maven:\n  version: '1'\n  archive: a\n{rest}");
    let nothing = maven("");
    let no_version = maven("  unpack: [{coordinates: 'a:b', into: .}]\n");
    let an_option = maven("  unpack: [{coordinates: '-a:b:1', into: .}]\n");
    let outside = maven("  dependencies: [{coordinates: ['a:b:1'], into: ../lib}]\n");
    let no_file = maven("  dependencies: [{coordinates: ['a:b:1'], into: lib}]\n  files: [bin/a]\n");
    let cases: [(&[(&str, &str)], &str); 13] = [
        (&[(FILE, &nothing)], "at least one of them"),
        (&[(FILE, &no_version)], "expected coordinates such as"),
        (&[(FILE, &an_option)], "expected coordinates such as"),
        (&[(FILE, &outside)], "\"../lib\" is not a path within"),
        (&[(FILE, &no_file)], "bin/a is missing beside it"),
        (&[("go.mod", "")], "the file is missing"),
        (&[(FILE, "deb:\n  packages: []\n")], "expected at least one"),
        (&[(FILE, "deb:\n  packages: ['a b']\n")], "\"a b\" is not the name"),
        (&[(FILE, "deb:\n  packages: ['-o=x']\n")], "is not the name"),
        (&[(FILE, "deb:\n  package: [a]\n")], "package"),
        (&[(FILE, "rpm:\n  packages: [a]\n")], "rpm"),
        (&[(FILE, go), ("go.mod", "module m\n")], "go.sum is missing"),
        (&[(FILE, "go:\n  version: '1'\n  builds: {../a: .}\n")], "cannot name a file"),
    ];
    for (files, reason) in cases {
        let error = Recipe::from_files("x", files).unwrap_err();
        assert!(error.message.starts_with("artifacts/x/recipe.yaml: "), "{error}");
        assert!(error.message.contains(reason), "{error} should say {reason}");
    }
}

#[test]
fn the_digest_follows_every_file() {
    let recipe = "go:\n  version: '1'\n  builds: {a: .}\n";
    let files = [(FILE, recipe), ("go.mod", "module m\n"), ("go.sum", ""), ("main.go", "package main\n")];
    let digest = |files: &[(&str, &str)]| Recipe::from_files("x", files).unwrap().digest;
    let whole = digest(&files);
    for index in 0..files.len() {
        let mut changed = files;
        let text = format!("{}\n", files[index].1);
        changed[index].1 = &text;
        assert_ne!(digest(&changed), whole, "{}", files[index].0);
    }
    let mut reversed = files;
    reversed.reverse();
    assert_eq!(digest(&reversed), whole);
}

#[test]
fn the_reference_pages_go_into_an_image_below_one_folder() {
    let recipe = Recipe::named("pages").unwrap();
    let Kind::Image(image) = &recipe.kind else { panic!("pages is an image") };
    let sources: Vec<&String> = image.sources(&recipe.sources).collect();
    for path in ["etc/nginx/nginx.conf", "usr/share/pages/shared/api.js", "usr/share/pages/teams/index.html"] {
        assert!(sources.iter().any(|source| *source == path), "{path} is not in {sources:?}");
    }
    const IMAGE: &str = "image:\n  description: x\n  release: bookworm\n  packages: [a]\n  pages: PLACE\n  user: 1\n  entrypoint: [a]\n";
    let parse = |place: &str| {
        let text = IMAGE.replace("PLACE", place);
        Recipe::from_files("x", &[(FILE, &text), ("www/own", "")])
    };
    let digest = |place| parse(place).unwrap().digest;
    assert!(digest("ww") != digest("srv"));
    assert!(parse("www").unwrap_err().to_string().contains("pages: www is beside it, too"));
    assert!(parse("../www").unwrap_err().to_string().contains("is not a path within the image"));
}
