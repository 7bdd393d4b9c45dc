//! The reference pages in a real browser against the real API server: nothing is stood in for but the mail server.
//!
//! `WIRE_DEPLOY_UPDATE=1 cargo test --test pages` takes the pictures of `docs/images/` anew.
#![allow(clippy::unwrap_used)]

mod accessible;
mod browser;
#[path = "../common/mod.rs"]
mod common;
mod place;
mod policy;
mod teams;
mod users;

use browser::Page;
use place::{DOMAIN, Place, address};

const PASSWORD: &str = "correct horse battery";

/// Fails if the browser complained of more than answers that refuse as expected, in this order.
fn expect_complaints(page: &Page<'_>, expected: &[&str]) {
    assert_eq!(page.complaints(DOMAIN), expected);
}

/// Registers somebody on the account page, confirms the address by the code in the mail, and leaves them logged in.
fn register(place: &Place, page: &Page<'_>, name: &str, email: &str) {
    page.open(&address("account", "/"));
    let heading = "Create an account";
    page.fill(heading, "Name", name);
    page.fill(heading, "E-mail address", email);
    page.fill(heading, "New password", PASSWORD);
    page.click(heading, "Create the account");
    confirm_address(place, page, email);
}

/// Types in the code that was mailed after a registration.
fn confirm_address(place: &Place, page: &Page<'_>, email: &str) {
    page.sees("Confirm your e-mail address");
    page.fill("Confirm your e-mail address", "Code", &place.mailed(email, "Your verification code is ")[..6]);
    page.click("Confirm your e-mail address", "Confirm");
    page.sees_no_more("Confirm your e-mail address");
}

fn log_in(page: &Page<'_>, name: &str, password: &str) {
    page.fill("Log in", "E-mail address or handle", name);
    page.fill("Log in", "Password", password);
    page.click("Log in", "Log in");
}
