/**
 * A client of Forebay for whatever has `fetch`: Node, Workers, browsers. It depends on nothing.
 *
 * `src/http.js` sends requests: the deadline, what is tried again, errors. `src/namespace.js` has the verbs of `/v1` with their outcomes;
 * `src/kv.js` is a KV namespace as Workers have it, over the same verbs, and `src/gather.js` makes one request of the reads of one turn.
 */

import { Http } from "./src/http.js";
import { KVNamespace } from "./src/kv.js";
import { Keyspace } from "./src/namespace.js";

export { ForebayError } from "./src/errors.js";
export { KVError, KVNamespace } from "./src/kv.js";
export { Keyspace, Namespace } from "./src/namespace.js";

/** A server. It opens nothing by itself: each call is a request of its own, over the connections that `fetch` keeps. */
export class Forebay {
  #http;

  /** @param {import("./index.d.ts").ForebayOptions} options */
  constructor(options) {
    this.#http = new Http(options);
  }

  /**
   * The keyspace of this name. Nothing is asked: one that does not exist is told by the first request.
   *
   * @param {string} name
   */
  keyspace(name) {
    return new Keyspace(this.#http, name);
  }

  /**
   * The namespace of these names, with the outcomes of its reads.
   *
   * @param {string} keyspace
   * @param {string} name
   */
  namespace(keyspace, name) {
    return this.keyspace(keyspace).namespace(name);
  }

  /**
   * The namespace of these names as the binding of a Worker.
   *
   * @param {string} keyspace
   * @param {string} name
   * @param {import("./index.d.ts").KVOptions} [options]
   */
  kv(keyspace, name, options) {
    return new KVNamespace(this.namespace(keyspace, name), options);
  }
}
