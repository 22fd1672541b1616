/**
 * One request: its path, its deadline, and whether it is sent again.
 *
 * A read is sent again where the network failed or the server says that it can succeed later. So is what leaves the same behind however
 * often it is done and whoever else writes (invalidations). A write is sent again only where it is certain that nothing was written: after
 * an unknown end, a second one could undo what somebody else wrote in between. All tries together have one deadline.
 */

import { ForebayError, problem, timeout, unreachable } from "./errors.js";

/** What stands between two tries at first; it doubles, and jitter takes up to half of it off. */
const PAUSE_MS = 50;

/** Statuses by which proxies before the server say that it may answer later. */
const PASSING = new Set([429, 502, 503, 504]);

/** The longest delay that a timer of JavaScript takes: with a longer one it would fire at once. */
const TIMER_MS_MAX = 2 ** 31 - 1;

/**
 * @typedef {object} Request
 * @property {string} [method] `GET` unless said
 * @property {string[]} path its parts, as they are
 * @property {string} [verb] what is done to the last of them: `get` in `quotes:get`
 * @property {Record<string, string | undefined>} [query]
 * @property {Record<string, string>} [headers]
 * @property {BodyInit} [body]
 * @property {boolean} [again] whether it may be sent again though its first end is not known: that of reads unless said
 */

export class Http {
  #base;
  #fetch;
  #headers;
  #retries;
  #timeoutMs;

  /** @param {import("../index.d.ts").ForebayOptions} options */
  constructor({ url, token, timeoutMs = 10_000, retries = 2, fetch = globalThis.fetch }) {
    this.#base = new URL(url).href.replace(/\/+$/, "");
    // Called as a function of its own: that of browsers and Workers refuses to be a method of something else.
    this.#fetch = (...words) => fetch(...words);
    this.#headers = token === undefined ? {} : { authorization: `Bearer ${token}` };
    this.#retries = whole("retries", retries, 0, 100);
    this.#timeoutMs = whole("timeoutMs", timeoutMs, 1, TIMER_MS_MAX);
  }

  /**
   * What `read` makes of the response, body included; an answer that `read` leaves open is not under the deadline any more.
   *
   * @template T
   * @param {Request} request
   * @param {(response: Response) => T | Promise<T>} read of a success, and of an absence
   * @returns {Promise<T>}
   */
  async send(request, read) {
    const ends = Date.now() + this.#timeoutMs;
    const controller = new AbortController();
    const timer = setTimeout(() => controller.abort(timeout(this.#timeoutMs)), this.#timeoutMs);
    try {
      for (let tried = 0; ; tried++) {
        try {
          return await this.#once(request, read, controller.signal);
        } catch (error) {
          const pause = tried < this.#retries ? pauseMs(error, request, tried) : undefined;
          if (pause === undefined || Date.now() + pause >= ends) throw error;
          await new Promise((resolve) => setTimeout(resolve, pause));
        }
      }
    } finally {
      clearTimeout(timer);
    }
  }

  async #once({ method = "GET", path, verb, query, headers, body }, read, signal) {
    const url = this.#base + pathOf(path, verb, query);
    const init = { method, headers: new Headers({ ...this.#headers, ...headers }), body, signal };
    // A stream goes out while the answer may come in already, which is to be said.
    if (isStream(body)) init.duplex = "half";
    try {
      const response = await this.#fetch(url, init);
      if (response.ok) return await read(response);
      const error = await problem(response);
      if (error.code !== "absent") throw error;
      return await read(response);
    } catch (error) {
      // Not every runtime rejects with the reason for which it was to end.
      if (signal.aborted) throw signal.reason;
      throw error instanceof ForebayError ? error : unreachable(error);
    }
  }
}

/** Whether a body is one that can be sent once only. */
export function isStream(body) {
  return typeof ReadableStream !== "undefined" && body instanceof ReadableStream;
}

/** How long to wait before the same is sent again; `undefined` where it is not. */
function pauseMs(error, { method = "GET", body, again = method === "GET" }, tried) {
  const passing = error.code === "unreachable" || error.retryAfterMs !== undefined || PASSING.has(error.status);
  if (isStream(body) || error.code === "timeout" || !(again ? passing : error.nothingDone)) return undefined;
  const pause = PAUSE_MS * 2 ** tried * (1 - Math.random() / 2);
  return Math.max(pause, error.retryAfterMs ?? 0);
}

function pathOf(parts, verb, query = {}) {
  const path = parts.map(encodeURIComponent).join("/") + (verb === undefined ? "" : `:${verb}`);
  const said = Object.entries(query).filter(([, value]) => value !== undefined);
  const text = said.map(([name, value]) => `${name}=${encodeURIComponent(value)}`).join("&");
  return `/v1/${path}${text && "?"}${text}`;
}

/**
 * `text`, which can be one part of a path: a name or a key.
 *
 * @param {string} what it is
 * @param {string} text
 */
export function part(what, text) {
  if (typeof text !== "string" || text === "") throw new TypeError(`${what} is text that is not empty`);
  // Every reader of URLs takes these two away, however they are written.
  if (text === "." || text === "..") throw new TypeError(`${what} cannot be "${text}": no path leads to it`);
  try {
    encodeURIComponent(text);
  } catch {
    throw new TypeError(`${what} is text in UTF-8: this one has half of a surrogate pair`);
  }
  return text;
}

function whole(name, value, least, most) {
  if (Number.isInteger(value) && value >= least && value <= most) return value;
  throw new TypeError(`${name} is a whole number from ${least} to ${most}, not ${value}`);
}
