// Conversations as the API has them, and as a list shows them.

import { make } from "/shared/dom.js";

/** Conversations or users that are asked for at a time. */
const PAGE = 500;

/** What the API's types of conversations are called; its own numbers. */
const KINDS = { 0: "Group", 1: "Yourself", 2: "With one person", 3: "Asked to connect" };

/** Every conversation of a user as an item of a list, by name. */
export async function conversations(backend, self) {
  const found = await all(backend);
  const names = await namesOfOthers(backend, found);
  const items = found.filter(({ type }) => type !== 1).map((conversation) => describe(conversation, names));
  items.sort((one, other) => one.name.localeCompare(other.name));
  if (items.length === 0) {
    return [make("li", {}, `${self.name}, you have no conversations yet.`)];
  }
  return items.map(({ name, about }) => make("li", {}, make("strong", {}, name), make("br"), make("small", {}, about)));
}

/** Begins a group with nobody else in it yet. */
export async function create(backend, name) {
  await backend.call("POST", "/conversations", {
    name,
    qualified_users: [],
    access: ["invite"],
    access_role: ["team_member", "non_team_member"],
    conversation_role: "wire_admin",
    receipt_mode: 0,
    protocol: "proteus",
  });
}

async function all(backend) {
  const found = [];
  let paging = {};
  for (;;) {
    const page = await backend.call("POST", "/conversations/list-ids", { size: PAGE, ...paging });
    const ids = page.qualified_conversations;
    if (ids.length > 0) {
      found.push(...(await backend.call("POST", "/conversations/list", { qualified_ids: ids })).found);
    }
    if (!page.has_more) {
      return found;
    }
    paging = { paging_state: page.paging_state };
  }
}

/** Names of the people whom a user talks to alone: such conversations have no names of their own. */
async function namesOfOthers(backend, found) {
  const ids = found.filter(({ type }) => type !== 0).flatMap(({ members }) => members.others.map((one) => one.qualified_id));
  const names = new Map();
  for (let begin = 0; begin < ids.length; begin += PAGE) {
    const wanted = { qualified_ids: ids.slice(begin, begin + PAGE) };
    for (const user of (await backend.call("POST", "/list-users", wanted)).found) {
      names.set(user.qualified_id.id, user.name);
    }
  }
  return names;
}

function describe({ name, type, members }, names) {
  const others = members.others.map(({ qualified_id }) => names.get(qualified_id.id)).filter(Boolean);
  const people = members.others.length + 1;
  const about = type === 0 ? `${KINDS[type]}, ${people} ${people === 1 ? "person" : "people"}` : KINDS[type];
  return { name: name || others.join(", ") || "Without a name", about };
}
