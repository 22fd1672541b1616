export interface ForebayOptions {
  /** Where the server is: `https://cache.example.com`, also with a path before `/v1`. */
  url: string | URL;
  /** The token to show, where the server asks for one. */
  token?: string;
  /** How long a call may take, all its tries together. 10,000 unless said. */
  timeoutMs?: number;
  /** How often a request is sent again that can safely be. 2 unless said. */
  retries?: number;
  /** What sends requests: the global `fetch` unless said. */
  fetch?: typeof fetch;
}

export interface KVOptions {
  /** Whether the reads of one turn go as one request. True unless said. */
  gather?: boolean;
}

/** A server. */
export class Forebay {
  constructor(options: ForebayOptions);
  keyspace(name: string): Keyspace;
  namespace(keyspace: string, name: string): Namespace;
  kv(keyspace: string, name: string, options?: KVOptions): KVNamespace;
}

/** A request that was not answered as asked. */
export class ForebayError extends Error {
  /** Stable, for programs: the server's own, or `timeout`, `unreachable`, `bad_answer`, `http_502`. */
  readonly code: string;
  /** The status of the answer; `undefined` where there was none. */
  readonly status: number | undefined;
  /** How long the server asks to wait before the same request is sent again, where that can succeed. */
  readonly retryAfterMs: number | undefined;
  /** By which the server's log has the request. */
  readonly requestId: string | undefined;
  /** Whether it is certain that the request changed nothing. */
  readonly nothingDone: boolean;
  /** Whether the same request can succeed later. */
  readonly mayRetry: boolean;
}

/** A request of a KV namespace that failed. */
export class KVError extends ForebayError {
  readonly verb: "GET" | "PUT" | "DELETE" | "LIST";
}

/** What a read came to. */
export interface Outcome<Value = any, Metadata = unknown> {
  /** As its content type says: JSON parsed, text as a string, all else as a `Uint8Array`. `null` where there is none. */
  value: Value | null;
  /** `failed` only among many: then `error` says why. */
  state: "fresh" | "stale" | "absent" | "failed";
  /** Seconds since the load began that brought it; not of what failed. */
  age?: number;
  /** Of one key: where it came from. */
  cache?: "HIT" | "MISS" | "STALE";
  /** Of one key: what names the value in conditions. */
  etag?: string;
  contentType?: string;
  /** What its writer keeps with it. */
  metadata: Metadata | null;
  error?: ForebayError;
}

export interface PutOptions {
  /** How long it lives: seconds, or a span like `"1h30m"`. In a cache never longer than the namespace says. */
  ttl?: number | string;
  /** When it ends: a date, or milliseconds since 1970. Not together with `ttl`. */
  expiresAt?: Date | number;
  /** Any JSON of at most 1,024 bytes. */
  metadata?: unknown;
  contentType?: string;
  /** Write only over the value of this tag. */
  ifMatch?: string;
  /** `"*"`: write only where there is no value. */
  ifNoneMatch?: string;
}

/** What to drop: one of the three. */
export interface Reach {
  keys?: string[];
  prefix?: string;
  all?: boolean;
}

export interface ListOptions {
  prefix?: string;
  /** 1 to 1,000, which it is unless said. */
  limit?: number;
  cursor?: string;
}

export interface ListedKey<Metadata = unknown> {
  key: string;
  expiresAt?: Date;
  metadata?: Metadata;
}

export interface Page {
  keys: ListedKey[];
  /** Where to go on; `undefined` at the end. */
  cursor: string | undefined;
  complete: boolean;
}

/** Everything that one application declares. */
export class Keyspace {
  private constructor();
  namespace(name: string): Namespace;
  /** Drops every copy that has one of these tags. */
  invalidate(tags: string[]): Promise<void>;
  /** Makes every copy stale that has one of these tags. */
  expire(tags: string[]): Promise<void>;
}

/** A named part of a keyspace with one policy. */
export class Namespace {
  private constructor();
  get<Value = any>(key: string): Promise<Outcome<Value>>;
  /** What the source itself says, past every copy. */
  getFresh<Value = any>(key: string): Promise<Outcome<Value>>;
  getMany<Value = any>(keys: string[]): Promise<Map<string, Outcome<Value>>>;
  put(key: string, value: unknown, options?: PutOptions): Promise<{ etag: string | undefined; created: boolean }>;
  delete(key: string, options?: { ifMatch?: string }): Promise<void>;
  /** Drops copies; of keys, how many were held. */
  invalidate(reach: Reach): Promise<number | undefined>;
  /** Makes copies stale; of keys, how many were held. */
  expire(reach: Reach): Promise<number | undefined>;
  list(options?: ListOptions): Promise<Page>;
  keys(options?: { prefix?: string }): AsyncGenerator<ListedKey, void>;
}

export type KVType = "text" | "json" | "arrayBuffer" | "stream";

export interface KVGetOptions<Type extends KVType> {
  type?: Type;
  /** Taken and not needed: nothing is kept here. */
  cacheTtl?: number;
}

export type KVValue<Type extends KVType, Value> = Type extends "json"
  ? Value
  : Type extends "arrayBuffer"
    ? ArrayBuffer
    : Type extends "stream"
      ? ReadableStream<Uint8Array>
      : string;

export interface KVWithMetadata<Value, Metadata> {
  value: Value | null;
  metadata: Metadata | null;
  cacheStatus: string | null;
}

export interface KVPutOptions {
  /** When it ends, in seconds since 1970. */
  expiration?: number | null;
  /** How long it lives, in seconds, of any length above 0. It wins over `expiration`. */
  expirationTtl?: number | null;
  /** Any JSON of at most 1,024 bytes. */
  metadata?: unknown;
}

export interface KVListedKey<Metadata> {
  name: string;
  /** In seconds since 1970. */
  expiration?: number;
  metadata?: Metadata;
}

export type KVPage<Metadata> = { keys: KVListedKey<Metadata>[]; cacheStatus: null } & (
  | { list_complete: true }
  | { list_complete: false; cursor: string }
);

/** A KV namespace as the binding of a Worker has it. */
export class KVNamespace {
  private constructor();
  get<Value = any, Type extends KVType = "text">(
    key: string,
    as?: Type | KVGetOptions<Type>,
  ): Promise<KVValue<Type, Value> | null>;
  get<Value = any, Type extends "text" | "json" = "text">(
    keys: string[],
    as?: Type | KVGetOptions<Type>,
  ): Promise<Map<string, KVValue<Type, Value> | null>>;
  getWithMetadata<Metadata = unknown, Value = any, Type extends KVType = "text">(
    key: string,
    as?: Type | KVGetOptions<Type>,
  ): Promise<KVWithMetadata<KVValue<Type, Value>, Metadata>>;
  getWithMetadata<Metadata = unknown, Value = any, Type extends "text" | "json" = "text">(
    keys: string[],
    as?: Type | KVGetOptions<Type>,
  ): Promise<Map<string, KVWithMetadata<KVValue<Type, Value>, Metadata>>>;
  put(
    key: string,
    value: string | ArrayBuffer | ArrayBufferView | ReadableStream,
    options?: KVPutOptions,
  ): Promise<void>;
  delete(key: string): Promise<void>;
  list<Metadata = unknown>(options?: {
    prefix?: string | null;
    limit?: number | null;
    cursor?: string | null;
  }): Promise<KVPage<Metadata>>;
}
