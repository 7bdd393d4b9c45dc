// Registration and log-in, and what a user does with the account itself.

import { facts, link, make, section } from "/shared/dom.js";
import { confirm } from "/shared/form.js";
import { start } from "/shared/page.js";
import { PASSWORD_NOW, logIn, logOut, proveAddress, register } from "/shared/session.js";

start(async (site) => {
  const { backend } = site;
  if (!backend.isLoggedIn) {
    const registration = {
      title: "Create an account",
      text: "With an account you can use every client of this backend.",
      button: "Create the account",
      user: () => ({}),
    };
    return [logIn(site), register(site, registration)];
  }
  const self = await backend.call("GET", "/self");
  const who = facts([
    ["Name", self.name],
    ["E-mail address", self.email ?? "Not confirmed yet"],
    ["Handle", self.handle ? `@${self.handle}` : "None"],
  ]);
  const warning = make("p", {}, "Conversations, devices and everything else of yours will be gone.");
  return [
    proveAddress(site, self),
    section("Your account", who, logOut(site)),
    section("New password", make("p", {}, "A mail lets you set one."), link("/reset/", "Set a new password")),
    section("Delete the account", warning, deletion(site)),
  ];
});

function deletion({ backend, again }) {
  const element = make("button", { type: "button" }, "Delete the account…");
  element.addEventListener("click", () =>
    confirm({
      title: "Delete the account?",
      text: "It cannot be had back.",
      fields: [PASSWORD_NOW],
      button: "Delete for ever",
      action: async ({ password }) => {
        await backend.call("DELETE", "/self", { password });
        backend.forget();
        await again();
      },
    }),
  );
  return element;
}
