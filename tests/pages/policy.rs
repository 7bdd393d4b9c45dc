//! What pages may do is as little as they need, and the browser holds them to it.

use super::*;

#[test]
fn the_browser_stops_what_no_page_does_and_tells() {
    let place = Place::start();
    let browser = place.browser();
    let page = browser.person();
    page.open(&address("account", "/"));
    expect_complaints(&page, &["403 /access"]);
    let foreign = address("elsewhere", "/");
    let tries = [
        (format!("fetch('{foreign}')"), "connect-src"),
        ("document.body.setAttribute('style', 'display: none')".to_owned(), "style-src"),
        ("document.body.innerHTML = '<p>markup</p>'".to_owned(), "trusted-types"),
        ("document.querySelector('form').submit()".to_owned(), "form-action"),
    ];
    for (script, directive) in tries {
        let stopped = page.evaluate(&format!("(async () => {{ {script} }})().then(() => 'done', () => 'refused')"));
        assert!(stopped == "refused" || directive == "style-src" || directive == "form-action", "{script}: {stopped}");
        let told = page.complaints(DOMAIN);
        assert!(told.iter().any(|complaint| complaint.contains(directive)), "{script}: {told:?}");
    }
    page.sees("Create an account");
    assert_eq!(page.evaluate("getComputedStyle(document.body).display"), "block");
}
