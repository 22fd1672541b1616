/**
 * A KV namespace as the binding of a Worker has it, over a namespace of Forebay.
 *
 * It keeps to the binding's shapes: `null` for what is absent, `TypeError` for what no request is made of, and otherwise an error whose
 * message begins `KV GET failed: 403`. What differs is told in README.md: TTLs of any length, and no copies here that could be old.
 */

import { ForebayError } from "./errors.js";
import { Gatherer } from "./gather.js";
import { isStream, part } from "./http.js";
import { KEYS_MAX, bytesOf, errorOf, metadataOf, textOf } from "./namespace.js";

/** The longest key, in bytes of UTF-8. */
const KEY_BYTES_MAX = 512;
/** The most keys that one `get` takes. */
const GET_KEYS_MAX = 100;
/** The forms of a value. */
const TYPES = ["text", "json", "arrayBuffer", "stream"];

/** A request that failed, in the words of the server. */
export class KVError extends ForebayError {
  /**
   * @param {string} verb `GET`, `PUT`, `DELETE` or `LIST`
   * @param {ForebayError} error
   */
  constructor(verb, error) {
    const { code, status, retryAfterMs, requestId, cause } = error;
    super(`KV ${verb} failed: ${status === undefined ? "" : `${status} `}${error.message}`, {
      code,
      status,
      retryAfterMs,
      requestId,
      cause,
    });
    this.name = "KVError";
    /** What was asked for. */
    this.verb = verb;
  }
}

/** A KV namespace. */
export class KVNamespace {
  #namespace;
  #gathered;

  /**
   * @param {import("./namespace.js").Namespace} namespace
   * @param {import("../index.d.ts").KVOptions} [options]
   */
  constructor(namespace, { gather = true } = {}) {
    this.#namespace = namespace;
    const one = (key) => namespace.open(key, {}, entryOf);
    this.#gathered = gather ? new Gatherer(one, (keys) => this.#many(keys), KEYS_MAX) : { ask: one };
  }

  /**
   * The value of a key, or of many as a map; `null` for what is absent.
   *
   * @param {string | string[]} key
   * @param {string | {type?: string, cacheTtl?: number}} [as]
   */
  async get(key, as) {
    const found = await this.getWithMetadata(key, as);
    return found instanceof Map ? new Map([...found].map(([key, { value }]) => [key, value])) : found.value;
  }

  /**
   * The same with what was kept with it.
   *
   * @param {string | string[]} key
   * @param {string | {type?: string, cacheTtl?: number}} [as]
   */
  async getWithMetadata(key, as) {
    const type = typeOf(as);
    if (Array.isArray(key)) return await told("GET", this.#getMany(key, type));
    judged("GET", key);
    if (type === "stream") return await told("GET", this.#namespace.open(key, {}, streamed));
    const entry = await told("GET", this.#gathered.ask(key));
    return shown(entry, type);
  }

  /**
   * Gives a key a value; it waits until that is kept.
   *
   * @param {string} key
   * @param {string | ArrayBuffer | ArrayBufferView | ReadableStream} value
   * @param {{expiration?: number, expirationTtl?: number, metadata?: unknown}} [options]
   */
  async put(key, value, { expiration, expirationTtl, metadata } = {}) {
    judged("PUT", key);
    const isValue = typeof value === "string" || value instanceof ArrayBuffer || ArrayBuffer.isView(value) || isStream(value);
    if (!isValue) throw new TypeError("KV put() takes a string, an ArrayBuffer, an ArrayBufferView or a ReadableStream");
    const ends = {};
    if (given(expirationTtl)) ends.ttl = above0("expirationTtl", expirationTtl);
    else if (given(expiration)) ends.expiresAt = above0("expiration", expiration) * 1_000;
    await told("PUT", this.#namespace.put(key, value, { ...ends, metadata }));
  }

  /**
   * Deletes a key, and is content where there is none.
   *
   * @param {string} key
   */
  async delete(key) {
    judged("DELETE", key);
    await told("DELETE", this.#namespace.delete(key));
  }

  /**
   * A page of keys.
   *
   * @param {{prefix?: string | null, limit?: number | null, cursor?: string | null}} [options]
   */
  async list({ prefix, limit, cursor } = {}) {
    const asked = { prefix: prefix ?? undefined, limit: limit > 0 ? limit : undefined, cursor: cursor || undefined };
    const page = await told("LIST", this.#namespace.list(asked));
    const keys = page.keys.map(({ key, expiresAt, metadata }) => ({
      name: key,
      ...(expiresAt && { expiration: Math.floor(expiresAt / 1_000) }),
      ...(metadata !== undefined && { metadata }),
    }));
    const end = page.complete ? { list_complete: true } : { list_complete: false, cursor: page.cursor };
    return { keys, ...end, cacheStatus: null };
  }

  async #getMany(keys, type) {
    if (type !== "text" && type !== "json") throw new TypeError(`many keys are read as "text" or "json", not "${type}"`);
    if (keys.length === 0 || keys.length > GET_KEYS_MAX) {
      throw refused(400, "bad_body", `ask for 1 to ${GET_KEYS_MAX} keys at once, not ${keys.length}`);
    }
    keys.forEach((key) => judged("GET", key));
    const found = await this.#many([...new Set(keys)]);
    const entries = keys.map((key) => {
      const entry = found.get(key);
      if (entry instanceof Error) throw entry;
      try {
        return [key, shown(entry, type)];
      } catch (error) {
        throw refused(400, "no_json", `the value of "${key}" is no JSON: ${error.message}`);
      }
    });
    return new Map(entries);
  }

  /** What many keys have, an error instead of what cannot be had. */
  async #many(keys) {
    const found = new Map();
    for await (const { key, value, base64, metadata = null, state, error } of this.#namespace.entries(keys, "text")) {
      const content = value ?? (base64 === undefined ? null : bytesOf(base64));
      found.set(key, error ? errorOf(error) : { content, metadata, cacheStatus: state === "stale" ? "STALE" : null });
    }
    return found;
  }
}

/** What a response has: content as text or bytes, `null` where there is none. */
async function entryOf(response) {
  const content = response.status === 404 ? null : new Uint8Array(await response.arrayBuffer());
  return { content, metadata: metadataOf(response.headers), cacheStatus: response.headers.get("x-cache") };
}

/** What a response has, whose body comes as its reader takes it. */
function streamed(response) {
  const value = response.status === 404 ? null : response.body;
  return { value, metadata: metadataOf(response.headers), cacheStatus: response.headers.get("x-cache") };
}

/** What was read in the form that is wanted. Whoever asked has a copy of their own. */
function shown({ content, metadata, cacheStatus }, type) {
  if (content === null) return { value: null, metadata: null, cacheStatus };
  if (type === "arrayBuffer") {
    const bytes = typeof content === "string" ? new TextEncoder().encode(content) : content;
    return { value: bytes.slice().buffer, metadata, cacheStatus };
  }
  const text = typeof content === "string" ? content : textOf(content);
  return { value: type === "json" ? JSON.parse(text.replace(/^\ufeff/, "")) : text, metadata, cacheStatus };
}

/** What `work` comes to, its errors as this binding tells them. */
async function told(verb, work) {
  try {
    return await work;
  } catch (error) {
    throw error instanceof ForebayError && !(error instanceof KVError) ? new KVError(verb, error) : error;
  }
}

function refused(status, code, what) {
  return new ForebayError(what, { status, code });
}

/** The form that is asked for. */
function typeOf(as) {
  const { type = "text", cacheTtl } = typeof as === "object" && as !== null ? as : { type: as };
  if (!TYPES.includes(type)) throw new TypeError(`a value is read as one of ${TYPES.join(", ")}, not "${type}"`);
  if (given(cacheTtl)) above0("cacheTtl", cacheTtl);
  return type;
}

/** Refuses what is no key, before it is sent. */
function judged(verb, key) {
  const length = new TextEncoder().encode(part("a key", key)).length;
  if (length > KEY_BYTES_MAX) {
    throw new KVError(verb, refused(414, "long_key", `the key has ${length} bytes of UTF-8, and ${KEY_BYTES_MAX} are allowed`));
  }
}

function given(option) {
  return option !== undefined && option !== null;
}

function above0(name, value) {
  if (typeof value === "number" && Number.isFinite(value) && value > 0) return value;
  throw new TypeError(`${name} is a number of seconds above 0, not ${value}`);
}
