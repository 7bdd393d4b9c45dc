// Asks for a mail that lets one set a new password, and sets it when that mail's link is opened.

import { make, section } from "/shared/dom.js";
import { form } from "/shared/form.js";
import { start, takeParameters } from "/shared/page.js";
import { EMAIL, NEW_PASSWORD } from "/shared/session.js";

const link = takeParameters();

start(async ({ backend }) => {
  const [key, code] = [link.get("key"), link.get("code")];
  if (!key || !code) {
    const asked = form({
      fields: [EMAIL],
      button: "Send the mail",
      action: async ({ email }) => {
        await backend.ask("POST", "/password-reset", { email });
        // The backend does not tell whose addresses it knows.
        return "If there is an account with this address, a mail is on its way. Its link is good for an hour.";
      },
    });
    return [section("By mail", make("p", {}, "A mail with a link lets you set a new password."), asked)];
  }
  const asked = form({
    fields: [NEW_PASSWORD],
    button: "Set the password",
    action: async ({ password }) => {
      await backend.ask("POST", "/password-reset/complete", { key, code, password });
      return "The new password is set. All sessions have ended; log in again.";
    },
  });
  return [section("New password", asked)];
});
