// Shows that the backend is alive, and a user's conversations.

import { facts, link, make, section } from "/shared/dom.js";
import { form } from "/shared/form.js";
import { start } from "/shared/page.js";
import { logIn, logOut } from "/shared/session.js";
import { words } from "/shared/words.js";
import { conversations, create } from "./conversations.js";

start(async (site) => {
  const { backend } = site;
  if (!backend.isLoggedIn) {
    return [about(backend, "Not logged in"), logIn(site), invitation(site)];
  }
  const self = await backend.call("GET", "/self");
  const list = make("ul", { className: "list" });
  const fill = async () => list.replaceChildren(...(await conversations(backend, self)));
  const notifications = make("span", { role: "status" }, "Connecting…");
  await fill();
  backend.listen({
    onNotification: () =>
      fill().catch((error) => {
        notifications.textContent = words(error);
      }),
    onState: (isOpen) => {
      notifications.textContent = isOpen ? "Connected" : "Interrupted; connecting again";
    },
  });
  const group = form({
    fields: [{ name: "name", label: "Name of the group", autocomplete: "off", maxLength: 256 }],
    button: "Begin a group",
    action: async ({ name }) => {
      await create(backend, name);
      await fill();
      return "The group is there.";
    },
  });
  const who = facts([
    ["Name", self.name],
    ["E-mail address", self.email ?? "Not confirmed yet"],
    ["Handle", self.handle ? `@${self.handle}` : "None"],
  ]);
  return [
    about(backend, notifications),
    section("Logged in", who, logOut(site)),
    section("Your conversations", list),
    section("New group", group),
  ];
});

function about(backend, notifications) {
  return section(
    "Backend",
    facts([
      ["State", make("span", { className: "told" }, "Alive")],
      ["API version", String(backend.version)],
      ["Domain", backend.domain],
      ["Notifications", notifications],
    ]),
  );
}

function invitation({ configuration }) {
  const register = link(configuration.hosts.account && `${configuration.hosts.account}/`, "Create an account");
  return register && make("p", {}, register);
}
