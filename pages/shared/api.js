// A Wire backend's client API: versions, a session, requests and their failures. Knows nothing of what is on the page.

import { ApiError, UNREACHABLE } from "./words.js";

/** Versions of the API that these pages speak. */
const VERSIONS = { oldest: 8, newest: 15 };

/** Milliseconds that an answer may take. */
const PATIENCE = 20_000;

/** Milliseconds between signs of life on a websocket; the backend answers each. */
const PING = 20_000;

/** Milliseconds until a broken websocket is opened again. */
const AGAIN = 5_000;

/** Reads what the site says of itself; see `docs/workloads/pages.md` for the form. */
export async function readConfiguration() {
  const response = await fetch("/config.json", { cache: "no-store" });
  if (!response.ok) {
    throw new ApiError("no-configuration", "", response.status);
  }
  return response.json();
}

/** A backend, and the user's session there once there is one. */
export class Backend {
  #rest;
  #websocket;
  #token = null;
  #renewal = null;
  #socket = null;

  constructor({ rest, websocket }) {
    this.#rest = rest;
    this.#websocket = websocket;
  }

  /** Asks what the backend is, and agrees on a version of the API. Must be done before all else. */
  async reach() {
    const answer = await this.#send("GET", "/api-version", {});
    const common = answer.supported.filter((version) => version >= VERSIONS.oldest && version <= VERSIONS.newest);
    if (common.length === 0) {
      throw new ApiError("no-common-version", `The backend speaks ${answer.supported.join(", ")}`, 0);
    }
    this.version = Math.max(...common);
    this.domain = answer.domain;
  }

  /** Whether somebody is logged in. */
  get isLoggedIn() {
    return this.#token !== null;
  }

  /** Goes on with the session that the browser's cookie proves; whether there was one. */
  async resume() {
    try {
      await this.#renew();
      return true;
    } catch (error) {
      if (error instanceof ApiError && error.status === 403) {
        return false;
      }
      throw error;
    }
  }

  /** Begins a session, with an e-mail address or a handle. A session that does not persist ends with the browser. */
  async logIn(name, password, persist) {
    const who = name.indexOf("@") > 0 ? { email: name } : { handle: name.replace(/^@/, "") };
    const path = this.#versioned(`/login?persist=${persist}`);
    const answer = await this.#send("POST", path, { body: { ...who, password, label: "pages" }, withCookie: true });
    this.#token = answer.access_token;
  }

  /** Registers a user, who is logged in then. */
  async register(user) {
    const body = { accent_id: 1, assets: [], locale: "en", label: "pages", ...user };
    const answer = await this.#send("POST", this.#versioned("/register"), { body, withCookie: true });
    await this.#renew();
    return answer;
  }

  /** Ends the session. It goes on while the backend cannot be told. */
  async logOut() {
    try {
      await this.#send("POST", "/access/logout", { token: this.#token, withCookie: true });
    } catch (error) {
      if (!(error instanceof ApiError) || error.status !== 403) {
        throw error;
      }
      // It was over already.
    }
    this.forget();
  }

  /** Forgets a session that the backend has ended. */
  forget() {
    this.#token = null;
    this.#socket?.close();
  }

  /** A request of anybody's. */
  ask(method, path, body) {
    return this.#send(method, this.#versioned(path), { body });
  }

  /** A request of the user's. A token that has run out is renewed once. */
  async call(method, path, body) {
    const request = () => this.#send(method, this.#versioned(path), { body, token: this.#token });
    try {
      return await request();
    } catch (error) {
      if (!(error instanceof ApiError) || error.status !== 401) {
        throw error;
      }
    }
    await this.#renew();
    return request();
  }

  /** Tells of each notification, and of whether the websocket is open, until the session ends. */
  listen({ onNotification, onState }) {
    const address = `${this.#websocket}/await?access_token=${encodeURIComponent(this.#token)}`;
    const socket = new WebSocket(address);
    this.#socket = socket;
    const timer = setInterval(() => socket.readyState === WebSocket.OPEN && socket.send("ping"), PING);
    socket.addEventListener("open", () => onState(true));
    socket.addEventListener("message", ({ data }) => data !== "pong" && onNotification());
    socket.addEventListener("close", () => {
      clearInterval(timer);
      if (!this.isLoggedIn) {
        return;
      }
      onState(false);
      setTimeout(() => this.#listenAgain({ onNotification, onState }), AGAIN);
    });
  }

  async #listenAgain(listener) {
    try {
      // The old token may have run out meanwhile.
      await this.#renew();
    } catch {
      if (this.isLoggedIn) {
        setTimeout(() => this.#listenAgain(listener), AGAIN);
      }
      return;
    }
    this.listen(listener);
    listener.onNotification();
  }

  #versioned(path) {
    return `/v${this.version}${path}`;
  }

  /** Gets a token for the cookie; who asks meanwhile waits for the same one. */
  #renew() {
    this.#renewal ??= this.#send("POST", "/access", { token: this.#token, withCookie: true })
      .then((answer) => {
        this.#token = answer.access_token;
      })
      .catch((error) => {
        if (error instanceof ApiError && error.status === 403) {
          this.forget();
        }
        throw error;
      })
      .finally(() => {
        this.#renewal = null;
      });
    return this.#renewal;
  }

  /** The cookie goes only where sessions begin, go on and end: elsewhere the backend does not allow it. */
  async #send(method, path, { body, token, withCookie }) {
    const headers = new Headers();
    if (token) {
      headers.set("Authorization", `Bearer ${token}`);
    }
    if (body !== undefined) {
      headers.set("Content-Type", "application/json");
    }
    let response;
    let text;
    try {
      response = await fetch(this.#rest + path, {
        method,
        headers,
        body: body === undefined ? undefined : JSON.stringify(body),
        credentials: withCookie ? "include" : "omit",
        cache: "no-store",
        signal: AbortSignal.timeout(PATIENCE),
      });
      text = await response.text();
    } catch {
      throw new ApiError(UNREACHABLE, "", 0);
    }
    const answer = parse(text);
    if (!response.ok) {
      throw new ApiError(answer?.label ?? "", answer?.message ?? "", response.status);
    }
    return answer;
  }
}

/** JSON, or nothing where there is none: proxies answer with pages of their own. */
function parse(text) {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}
