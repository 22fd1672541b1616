/**
 * The verbs of `/v1/{keyspace}/{namespace}/{key}`, each with what its answer tells: where a value came from, how old it is.
 *
 * Values come back as their content types say: JSON parsed, text as a string, all else as bytes.
 */

import { ForebayError, badAnswer } from "./errors.js";
import { part } from "./http.js";

/** The most keys of one request. */
export const KEYS_MAX = 1_000;

/** What is kept with a value, in a header of ASCII. */
const METADATA = "forebay-metadata";

/** Everything that one application declares. */
export class Keyspace {
  #http;
  #name;

  /**
   * @param {import("./http.js").Http} http
   * @param {string} name
   */
  constructor(http, name) {
    this.#http = http;
    this.#name = part("the name of a keyspace", name);
  }

  /** @param {string} name */
  namespace(name) {
    return new Namespace(this.#http, this.#name, name);
  }

  /**
   * Drops every copy that has one of these tags.
   *
   * @param {string[]} tags
   */
  invalidate(tags) {
    return this.#tell("invalidate", tags);
  }

  /**
   * Makes every copy stale that has one of these tags: served only where the source fails and the policy allows it.
   *
   * @param {string[]} tags
   */
  expire(tags) {
    return this.#tell("expire", tags);
  }

  #tell(verb, tags) {
    return this.#http.send({ ...posted({ tags }), path: [this.#name], verb }, () => {});
  }
}

/** A named part of a keyspace with one policy. */
export class Namespace {
  #http;
  #path;

  /**
   * @param {import("./http.js").Http} http
   * @param {string} keyspace
   * @param {string} name
   */
  constructor(http, keyspace, name) {
    this.#http = http;
    this.#path = [keyspace, part("the name of a namespace", name)];
  }

  /**
   * What `key` has, through memory and the source.
   *
   * @param {string} key
   * @returns {Promise<import("../index.d.ts").Outcome>}
   */
  get(key) {
    return this.open(key, {}, outcome);
  }

  /**
   * What the source itself says of `key`, past every copy; the copies are refreshed by it.
   *
   * @param {string} key
   * @returns {Promise<import("../index.d.ts").Outcome>}
   */
  getFresh(key) {
    return this.open(key, { "cache-control": "no-cache" }, outcome);
  }

  /**
   * What many keys have; those that miss are loaded together. A key that cannot be read has its error in its outcome.
   *
   * @param {string[]} keys
   * @returns {Promise<Map<string, import("../index.d.ts").Outcome>>}
   */
  async getMany(keys) {
    const found = new Map();
    for await (const entry of this.entries(keys)) found.set(entry.key, outcomeOf(entry));
    return found;
  }

  /**
   * The value to give `key`: text, bytes, a stream of bytes, or anything else as JSON.
   *
   * @param {string} key
   * @param {unknown} value
   * @param {import("../index.d.ts").PutOptions} [options]
   * @returns {Promise<{etag: string | undefined, created: boolean}>}
   */
  put(key, value, { ttl, expiresAt, metadata, contentType, ifMatch, ifNoneMatch } = {}) {
    const [body, type] = bodyOf(value);
    const headers = stated({ "content-type": contentType ?? type, "if-match": ifMatch, "if-none-match": ifNoneMatch });
    if (metadata !== undefined && metadata !== null) headers[METADATA] = ascii(JSON.stringify(metadata));
    const query = { ttl: spanOf(ttl), expires_at: expiresAt === undefined ? undefined : new Date(expiresAt).toISOString() };
    const request = { method: "PUT", path: [...this.#path, part("a key", key)], query, headers, body };
    return this.#http.send(request, (response) => ({
      etag: response.headers.get("etag") ?? undefined,
      created: response.status === 201,
    }));
  }

  /**
   * Deletes `key`; of a cache with a source it drops every copy, and the next read loads.
   *
   * @param {string} key
   * @param {{ifMatch?: string}} [options]
   */
  delete(key, { ifMatch } = {}) {
    const headers = stated({ "if-match": ifMatch });
    return this.#http.send({ method: "DELETE", path: [...this.#path, part("a key", key)], headers }, () => {});
  }

  /**
   * Drops the copies of what is named; how many keys were held here, of keys.
   *
   * @param {import("../index.d.ts").Reach} reach
   * @returns {Promise<number | undefined>}
   */
  invalidate(reach) {
    return this.#tell("invalidate", reach);
  }

  /**
   * Makes the copies of what is named stale: served only where the source fails and the policy allows it.
   *
   * @param {import("../index.d.ts").Reach} reach
   * @returns {Promise<number | undefined>}
   */
  expire(reach) {
    return this.#tell("expire", reach);
  }

  /**
   * A page of keys: of a store all, in the order of their bytes; of a cache those that are held, in none.
   *
   * @param {import("../index.d.ts").ListOptions} [options]
   * @returns {Promise<import("../index.d.ts").Page>}
   */
  list({ prefix, limit, cursor } = {}) {
    const query = { prefix, limit: limit === undefined ? undefined : String(limit), cursor: cursor ?? undefined };
    return this.#http.send({ path: this.#path, query }, async (response) => {
      const { keys, cursor, complete } = await json(response);
      const told = ({ key, expires_at, metadata }) => ({ key, ...(expires_at && { expiresAt: new Date(expires_at) }), metadata });
      return { keys: keys.map(told), cursor: cursor ?? undefined, complete };
    });
  }

  /**
   * Every key, page by page.
   *
   * @param {{prefix?: string}} [options]
   */
  async *keys({ prefix } = {}) {
    let cursor;
    do {
      const page = await this.list({ prefix, cursor });
      yield* page.keys;
      cursor = page.cursor;
    } while (cursor !== undefined);
  }

  /**
   * What `read` makes of the response to a GET of `key`, an absence included. For those who want bytes or a stream.
   *
   * @template T
   * @param {string} key
   * @param {Record<string, string>} headers
   * @param {(response: Response) => T | Promise<T>} read
   */
  open(key, headers, read) {
    return this.#http.send({ path: [...this.#path, part("a key", key)], headers }, read);
  }

  /**
   * The entries of many keys, as the server tells them: what finds no room in an answer is asked for in the next.
   *
   * @param {string[]} keys
   * @param {"typed" | "text"} [as] `text` for values just as they were written, whatever their types
   */
  async *entries(keys, as = "typed") {
    const left = keys.map((key) => part("a key", key));
    while (left.length > 0) {
      const asked = left.splice(0, KEYS_MAX);
      const request = { ...posted({ keys: asked, as }), path: this.#path, verb: "get" };
      const { entries, unread } = await this.#http.send(request, json);
      if (entries.length === 0) throw badAnswer("of the keys that were asked for it has none");
      yield* entries;
      left.unshift(...unread);
    }
  }

  async #tell(verb, { keys, prefix, all }) {
    if ([keys, prefix, all].filter((one) => one !== undefined && one !== false).length !== 1) {
      throw new TypeError(`say what to ${verb}: keys, a prefix, or all: true`);
    }
    const request = { ...posted(all ? {} : { keys, prefix }), path: this.#path, verb };
    return this.#http.send(request, async (response) => (response.status === 200 ? (await json(response)).held : undefined));
  }
}

/** A request that carries JSON, and does the same however often it is sent. */
function posted(body) {
  return { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(body), again: true };
}

/** @param {Response} response */
async function json(response) {
  return parsed(await response.text(), "it is no JSON");
}

function parsed(text, otherwise) {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw badAnswer(otherwise, error);
  }
}

/** @param {Response} response */
async function outcome(response) {
  const { headers } = response;
  const absent = response.status === 404;
  const cache = headers.get("x-cache") ?? undefined;
  const contentType = absent ? undefined : (headers.get("content-type") ?? undefined);
  return {
    value: absent ? null : typed(new Uint8Array(await response.arrayBuffer()), contentType),
    state: absent ? "absent" : cache === "STALE" ? "stale" : "fresh",
    age: Number(headers.get("age") ?? 0),
    cache,
    etag: headers.get("etag") ?? undefined,
    contentType,
    metadata: metadataOf(headers),
  };
}

/** The outcome of one entry of many. */
function outcomeOf({ value, base64, content_type: contentType, metadata = null, age_s: age, state, error }) {
  if (error) return { value: null, state: "failed", error: errorOf(error), metadata: null };
  const found = value !== undefined ? value : base64 === undefined ? null : bytesOf(base64);
  return { value: found, state, age, contentType, metadata };
}

/** The error of one entry of many. */
export function errorOf({ status, code, detail }) {
  return new ForebayError(detail, { status, code });
}

/** What was kept with the value of a response; `null` where there is nothing. */
export function metadataOf(headers) {
  const text = headers.get(METADATA);
  return text === null ? null : parsed(text, "its metadata is no JSON");
}

/** @param {string} base64 */
export function bytesOf(base64) {
  return Uint8Array.from(atob(base64), (char) => char.charCodeAt(0));
}

/** Bytes as text, letter by letter: a mark of their order is a letter like others. */
export function textOf(bytes) {
  return new TextDecoder("utf-8", { ignoreBOM: true }).decode(bytes);
}

/** What a content type says that the bytes are; what does not keep to it stays bytes. */
function typed(bytes, contentType = "") {
  const essence = contentType.split(";", 1)[0].trim().toLowerCase();
  try {
    if (/[/+]json$/.test(essence)) return JSON.parse(textOf(bytes));
    if (essence.startsWith("text/")) return new TextDecoder("utf-8", { ignoreBOM: true, fatal: true }).decode(bytes);
  } catch {
    // As the server does it when it embeds values.
  }
  return bytes;
}

/** The body of a value, and its type. */
function bodyOf(value) {
  if (typeof value === "string") return [value, "text/plain; charset=utf-8"];
  if (value instanceof ArrayBuffer || ArrayBuffer.isView(value) || value instanceof ReadableStream) {
    return [value, "application/octet-stream"];
  }
  const text = JSON.stringify(value);
  if (text === undefined) throw new TypeError(`a value is text, bytes, a stream of bytes, or what JSON can say, not ${typeof value}`);
  return [text, "application/json"];
}

/** A span as the server reads it: seconds as a number, or its own language (`1h30m`). */
function spanOf(ttl) {
  if (typeof ttl !== "number") return ttl;
  const ms = Math.round(ttl * 1_000);
  if (Number.isSafeInteger(ms) && ms > 0) return `${ms}ms`;
  throw new TypeError(`ttl is a number of seconds above 0, or a span like "1h30m", not ${ttl}`);
}

/** JSON in ASCII alone, as headers need it. */
function ascii(json) {
  return json.replace(/[\u007f-\uffff]/g, (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`);
}

/** What is said of some headers. */
function stated(headers) {
  return Object.fromEntries(Object.entries(headers).filter(([, value]) => value !== undefined));
}
