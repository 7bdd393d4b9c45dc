// The members of a team: listed, given roles, removed.

import { make, section, table } from "/shared/dom.js";
import { choice, confirm } from "/shared/form.js";
import { PASSWORD_NOW } from "/shared/session.js";
import { words } from "/shared/words.js";
import { MAY, ROLES, may, mayGive, roleOf } from "./roles.js";

/** Members or users that are asked for at a time. */
const PAGE = 500;

/** A section with all members, by name. `own` is the user's membership. */
export async function members(site, team, own) {
  const all = await everyone(site.backend, team);
  const names = await namesOf(site.backend, all);
  const nameOf = (member) => names.get(member.user) ?? "Unknown";
  all.sort((one, other) => nameOf(one).localeCompare(nameOf(other)));
  const rows = all.map((member) => {
    const name = nameOf(member);
    const isOwn = member.user === own.user;
    return [isOwn ? `${name} (you)` : name, role(site, team, own, member, name), removal(site, team, own, member, name)];
  });
  return section("Members", table("Members of the team", ["Name", "Role", "Change"], rows));
}

async function everyone(backend, team) {
  const all = [];
  let after = "";
  for (;;) {
    const page = await backend.call("GET", `/teams/${team.id}/members?maxResults=${PAGE}${after}`);
    all.push(...page.members);
    if (!page.hasMore) {
      return all;
    }
    after = `&pagingState=${encodeURIComponent(page.pagingState)}`;
  }
}

async function namesOf(backend, all) {
  const names = new Map();
  for (let begin = 0; begin < all.length; begin += PAGE) {
    const ids = all.slice(begin, begin + PAGE).map(({ user }) => ({ id: user, domain: backend.domain }));
    for (const { qualified_id, name } of (await backend.call("POST", "/list-users", { qualified_ids: ids })).found) {
      names.set(qualified_id.id, name);
    }
  }
  return names;
}

/** A member's role: to be chosen, where the user may, else shown. */
function role({ backend, again }, team, own, member, name) {
  const now = roleOf(member.permissions);
  const choosable = ROLES.filter(({ permissions }) => mayGive(own, permissions));
  if (member.user === own.user || !now || !may(own, MAY.setRoles) || !choosable.includes(now)) {
    return now?.name ?? "";
  }
  const failed = make("span", { role: "alert", className: "failed" });
  const options = choosable.map(({ key, name }) => [key, name]);
  const select = choice({ name: "role", "aria-label": `Role of ${name}`, value: now.key }, options);
  select.addEventListener("change", async () => {
    const { permissions } = ROLES.find(({ key }) => key === select.value);
    const changed = { member: { user: member.user, permissions: { self: permissions, copy: permissions } } };
    try {
      await backend.call("PUT", `/teams/${team.id}/members`, changed);
      await again();
    } catch (error) {
      select.value = now.key;
      failed.textContent = words(error);
    }
  });
  return make("span", { className: "action" }, select, failed);
}

/** A button that removes a member, where the user may. */
function removal({ backend, again }, team, own, member, name) {
  const isAllowed = member.permissions && may(own, MAY.remove) && mayGive(own, member.permissions.self);
  if (member.user === own.user || !isAllowed) {
    return "";
  }
  const button = make("button", { type: "button", "aria-label": `Remove ${name}…` }, "Remove…");
  button.addEventListener("click", () =>
    confirm({
      title: `Remove ${name}?`,
      text: `The account of ${name} belongs to the team and is deleted.`,
      fields: [{ ...PASSWORD_NOW, label: "Your password" }],
      button: "Remove and delete",
      action: async ({ password }) => {
        await backend.call("DELETE", `/teams/${team.id}/members/${member.user}`, { password });
        await again();
      },
    }),
  );
  return button;
}
