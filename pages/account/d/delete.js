// Deletes an account by the link of a mail.

import { make, section } from "/shared/dom.js";
import { form } from "/shared/form.js";
import { start, takeParameters } from "/shared/page.js";

const link = takeParameters();

start(async ({ backend }) => {
  const [key, code] = [link.get("key"), link.get("code")];
  if (!key || !code) {
    return [section("By mail", make("p", {}, "Open the link of the mail that was sent to you."))];
  }
  const asked = form({
    button: "Delete for ever",
    isDanger: true,
    action: async () => {
      await backend.ask("POST", "/delete", { key, code });
      backend.forget();
      return "The account is deleted.";
    },
  });
  return [section("Delete the account?", make("p", {}, "It cannot be had back."), asked)];
});
