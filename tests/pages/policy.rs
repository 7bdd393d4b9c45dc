//! What pages may do is as little as they need, and the browser holds them to it.

use std::time::{Duration, Instant};

use super::*;

/// How long the browser may take to tell.
const PATIENCE: Duration = Duration::from_secs(10);

#[test]
fn the_browser_stops_what_no_page_does_and_tells() {
    let place = Place::start();
    let browser = place.browser();
    let page = browser.person();
    page.open(&address("account", "/"));
    expect_complaints(&page, &["403 /access"]);
    let foreign = address("elsewhere", "/");
    let tries = [
        (format!("await fetch('{foreign}')"), "connect-src"),
        ("document.body.setAttribute('style', 'display: none')".to_owned(), "style-src"),
        ("document.body.innerHTML = '<p>markup</p>'".to_owned(), "trusted-types"),
        ("document.querySelector('form').submit()".to_owned(), "form-action"),
    ];
    for (script, directive) in tries {
        let stopped = page.evaluate(&format!("(async () => {{ {script} }})().then(() => 'done', () => 'refused')"));
        assert!(stopped == "refused" || directive == "style-src" || directive == "form-action", "{script}: {stopped}");
        let begun = Instant::now();
        let mut told = Vec::new();
        while !told.iter().any(|complaint: &String| complaint.contains(directive)) {
            assert!(begun.elapsed() < PATIENCE, "{script}: {told:?}");
            told.extend(page.complaints(DOMAIN));
        }
    }
    page.sees("Create an account");
    assert_eq!(page.evaluate("getComputedStyle(document.body).display"), "block");
}
