// Joins a conversation by a guest link.

import { link, make, section } from "/shared/dom.js";
import { form } from "/shared/form.js";
import { start, takeParameters } from "/shared/page.js";
import { PASSWORD_NOW, logIn } from "/shared/session.js";

const proof = takeParameters();

start(async (site) => {
  const { backend, configuration } = site;
  const [key, code] = [proof.get("key"), proof.get("code")];
  if (!key || !code) {
    return [section("By a link", make("p", {}, "Open the link that somebody in the conversation gave you."))];
  }
  await backend.ask("POST", "/conversations/code-check", { key, code });
  if (!backend.isLoggedIn) {
    return [logIn(site), make("p", {}, link("/", "Create an account"), " first, if you have none.")];
  }
  const query = new URLSearchParams({ key, code });
  const { name, has_password: hasPassword } = await backend.call("GET", `/conversations/join?${query}`);
  const { webapp } = configuration.hosts;
  const asked = form({
    fields: hasPassword ? [{ ...PASSWORD_NOW, label: "The conversation's password", autocomplete: "off" }] : [],
    button: "Join",
    action: async ({ password }) => {
      await backend.call("POST", "/conversations/join", { key, code, ...(hasPassword ? { password } : {}) });
      return "You are in the conversation.";
    },
  });
  return [section(name || "A conversation", asked, link(webapp && `${webapp}/`, "See your conversations"))];
});
