// Invitations into a team: sent, listed, withdrawn.

import { make, section, table } from "/shared/dom.js";
import { button, form } from "/shared/form.js";
import { EMAIL } from "/shared/session.js";
import { MAY, ROLES, may, mayGive } from "./roles.js";

/** Invitations that are asked for at a time. */
const PAGE = 100;

/** Sections with the open invitations and a form for another, for those who may invite. */
export async function invitations({ backend }, team, own) {
  if (!may(own, MAY.invite)) {
    return null;
  }
  const place = `/teams/${team.id}/invitations`;
  const open = make("div");
  const fill = async () => {
    const rows = (await everyOne(backend, place)).map(({ id, email, role, created_at }) => {
      const withdraw = button("Withdraw", async () => {
        await backend.call("DELETE", `${place}/${id}`);
        await fill();
      });
      withdraw.querySelector("button").setAttribute("aria-label", `Withdraw the invitation of ${email}`);
      return [email, nameOfRole(role), new Date(created_at).toLocaleDateString(), withdraw];
    });
    const columns = ["E-mail address", "Role", "Since", "Change"];
    open.replaceChildren(rows.length > 0 ? table("Open invitations", columns, rows) : make("p", {}, "There are none."));
  };
  await fill();
  const choosable = ROLES.filter(({ permissions }) => mayGive(own, permissions)).map(({ key, name }) => [key, name]);
  const asked = form({
    fields: [
      { ...EMAIL, autocomplete: "off" },
      { name: "role", label: "Role", options: choosable, value: "member" },
    ],
    button: "Invite",
    action: async ({ email, role }) => {
      await backend.call("POST", place, { email, role });
      await fill();
      return `A mail with an invitation is on its way to ${email}.`;
    },
  });
  return make("div", {}, section("Invite", asked), section("Open invitations", open));
}

async function everyOne(backend, place) {
  const all = [];
  let after = "";
  for (;;) {
    const page = await backend.call("GET", `${place}?size=${PAGE}${after}`);
    all.push(...page.invitations);
    if (!page.has_more) {
      return all;
    }
    after = `&start=${all.at(-1).id}`;
  }
}

function nameOfRole(role) {
  return ROLES.find(({ key }) => key === role)?.name ?? role;
}
