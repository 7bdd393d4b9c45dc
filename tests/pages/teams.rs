//! What an owner does with a team, and whoever is invited.

use super::*;

#[test]
fn a_team_is_founded_grows_changes_and_shrinks() {
    let place = Place::start();
    let browser = place.browser();
    let olga = browser.person();
    olga.open(&address("teams", "/"));
    let heading = "Create a team";
    olga.fill(heading, "Name of the team", "Orchard");
    olga.fill(heading, "Name", "Olga");
    olga.fill(heading, "E-mail address", "olga@example.com");
    olga.fill(heading, "New password", PASSWORD);
    olga.click(heading, "Create the team");
    confirm_address(&place, &olga, "olga@example.com");
    olga.sees("Orchard");
    olga.sees_in_row("Olga (you)", "Owner");
    olga.sees("There are none.");

    for email in ["max@example.com", "nora@example.com"] {
        olga.fill("Invite", "E-mail address", email);
        olga.click("Invite", "Invite");
        olga.sees_in_row(email, "Member");
    }
    olga.click("Open invitations", "Withdraw the invitation of nora@example.com");
    olga.sees_no_row("nora@example.com");

    // Max joins with a new account, by the link in the mail.
    let max = browser.person();
    max.open(&place.mailed("nora@example.com", "To join, open "));
    max.sees("This invitation does not exist any more, or is for another e-mail address.");
    max.open(&place.mailed("max@example.com", "To join, open "));
    max.sees("You are invited to the team Orchard as max@example.com.");
    max.fill("New account", "Name", "Max");
    max.fill("New account", "New password", PASSWORD);
    max.click("New account", "Create the account and join");
    max.sees("You are in the team Orchard.");

    // Ida joins with the account that she has.
    let ida = browser.person();
    register(&place, &ida, "Ida", "ida@example.com");
    olga.fill("Invite", "E-mail address", "ida@example.com");
    olga.choose("Role", "Guest");
    olga.click("Invite", "Invite");
    olga.sees_in_row("ida@example.com", "Guest");
    ida.open(&place.mailed("ida@example.com", "To join, open "));
    ida.fill("Join as Ida", "Password", "not the password");
    ida.click("Join as Ida", "Join");
    ida.sees("E-mail address, handle or password is wrong.");
    ida.fill("Join as Ida", "Password", PASSWORD);
    ida.click("Join as Ida", "Join");
    ida.sees("You are in the team Orchard.");

    // A member sees the team and may change nobody; the owner may.
    max.open(&address("teams", "/"));
    max.sees_in_row("Olga", "");
    assert_eq!(max.evaluate("document.querySelectorAll('select, td button').length"), 0);
    olga.open(&address("teams", "/"));
    olga.sees_in_row("Max", "Member");
    olga.sees_in_row("Ida", "Guest");
    olga.choose("Role of Max", "Administrator");
    olga.sees_in_row("Max", "Administrator");
    max.open(&address("teams", "/"));
    max.sees("Administrator");
    max.sees_in_row("Ida", "Guest");
    max.sees("Open invitations");

    olga.click("Members", "Remove Ida…");
    olga.fill("Remove Ida?", "Your password", "not the password");
    olga.click("Remove Ida?", "Remove and delete");
    olga.sees("E-mail address, handle or password is wrong.");
    olga.fill("Remove Ida?", "Your password", PASSWORD);
    olga.click("Remove Ida?", "Remove and delete");
    olga.sees_no_row("Ida");
    ida.open(&address("account", "/"));
    ida.sees("Create an account");

    // The last owner cannot go.
    olga.open(&address("account", "/"));
    olga.click("Delete the account", "Delete the account…");
    olga.fill("Delete the account?", "Password", PASSWORD);
    olga.click("Delete the account?", "Delete for ever");
    olga.sees("A team must keep an owner. Make somebody else an owner first.");

    let reauthentication = "403 /v15/teams/";
    let complaints = olga.complaints(DOMAIN);
    assert!(
        matches!(complaints.as_slice(), [first, removed, last]
            if first == "403 /access" && removed.starts_with(reauthentication) && last == "403 /v15/self"),
        "{complaints:?}"
    );
    expect_complaints(&max, &["403 /access", "400 /v15/teams/invitations/info", "403 /access"]);
    expect_complaints(&ida, &["403 /access", "403 /v15/teams/invitations/accept", "403 /access"]);
}

#[test]
fn an_account_becomes_a_team() {
    let place = Place::start();
    let browser = place.browser();
    let olga = browser.person();
    register(&place, &olga, "Olga", "olga@example.com");
    olga.open(&address("teams", "/"));
    olga.sees("Olga, you are in no team yet.");
    olga.fill("Create a team", "Name of the team", "Orchard");
    olga.click("Create a team", "Create the team");
    olga.sees_in_row("Olga (you)", "Owner");
    expect_complaints(&olga, &["403 /access"]);
}
