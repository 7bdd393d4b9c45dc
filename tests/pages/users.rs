//! What a person does with an account and its conversations.

use super::*;

#[test]
fn a_person_registers_confirms_the_address_talks_and_leaves() {
    let place = Place::start();
    let browser = place.browser();
    let ann = browser.person();

    ann.open(&address("webapp", "/"));
    ann.sees("Alive");
    ann.sees(DOMAIN);
    ann.sees("15");
    expect_complaints(&ann, &["403 /access"]);

    // The address must be proved before one can log in by it; the code is in a mail.
    ann.open(&address("account", "/"));
    let heading = "Create an account";
    ann.fill(heading, "Name", "Ann");
    ann.fill(heading, "E-mail address", "ann@example.com");
    ann.fill(heading, "New password", PASSWORD);
    ann.click(heading, "Create the account");
    let heading = "Confirm your e-mail address";
    ann.sees(heading);
    let code = place.mailed("ann@example.com", "Your verification code is ")[..6].to_owned();
    let wrong = if code == "000000" { "111111" } else { "000000" };
    ann.fill(heading, "Code", wrong);
    ann.click(heading, "Confirm");
    ann.sees("This code is wrong, or its time is over.");
    ann.fill(heading, "Code", &code);
    ann.click(heading, "Confirm");
    ann.sees_no_more(heading);
    ann.sees("ann@example.com");
    expect_complaints(&ann, &["403 /access", "404 /v15/activate"]);

    // The session is the backend's: every page has it.
    ann.open(&address("webapp", "/"));
    ann.sees("Ann, you have no conversations yet.");
    ann.sees("Connected");
    ann.fill("New group", "Name of the group", "Gardening");
    ann.click("New group", "Begin a group");
    ann.sees_in_row("Gardening", "Group, 1 person");
    assert!(!ann.text().contains("no conversations yet"));

    // What happens elsewhere comes by the websocket, without a word of the user's.
    let elsewhere = ann.another();
    elsewhere.open(&address("webapp", "/"));
    elsewhere.sees("Gardening");
    elsewhere.fill("New group", "Name of the group", "Astronomy");
    elsewhere.click("New group", "Begin a group");
    ann.sees_in_row("Astronomy", "Group");
    expect_complaints(&elsewhere, &[]);

    ann.click("Logged in", "Log out");
    ann.sees("Not logged in");
    log_in(&ann, "ann@example.com", "not the password");
    ann.sees("E-mail address, handle or password is wrong.");
    assert_eq!(ann.evaluate("document.querySelector('input[type=password]').value"), "");
    expect_complaints(&ann, &["403 /v15/login"]);
    ann.open(&address("webapp", "/"));
    ann.click("Log in", "Stay logged in");
    log_in(&ann, "ann@example.com", PASSWORD);
    ann.sees("Gardening");
    assert!(!ends_with_the_browser(&ann));
    ann.click("Logged in", "Log out");
    ann.sees("Not logged in");
    log_in(&ann, "ann@example.com", PASSWORD);
    ann.sees("Gardening");
    assert!(ends_with_the_browser(&ann));

    // An account is deleted with its password only.
    ann.open(&address("account", "/"));
    ann.click("Delete the account", "Delete the account…");
    ann.fill("Delete the account?", "Password", "not the password");
    ann.click("Delete the account?", "Delete for ever");
    ann.sees("E-mail address, handle or password is wrong.");
    ann.fill("Delete the account?", "Password", PASSWORD);
    ann.click("Delete the account?", "Delete for ever");
    ann.sees("Create an account");
    expect_complaints(&ann, &["403 /access", "403 /v15/self"]);
    log_in(&ann, "ann@example.com", PASSWORD);
    ann.sees("E-mail address, handle or password is wrong.");
}

#[test]
fn links_of_mails_and_of_conversations_lead_where_they_say() {
    let place = Place::start();
    let browser = place.browser();
    let ann = browser.person();
    register(&place, &ann, "Ann", "ann@example.com");

    // A new password ends all sessions.
    ann.open(&address("account", "/reset/"));
    ann.fill("By mail", "E-mail address", "ann@example.com");
    ann.click("By mail", "Send the mail");
    ann.sees("a mail is on its way");
    let link = place.mailed("ann@example.com", "To set a new password, open ");
    assert!(link.starts_with(&address("account", "/reset/?key=")), "{link}");
    ann.open(&link);
    assert_eq!(ann.evaluate("location.href"), address("account", "/reset/"), "a proof stays in the address");
    ann.fill("New password", "New password", PASSWORD);
    ann.click("New password", "Set the password");
    ann.sees("The new password must differ from the old one.");
    ann.fill("New password", "New password", "another horse battery");
    ann.click("New password", "Set the password");
    ann.sees("The new password is set.");
    ann.open(&address("account", "/"));
    log_in(&ann, "ann@example.com", "another horse battery");
    ann.sees("Your account");

    // A guest link of Ann's group, followed by Bob, who is not in it.
    let link = ann.evaluate(
        "(async () => {
            const { Backend, readConfiguration } = await import('/shared/api.js');
            const backend = new Backend((await readConfiguration()).backend);
            await backend.reach();
            await backend.resume();
            const { qualified_id: { id, domain } } = await backend.call('POST', '/conversations', {
                name: 'Open house', qualified_users: [], access: ['invite', 'code'],
                access_role: ['team_member', 'non_team_member', 'guest'], protocol: 'proteus' });
            return (await backend.call('POST', `/conversations/${id}/code`)).data.uri;
        })()",
    );
    let link = link.as_str().unwrap();
    let bob = browser.person();
    register(&place, &bob, "Bob", "bob@example.com");
    bob.open(link);
    bob.click("Open house", "Join");
    bob.sees("You are in the conversation.");
    bob.open(&address("webapp", "/"));
    bob.sees_in_row("Open house", "Group, 2 people");

    // An address that is confirmed by the link instead of the code.
    let cleo = browser.person();
    cleo.open(&address("account", "/"));
    cleo.fill("Create an account", "Name", "Cleo");
    cleo.fill("Create an account", "E-mail address", "cleo@example.com");
    cleo.fill("Create an account", "New password", PASSWORD);
    cleo.click("Create an account", "Create the account");
    cleo.sees("Confirm your e-mail address");
    cleo.open(&place.mailed("cleo@example.com", "Or open "));
    cleo.click("Is it yours?", "Confirm the address");
    cleo.sees("The e-mail address is confirmed.");
    cleo.open(&address("account", "/"));
    cleo.sees("cleo@example.com");

    let logs = place.logs();
    assert!(logs.contains("/reset/") && !logs.contains("code=") && !logs.contains("key="), "{logs}");
}

#[test]
fn a_backend_that_is_away_is_told_in_words() {
    let mut place = Place::start();
    let browser = place.browser();
    let ann = browser.person();
    ann.open(&address("account", "/"));
    place.kill_backend();
    log_in(&ann, "ann@example.com", PASSWORD);
    ann.sees("The backend does not answer. Look at your connection and try again.");
    ann.open(&address("webapp", "/"));
    ann.sees("The backend does not answer.");
    ann.click("", "Try again");
    ann.sees("The backend does not answer.");
}

/// Whether the session ends with the browser. Its cookie is nothing that a page could read, or another site could send.
fn ends_with_the_browser(page: &Page<'_>) -> bool {
    let cookies = page.call("Network.getCookies", &serde_json::json!({"urls": [address("nginz-https", "/access")]}));
    let [cookie] = cookies["cookies"].as_array().unwrap().as_slice() else { panic!("{cookies}") };
    assert!(cookie["httpOnly"] == true && cookie["secure"] == true && cookie["sameSite"] == "Strict", "{cookie}");
    cookie["session"] == true
}
