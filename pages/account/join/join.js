// Joins a team by the link of an invitation: with a new account, or with the one that is logged in.

import { link, make, section } from "/shared/dom.js";
import { form } from "/shared/form.js";
import { start, takeParameters } from "/shared/page.js";
import { EMAIL, NAME, NEW_PASSWORD, PASSWORD_NOW, logIn, logOut } from "/shared/session.js";

const code = takeParameters().get("team-code");

/** The name of the team, once joined: its invitation is gone then. */
let joined = "";

start(async (site) => {
  const { backend, configuration } = site;
  if (joined) {
    const { teams } = configuration.hosts;
    return [section("Done", make("p", {}, `You are in the team ${joined}.`), link(teams && `${teams}/`, "See the team"))];
  }
  if (!code) {
    return [section("By invitation", make("p", {}, "Open the link of the mail that invites you."))];
  }
  const invitation = await backend.ask("GET", `/teams/invitations/info?code=${encodeURIComponent(code)}`);
  const about = make("p", {}, `You are invited to the team ${invitation.team_name} as ${invitation.email}.`);
  if (!backend.isLoggedIn) {
    return [section("New account", about, registration(site, invitation)), logIn(site)];
  }
  const self = await backend.call("GET", "/self");
  if (self.email !== invitation.email) {
    const other = make("p", {}, `You are logged in as ${self.name}. Log out to join with another account.`);
    return [section("Another account", about, other, logOut(site))];
  }
  return [section(`Join as ${self.name}`, about, acceptance(site, invitation))];
});

function registration({ backend, again }, { email, name, team_name }) {
  return form({
    fields: [{ ...NAME, value: name ?? "" }, { ...EMAIL, value: email, readOnly: true }, NEW_PASSWORD],
    button: "Create the account and join",
    action: async ({ name, password }) => {
      await backend.register({ name, email, password, team_code: code });
      joined = team_name;
      await again();
    },
  });
}

function acceptance({ backend, again }, { team_name }) {
  return form({
    fields: [PASSWORD_NOW],
    button: "Join",
    action: async ({ password }) => {
      await backend.call("POST", "/teams/invitations/accept", { code, password });
      joined = team_name;
      await again();
    },
  });
}
