// Confirms an e-mail address: by the link in a mail, or by the code in it.

import { make, section } from "/shared/dom.js";
import { form } from "/shared/form.js";
import { start, takeParameters } from "/shared/page.js";
import { codeForm } from "/shared/session.js";

const link = takeParameters();

start(async ({ backend }) => {
  const done = () => "The e-mail address is confirmed. You can log in.";
  const [key, code] = [link.get("key"), link.get("code")];
  if (!key || !code) {
    return [section("With a code", make("p", {}, "The code of six digits is in the mail."), codeForm(backend, "", done))];
  }
  // Not at once: programs that look through mails open links, too.
  const asked = form({
    button: "Confirm the address",
    action: async () => {
      await backend.ask("POST", "/activate", { key, code });
      return done();
    },
  });
  return [section("Is it yours?", make("p", {}, "You have opened the link of a mail that went to this address."), asked)];
});
