// Forms that several pages have: log-in, registration, the code that proves an e-mail address.

import { link, make, section } from "./dom.js";
import { button, form } from "./form.js";

/** Characters of a new password. */
const PASSWORD = { minLength: 8, maxLength: 1024 };

/** A field for a new password. */
export const NEW_PASSWORD = {
  name: "password",
  label: "New password",
  type: "password",
  autocomplete: "new-password",
  help: `At least ${PASSWORD.minLength} characters.`,
  ...PASSWORD,
};

/** A field for the password that one has. */
export const PASSWORD_NOW = {
  name: "password",
  label: "Password",
  type: "password",
  autocomplete: "current-password",
};

/** A field for an e-mail address. */
export const EMAIL = { name: "email", label: "E-mail address", type: "email", autocomplete: "email", maxLength: 254 };

/** A field for one's name. */
export const NAME = { name: "name", label: "Name", autocomplete: "name", maxLength: 128 };

/** Logs in. */
export function logIn({ backend, configuration, again }) {
  const name = { name: "login", label: "E-mail address or handle", autocomplete: "username", autocapitalize: "none" };
  const stay = { name: "persist", label: "Stay logged in", type: "checkbox" };
  const fields = [name, PASSWORD_NOW, stay];
  const asked = form({
    fields,
    button: "Log in",
    action: async ({ login, password, persist }) => {
      await backend.logIn(login, password, persist);
      await again();
    },
  });
  const { account } = configuration.hosts;
  const forgotten = account ? make("p", {}, link(`${account}/reset/`, "Forgot the password?")) : null;
  return section("Log in", asked, forgotten);
}

/** Registers, with what the page adds to the user: a team, an invitation. */
export function register({ backend, again }, { title, text, button, fields = [], user }) {
  const asked = form({
    fields: [...fields, NAME, EMAIL, NEW_PASSWORD],
    button,
    action: async ({ name, email, password, ...more }) => {
      await backend.register({ name, email, password, ...user(more) });
      pending = email;
      await again();
    },
  });
  return section(title, make("p", {}, text), asked);
}

/** The address that was registered last on this page and may have to be proved. */
let pending = "";

/** Proves the address of a user who has just registered; nothing if it is proved. */
export function proveAddress({ backend, again }, self) {
  if (self.email) {
    return null;
  }
  const text = "A mail with a code of six digits is on its way to you. Without it you cannot log in again.";
  return section("Confirm your e-mail address", make("p", {}, text), codeForm(backend, pending, again));
}

/** Takes the code that was sent to an address. */
export function codeForm(backend, email, done) {
  return form({
    fields: [
      { ...EMAIL, value: email },
      { name: "code", label: "Code", inputMode: "numeric", autocomplete: "one-time-code", pattern: "[0-9]{6}" },
    ],
    button: "Confirm",
    action: async ({ email, code }) => {
      await backend.ask("POST", "/activate", { email, code });
      return done();
    },
  });
}

/** Ends the session. */
export function logOut({ backend, again }) {
  return button("Log out", async () => {
    await backend.logOut();
    await again();
  });
}
