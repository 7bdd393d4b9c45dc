// What all pages share: the frame around them, how they begin, and how they show something else.

import { Backend, readConfiguration } from "./api.js";
import { link, make } from "./dom.js";
import { ApiError, words } from "./words.js";

/** The pages of a site, by their key in the configuration. */
const PAGES = [
  ["webapp", "Conversations"],
  ["account", "Account"],
  ["teams", "Team"],
];

/**
 * Begins a page: reads the configuration, reaches the backend, goes on with a session. Then shows what `view` returns, a
 * list of elements, and again whenever it calls the `again` that it is given.
 */
export async function start(view) {
  const content = make("div", { id: "content" }, make("p", { role: "status" }, "Asking the backend…"));
  document.querySelector("main").append(content);
  try {
    const configuration = await readConfiguration();
    frame(configuration);
    const backend = new Backend(configuration.backend);
    await backend.reach();
    if (backend.domain !== configuration.domain) {
      throw new ApiError("another-backend", "", 0);
    }
    await backend.resume();
    const site = { backend, configuration, again: () => show(true) };
    const show = async (moves) => {
      content.replaceChildren(...(await view(site)).filter((element) => element));
      if (moves) {
        // Who cannot see that the page changed is told by where the focus goes.
        content.querySelector("h2")?.focus();
      }
    };
    await show(false);
  } catch (error) {
    const again = make("button", { type: "button" }, "Try again");
    again.addEventListener("click", () => location.reload());
    content.replaceChildren(make("p", { role: "alert", className: "failed" }, words(error)), again);
  }
}

/** The parameters that a link brought. They are proofs, so they do not stay in the address or the history. */
export function takeParameters() {
  const parameters = new URLSearchParams(location.search);
  history.replaceState(null, "", location.pathname);
  return parameters;
}

function frame({ domain, hosts }) {
  const links = PAGES.map(([key, text]) => {
    const anchor = link(hosts[key], text);
    if (anchor && new URL(anchor.href).host === location.host) {
      anchor.setAttribute("aria-current", location.pathname === "/" ? "page" : "true");
    }
    return anchor;
  });
  const navigation = make("nav", { "aria-label": "Pages" }, ...links);
  document.querySelector("header").append(make("span", { className: "brand" }, domain), navigation);
}
