//! Whether everybody can use the pages: by keyboard, by screen reader, on a telephone, light and dark.

use std::path::Path;

use super::*;

/// Pages that need nobody logged in.
const PAGES: [(&str, &str); 8] = [
    ("webapp", "/"),
    ("account", "/"),
    ("account", "/verify/"),
    ("account", "/reset/"),
    ("account", "/reset/?key=a&code=b"),
    ("account", "/d/?key=a&code=b"),
    ("account", "/join/"),
    ("teams", "/"),
];

/// Roles of what can be used, which must have names.
const USABLE: [&str; 7] = ["button", "checkbox", "combobox", "link", "radio", "region", "textbox"];

/// The most bytes of a picture in the documentation.
const PICTURE: usize = 100_000;

#[test]
fn everybody_can_use_the_pages() {
    let place = Place::start();
    let browser = place.browser();
    let ann = browser.person();
    for (host, path) in PAGES {
        ann.open(&address(host, path));
        check(&ann);
    }
    expect_complaints(&ann, &["403 /access"; PAGES.len()]);
    expect_barriers_to_be_found(&ann);

    // The whole of a log-in by keyboard.
    register(&place, &ann, "Ann", "ann@example.com");
    ann.click("Your account", "Log out");
    ann.sees("Create an account");
    ann.fill("Log in", "E-mail address or handle", "ann@example.com");
    ann.press("Tab");
    ann.call("Input.insertText", &serde_json::json!({"text": PASSWORD}));
    ann.press("Enter");
    ann.sees("Your account");
    let focused = ann.evaluate("document.activeElement.tagName");
    assert_eq!(focused, "H2", "the focus is not where the page has changed");
    check(&ann);

    // A dialog takes the keyboard, and gives it back.
    ann.click("Delete the account", "Delete the account…");
    ann.sees("It cannot be had back.");
    check_names(&ann);
    ann.press("Escape");
    ann.sees_no_more("It cannot be had back.");
    assert_eq!(ann.evaluate("document.activeElement.textContent"), "Delete the account…");

    ann.open(&address("webapp", "/"));
    for name in ["Gardening", "Astronomy"] {
        ann.fill("New group", "Name of the group", name);
        ann.click("New group", "Begin a group");
        ann.sees_in_row(name, "Group");
    }
    check(&ann);
    picture(&ann, "pages-webapp", "light");
    ann.open(&address("teams", "/"));
    ann.fill("Create a team", "Name of the team", "Orchard");
    ann.click("Create a team", "Create the team");
    ann.sees("Members");
    ann.fill("Invite", "E-mail address", "max@example.com");
    ann.click("Invite", "Invite");
    ann.sees_in_row("max@example.com", "Member");
    check(&ann);
    picture(&ann, "pages-teams", "dark");
    ann.open(&address("account", "/"));
    picture(&ann, "pages-account", "light");
}

/// What must be so of every page, whatever it shows now.
fn check(page: &Page<'_>) {
    for scheme in ["light", "dark"] {
        for (width, height) in [(360, 740), (1100, 800)] {
            page.appear(scheme, width, height);
            let barriers = page.evaluate("testing.barriers()");
            assert_eq!(barriers, serde_json::json!([]), "{scheme}, {width} wide:\n{}", page.text());
        }
    }
    check_names(page);
    check_keyboard(page);
}

/// The search for barriers finds those that are made here.
fn expect_barriers_to_be_found(page: &Page<'_>) {
    let make = "document.querySelector('h1').style.color = '#999';
        document.querySelector('main').style.width = '200vw';
        Object.assign(document.querySelector('button').style, {minHeight: 0, padding: 0, height: '10px'})";
    page.appear("light", 360, 740);
    page.evaluate(make);
    let found = page.evaluate("testing.barriers()").to_string();
    for barrier in ["contrast of 2.", "wider than the screen", "smaller than a finger"] {
        assert!(found.contains(barrier), "{barrier}: {found}");
    }
}

/// Everything that can be used has a name for those who hear the page.
fn check_names(page: &Page<'_>) {
    page.call("Accessibility.enable", &serde_json::json!({}));
    let tree = page.call("Accessibility.getFullAXTree", &serde_json::json!({}));
    let nodes = tree["nodes"].as_array().unwrap();
    let usable = nodes.iter().filter(|node| USABLE.contains(&node["role"]["value"].as_str().unwrap_or_default()));
    let names: Vec<&str> = usable.map(|node| node["name"]["value"].as_str().unwrap_or_default()).collect();
    assert!(!names.is_empty() && names.iter().all(|name| !name.trim().is_empty()), "{names:?}\n{}", page.text());
}

/// The key Tab leads through everything that can be used, in the page's order, and one sees where one is.
fn check_keyboard(page: &Page<'_>) {
    let count = page.evaluate("testing.controls()").as_i64().unwrap();
    // The first of all leads past the frame, and is there for those who come to it.
    page.evaluate("document.querySelector('.skip').focus()");
    assert_eq!(page.evaluate("document.querySelector('.skip').getBoundingClientRect().x >= 0"), true);
    for index in 0..count {
        page.press("Tab");
        let focus = page.evaluate("testing.focus()");
        assert!(focus["index"] == index && focus["isSeen"] == true, "{index} of {count}: {focus}");
    }
}

/// Keeps a picture for the documentation, when asked to.
fn picture(page: &Page<'_>, name: &str, scheme: &str) {
    if std::env::var_os("WIRE_DEPLOY_UPDATE").is_none() {
        return;
    }
    page.appear(scheme, 720, 640);
    page.evaluate("scrollTo(0, 0)");
    let picture = page.picture();
    assert!(picture.len() <= PICTURE, "{name} has {} bytes", picture.len());
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/images");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join(format!("{name}.png")), picture).unwrap();
}
