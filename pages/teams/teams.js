// A team: founded, shown, and managed by those whose role allows it.

import { facts, make, section } from "/shared/dom.js";
import { form } from "/shared/form.js";
import { start } from "/shared/page.js";
import { logIn, logOut, proveAddress, register } from "/shared/session.js";
import { invitations } from "./invitations.js";
import { members } from "./members.js";
import { roleOf } from "./roles.js";

const TEAM = { name: "team", label: "Name of the team", autocomplete: "organization", maxLength: 128 };

start(async (site) => {
  const { backend } = site;
  if (!backend.isLoggedIn) {
    const registration = {
      title: "Create a team",
      text: "You become its owner, with an account of your own, and invite the others.",
      button: "Create the team",
      fields: [TEAM],
      user: ({ team }) => ({ team: { name: team, icon: "default" } }),
    };
    return [logIn(site), register(site, registration)];
  }
  const self = await backend.call("GET", "/self");
  if (!self.team) {
    return [proveAddress(site, self), foundation(site, self), section("Another account", logOut(site))];
  }
  const [team, own] = await Promise.all([
    backend.call("GET", `/teams/${self.team}`),
    backend.call("GET", `/teams/${self.team}/members/${self.id}`),
  ]);
  const about = facts([
    ["You", self.name],
    ["Your role", roleOf(own.permissions)?.name ?? "Of its own"],
  ]);
  return [
    proveAddress(site, self),
    section(team.name, about, logOut(site)),
    await members(site, team, own),
    await invitations(site, team, own),
  ];
});

/** Turns a user's account into a team. */
function foundation({ backend, again }, self) {
  const asked = form({
    fields: [TEAM],
    button: "Create the team",
    action: async ({ team }) => {
      await backend.call("POST", "/upgrade-personal-to-team", { name: team, icon: "default" });
      await again();
    },
  });
  return section("Create a team", make("p", {}, `${self.name}, you are in no team yet. You would own this one.`), asked);
}
