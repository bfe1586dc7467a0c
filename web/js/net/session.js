// Who is at the page: accounts, guests, tokens, tickets. The access token and the CSRF token live in this object only and are gone
// with the page; what outlives it is the refresh cookie, which no script can read.

/** A refusal, as `application/problem+json` or the like tells it. */
export class Refused extends Error {
  constructor(status, code, message, retryAfterMs) {
    super(message);
    this.status = status;
    this.code = code;
    this.retryAfterMs = retryAfterMs;
  }
}

/** The page cannot reach the server at all. */
export class Unreachable extends Error {}

async function refusal(response) {
  const body = await response.json().catch(() => ({}));
  const seconds = Number(response.headers.get("Retry-After")) || 0;
  const message = body.detail || body.message || body.title || `The server answered ${response.status}.`;
  return new Refused(response.status, body.code ?? "", message, body.retry_after_ms ?? seconds * 1000);
}

/** Set in this browser once somebody signed in, so that a newcomer's page does not ask for a session that cannot be. */
const KNOWN = "tidings.known";

export class Session {
  #access = null;
  #csrf = null;
  #expires = 0;

  /** Whether this page holds a sign-in. */
  get signedIn() {
    return this.#access !== null;
  }

  /** The CSRF token, for `hello`. */
  get csrf() {
    return this.#csrf;
  }

  /** Whether a refresh is worth a try. */
  get known() {
    try {
      return localStorage.getItem(KNOWN) === "1";
    } catch {
      return true;
    }
  }

  async #call(method, path, body) {
    const headers = { Accept: "application/json" };
    if (body !== undefined) headers["Content-Type"] = "application/json";
    if (this.#access) headers.Authorization = `Bearer ${this.#access}`;
    if (this.#csrf) headers["X-CSRF-Token"] = this.#csrf;
    let response;
    try {
      response = await fetch(`/api/v1/${path}`, {
        method, headers, credentials: "same-origin", cache: "no-store",
        body: body === undefined ? undefined : JSON.stringify(body),
      });
    } catch {
      throw new Unreachable("The server cannot be reached.");
    }
    if (!response.ok) throw await refusal(response);
    return response.status === 204 ? null : response.json();
  }

  /** As `#call`, with a fresh access token where the old one has run out. */
  async #authorised(method, path, body) {
    if (!this.#access || Date.now() > this.#expires) await this.refresh();
    try {
      return await this.#call(method, path, body);
    } catch (error) {
      if (!(error instanceof Refused) || error.status !== 401) throw error;
      await this.refresh();
      return this.#call(method, path, body);
    }
  }

  #keep(tokens) {
    this.#access = tokens.access_token;
    this.#csrf = tokens.csrf_token;
    // Half a minute early, so that a token does not run out on its way.
    this.#expires = Date.now() + Math.max(0, (tokens.expires_in ?? 900) - 30) * 1000;
    this.#remember(true);
    return tokens;
  }

  #remember(known) {
    try {
      if (known) localStorage.setItem(KNOWN, "1");
      else localStorage.removeItem(KNOWN);
    } catch {
      // Without storage the page asks each time.
    }
  }

  #forget() {
    this.#access = this.#csrf = null;
    this.#expires = 0;
  }

  async guest() {
    this.#forget();
    return this.#keep(await this.#call("POST", "guests", {}));
  }

  async signIn(username, password) {
    this.#forget();
    return this.#keep(await this.#call("POST", "session", { username, password }));
  }

  async signUp(username, password) {
    this.#forget();
    await this.#call("POST", "accounts", { username, password });
    return this.signIn(username, password);
  }

  async refresh() {
    this.#forget();
    try {
      return this.#keep(await this.#call("POST", "session/refresh"));
    } catch (error) {
      if (error instanceof Refused && (error.status === 401 || error.status === 403)) this.#remember(false);
      throw error;
    }
  }

  async signOut() {
    try {
      await this.#authorised("DELETE", "session");
    } finally {
      this.#forget();
      this.#remember(false);
    }
  }

  async characters() {
    return (await this.#authorised("GET", "characters")).characters ?? [];
  }

  async createCharacter(name) {
    return this.#authorised("POST", "characters", { name });
  }

  /** A ticket for one socket; good for half a minute. */
  async ticket() {
    return (await this.#authorised("POST", "tickets", {})).ticket;
  }
}
