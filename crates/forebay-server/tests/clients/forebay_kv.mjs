// A KV namespace of our own client, against a server that declares what `serving/libraries.rs` calls `STOCKS`.
//
// `FOREBAY_HTTP` is the server's address, `FOREBAY_ANY_HTTP` that of one whose only namespace, `any`, takes any key. What a server does seldom (it is away, slow, or not ours) is played by one of Node's.

import assert from "node:assert/strict";
import { createServer } from "node:http";
import { after, describe, test } from "node:test";

import { Forebay, ForebayError, KVError } from "../../../../clients/js/index.js";

const url = `http://${process.env.FOREBAY_HTTP}`;
const anyUrl = `http://${process.env.FOREBAY_ANY_HTTP}`;
const bytes = Uint8Array.from({ length: 1_024 }, (_, at) => at % 256);

/** A `fetch` that notes what it is asked for. */
function noting() {
  const asked = [];
  const noted = (url, init) => {
    asked.push(`${init.method} ${new URL(url).pathname}${new URL(url).search}`);
    return fetch(url, init);
  };
  return { asked, fetch: noted };
}

describe("a KV namespace", { timeout: 60_000 }, () => {
  const forebay = new Forebay({ url });
  const any = new Forebay({ url: anyUrl }).kv("shop", "any");
  const stocks = forebay.kv("shop", "STOCK_CACHE");
  const servers = [];
  after(() => servers.forEach((server) => server.close()));

  /** The address of a server that answers the n-th request with `answers[n]`, and the last for ever; and what it was asked. */
  async function played(...answers) {
    const asked = [];
    const server = createServer(async (request, response) => {
      const body = [];
      for await (const part of request) body.push(part);
      asked.push({ method: request.method, url: request.url, headers: request.headers, body: Buffer.concat(body) });
      answers[Math.min(asked.length, answers.length) - 1](request, response);
    });
    servers.push(server);
    await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
    return { asked, url: `http://127.0.0.1:${server.address().port}` };
  }

  /** An answer with a problem. */
  const problem = (status, code, headers = {}) => (_, response) => {
    response.writeHead(status, { "content-type": "application/problem+json", ...headers });
    response.end(JSON.stringify({ status, code, detail: `the words for ${code}`, request_id: "r1" }));
  };
  const fine = (_, response) => response.end("fine");
  const cut = (request) => request.socket.destroy();

  test("what is put comes back in each form", async () => {
    const text = '{"price": 11.20, "name": "浦发银行", "long": 12345678901234567890}';
    await any.put("a", text);
    assert.equal(await any.get("a"), text, "letter by letter");
    assert.equal(await any.get("a", "text"), text);
    assert.equal((await any.get("a", { type: "json" })).name, "浦发银行");
    assert.deepEqual(new Uint8Array(await any.get("a", "arrayBuffer")), new TextEncoder().encode(text));
    const stream = await any.get("a", { type: "stream", cacheTtl: 60 });
    assert.ok(stream instanceof ReadableStream);
    assert.equal(await new Response(stream).text(), text);
  });

  test("bytes come back as they were, whatever they came in", async () => {
    const stream = new ReadableStream({
      start(controller) {
        controller.enqueue(bytes.slice(0, 500));
        controller.enqueue(bytes.slice(500));
        controller.close();
      },
    });
    const within = new Uint8Array(2_048);
    within.set(bytes, 7);
    for (const value of [bytes, bytes.buffer.slice(0), new DataView(within.buffer, 7, 1_024), stream]) {
      await any.put("bytes", value);
      assert.deepEqual(new Uint8Array(await any.get("bytes", "arrayBuffer")), bytes);
    }
    await any.put("empty", "");
    const found = await Promise.all(["bytes", "empty", "bytes"].map((key) => any.get(key, "arrayBuffer")));
    assert.deepEqual(new Uint8Array(found[0]), bytes, "also where they were gathered");
    assert.equal(found[1].byteLength, 0);
    assert.notEqual(found[0], found[2], "each has a copy of its own");
    assert.equal(await any.get("empty"), "");
  });

  test("a mark of the order of bytes is a letter like others", async () => {
    await any.put("mark", "\ufeff1");
    const [one, other] = await Promise.all([any.get("mark"), any.get("mark/none")]);
    assert.deepEqual([one, other, await any.get("mark")], ["\ufeff1", null, "\ufeff1"]);
    assert.equal(await any.get("mark", "json"), 1);
  });

  test("keys are any letters", async () => {
    const keys = ["a/b", "a%2Fb", "a%b", ".a", "a/..", "../a", "股票:六零零", "a b?c#d&e=f+g", "\u0000\n", "a:get", "😀", "%2e"];
    for (const key of keys) await any.put(key, `of ${key}`);
    for (const key of keys) assert.equal(await any.get(key), `of ${key}`);
    const found = await any.get(keys);
    assert.deepEqual([...found], keys.map((key) => [key, `of ${key}`]), "in their order");
    const listed = (await any.list()).keys.map(({ name }) => name);
    for (const key of keys) assert.ok(listed.includes(key), key);
    for (const key of keys) await any.delete(key);
    assert.ok((await Promise.all(keys.map((key) => any.get(key)))).every((value) => value === null));
  });

  test("what is no key is refused before it is sent", async () => {
    const { asked, fetch } = noting();
    const silent = new Forebay({ url: anyUrl, fetch }).kv("shop", "any");
    for (const key of ["", undefined, null, 7, ".", "..", "\ud800"]) {
      await assert.rejects(silent.get(key), TypeError, String(key));
      await assert.rejects(silent.put(key, "x"), TypeError, String(key));
      await assert.rejects(silent.delete(key), TypeError, String(key));
    }
    const long = "股".repeat(171);
    await assert.rejects(silent.get(long), { name: "KVError", status: 414, verb: "GET", message: /^KV GET failed: 414 .*513 bytes/ });
    await assert.rejects(silent.put(long, "x"), /^KVError: KV PUT failed: 414 /);
    await assert.rejects(silent.delete(long), /^KVError: KV DELETE failed: 414 /);
    assert.deepEqual(asked, []);
    await silent.put(long.slice(1), "fits");
    assert.equal(await silent.get(long.slice(1)), "fits");
  });

  test("what is no value, option or form is refused before it is sent", async () => {
    const { asked, fetch } = noting();
    const silent = new Forebay({ url: anyUrl, fetch }).kv("shop", "any");
    for (const value of [undefined, null, 7, {}, [1]]) await assert.rejects(silent.put("a", value), TypeError);
    for (const expirationTtl of [0, -1, NaN, Infinity, "3"]) await assert.rejects(silent.put("a", "x", { expirationTtl }), TypeError);
    for (const expiration of [0, -1, NaN, "soon"]) await assert.rejects(silent.put("a", "x", { expiration }), TypeError);
    await assert.rejects(silent.get("a", "xml"), TypeError);
    await assert.rejects(silent.get("a", { cacheTtl: -1 }), TypeError);
    await assert.rejects(silent.get(["a"], "stream"), TypeError);
    await assert.rejects(silent.get([]), { status: 400 });
    await assert.rejects(silent.get(Array(101).fill("a")), { name: "KVError", status: 400 });
    assert.deepEqual(asked, []);
  });

  test("metadata comes back with its value", async () => {
    for (const metadata of [{ by: "安", n: [1, 2.5] }, "text", 0, false]) {
      await any.put("kept", "value", { metadata });
      const alone = await any.getWithMetadata("kept");
      assert.deepEqual([alone.value, alone.metadata], ["value", metadata]);
      const [gathered] = await Promise.all([any.getWithMetadata("kept"), any.get("none")]);
      assert.deepEqual([gathered.value, gathered.metadata], ["value", metadata]);
      const streamed = await any.getWithMetadata("kept", "stream");
      assert.deepEqual([await new Response(streamed.value).text(), streamed.metadata], ["value", metadata]);
      const many = await any.getWithMetadata(["kept", "none"], "text");
      assert.deepEqual(many.get("kept").metadata, metadata);
      assert.deepEqual(many.get("none"), { value: null, metadata: null, cacheStatus: null });
      assert.deepEqual((await any.list({ prefix: "kept" })).keys[0].metadata, metadata);
    }
    await any.put("kept", "value");
    assert.equal((await any.getWithMetadata("kept")).metadata, null, "a put without it leaves none");
    assert.deepEqual(await any.getWithMetadata("none", "stream"), { value: null, metadata: null, cacheStatus: "HIT" });
    await assert.rejects(any.put("kept", "x", { metadata: "x".repeat(1_023) }), { code: "too_large", status: 413 });
  });

  test("a namespace may keep to the limits of Workers KV", async () => {
    const strict = forebay.kv("shop", "strict");
    const refused = (status, code, message) => ({ name: "KVError", verb: "PUT", status, code, message });
    const short = /^KV PUT failed: 400 .*: Invalid expiration_ttl of 3\. Expiration TTL must be at least 60\.$/;
    await assert.rejects(strict.put("strict:a", "x", { expirationTtl: 3 }), refused(400, "short_life", short));
    const second = Math.floor(Date.now() / 1_000);
    const soon = new RegExp(`Invalid expiration of ${second + 50}\\. Expiration times must be at least 60 seconds in the future\\.$`);
    await assert.rejects(strict.put("strict:a", "x", { expiration: second + 50 }), refused(400, "short_life", soon));
    await assert.rejects(strict.put("strict:a", "x", { expiration: second - 1 }), refused(400, "short_life", /greater than the current number/));
    assert.equal(await strict.get("strict:a"), null);
    await strict.put("strict:a", "1", { expirationTtl: 60 });
    const again = strict.put("strict:a", "2", { expiration: second + 3_600 });
    await assert.rejects(again, (error) => error.status === 429 && error.code === "too_often" && error.retryAfterMs === 1_000);
    assert.equal(await strict.get("strict:a"), "1");
    await strict.delete("strict:a");
    assert.equal(await strict.get("strict:a"), null);
  });

  test("values end when their writers say", async () => {
    await any.put("brief", "x", { expirationTtl: 0.05 });
    while ((await any.get("brief")) !== null);
    const second = Math.floor(Date.now() / 1_000) + 3_600;
    await any.put("at", "x", { expiration: second });
    await any.put("for", "x", { expirationTtl: 120, expiration: second });
    const { keys } = await any.list({ prefix: "at" });
    assert.ok(Math.abs(keys[0].expiration - second) <= 1, JSON.stringify(keys));
    const listed = await any.list({ prefix: "for" });
    assert.ok(listed.keys[0].expiration <= Date.now() / 1_000 + 120, "the span wins");
    await assert.rejects(any.put("at", "x", { expiration: 1 }), { name: "KVError", status: 400, code: "bad_query" });
  });

  test("lists go page by page", async () => {
    const names = Array.from({ length: 25 }, (_, number) => `list:${number}`).sort();
    await Promise.all(names.map((name) => any.put(name, "x")));
    const found = [];
    let cursor;
    for (let pages = 0; ; pages++) {
      const page = await any.list({ prefix: "list:", limit: 10, cursor });
      found.push(...page.keys.map(({ name }) => name));
      assert.equal(page.cacheStatus, null);
      if (page.list_complete) {
        assert.deepEqual([pages >= 2, "cursor" in page], [true, false]);
        break;
      }
      cursor = page.cursor;
    }
    assert.deepEqual(found, names);
    assert.deepEqual(await any.list({ prefix: "no/such", limit: 0, cursor: null }), { keys: [], list_complete: true, cacheStatus: null });
    await assert.rejects(any.list({ limit: 1_001 }), { code: "bad_query", message: /^KV LIST failed: 400 / });
    await assert.rejects(any.list({ prefix: "other", cursor }), { code: "bad_cursor" });
  });

  test("many keys are one request", async () => {
    const { asked, fetch } = noting();
    const kv = new Forebay({ url: anyUrl, fetch }).kv("shop", "any");
    await Promise.all([any.put("m1", '{"n": 1.0}'), any.put("m2", "2")]);
    assert.deepEqual([...(await kv.get(["m1", "none", "m2", "m1"]))], [["m1", '{"n": 1.0}'], ["none", null], ["m2", "2"]]);
    assert.deepEqual([...(await kv.get(["m1", "none"], "json"))], [["m1", { n: 1 }], ["none", null]]);
    assert.deepEqual(asked, ["POST /v1/shop/any:get", "POST /v1/shop/any:get"]);
    await any.put("m2", "{");
    await assert.rejects(kv.get(["m1", "m2"], "json"), { name: "KVError", status: 400, message: /"m2" is no JSON/ });
    await assert.rejects(kv.get("m2", "json"), SyntaxError);
    await assert.rejects(stocks.get(["stock:a", "index:a"]), { code: "bad_key", status: 400 });
  });

  test("gets of one turn go together", async () => {
    const { asked, fetch } = noting();
    const kv = new Forebay({ url: anyUrl, fetch }).kv("shop", "any");
    await Promise.all([any.put("t1", '{"n":1}'), any.put("t2", "two")]);
    const gets = [kv.get("t1"), kv.get("t1", "json"), kv.get("t2"), kv.getWithMetadata("none"), kv.get("t1", "stream")];
    const [text, json, other, none] = await Promise.all(gets);
    assert.deepEqual([text, json, other, none.value], ['{"n":1}', { n: 1 }, "two", null]);
    assert.deepEqual(asked.sort(), ["GET /v1/shop/any/t1", "POST /v1/shop/any:get"], "a stream goes by itself");
    asked.length = 0;
    assert.deepEqual(await Promise.all([kv.get("t2"), kv.get("t2")]), ["two", "two"]);
    assert.equal(await kv.get("t2"), "two");
    assert.deepEqual(asked, ["GET /v1/shop/any/t2", "GET /v1/shop/any/t2"], "what is asked for alone is a GET");
    asked.length = 0;
    const many = Array.from({ length: 1_001 }, (_, number) => `t${number}`);
    assert.equal((await Promise.all(many.map((key) => kv.get(key)))).filter((value) => value !== null).length, 2);
    assert.deepEqual(asked.sort(), ["GET /v1/shop/any/t1000", "POST /v1/shop/any:get"]);
    asked.length = 0;
    const apart = new Forebay({ url: anyUrl, fetch }).kv("shop", "any", { gather: false });
    await Promise.all([apart.get("t1"), apart.get("t2")]);
    assert.deepEqual(asked, ["GET /v1/shop/any/t1", "GET /v1/shop/any/t2"]);
  });

  test("each get of a turn has its own error", async () => {
    const [own, other, wrong] = await Promise.allSettled([stocks.get("stock:a"), stocks.get("index:a"), stocks.get("stock:a", "xml")]);
    assert.equal(JSON.parse(own.value).price, 1);
    assert.ok(other.reason instanceof KVError);
    assert.deepEqual([other.reason.code, other.reason.status], ["bad_key", 400]);
    assert.ok(wrong.reason instanceof TypeError);
    const away = new Forebay({ url }).kv("shop", "no such");
    for (const ended of await Promise.allSettled([away.get("a"), away.get("b")])) assert.equal(ended.reason.code, "no_namespace");
  });

  test("what finds no room in an answer is asked for again", async () => {
    const large = "x".repeat(12 * 1024 * 1024);
    const keys = ["large:1", "large:2", "large:3"];
    for (const key of keys) await any.put(key, large);
    const { asked, fetch } = noting();
    const kv = new Forebay({ url: anyUrl, fetch }).kv("shop", "any");
    const found = await Promise.all(keys.map((key) => kv.get(key)));
    assert.ok(found.every((value) => value === large));
    assert.ok(asked.length >= 2, String(asked));
    await assert.rejects(any.put("larger", "x".repeat(25 * 1024 * 1024 + 1)), { name: "KVError", status: 413, code: "too_large" });
    for (const key of keys) await any.delete(key);
  });

  test("an absence is null, and what leads nowhere an error", async () => {
    assert.equal(await stocks.get("stock:none"), null);
    assert.equal(await stocks.get("stock:none", "stream"), null);
    await assert.rejects(forebay.kv("shop", "none").get("a"), { status: 404, code: "no_namespace" });
    await assert.rejects(forebay.kv("none", "any").get("a"), { status: 404, code: "no_keyspace" });
    await assert.rejects(forebay.kv("shop", "price").put("price:a", "1"), {
      name: "KVError",
      verb: "PUT",
      status: 403,
      code: "writes_refused",
      message: /^KV PUT failed: 403 .*price/,
      requestId: /./,
    });
  });

  test("a key that is deleted is gone, and one that was not there too", async () => {
    await any.put("gone", "x");
    assert.equal(await any.delete("gone"), undefined);
    assert.equal(await any.get("gone"), null);
    assert.equal(await any.delete("gone"), undefined);
  });

  test("reads are sent again, and what may have been written is not", async () => {
    for (const passing of [cut, problem(503, "overloaded", { "retry-after": "0" }), (_, response) => response.writeHead(502).end()]) {
      const reads = await played(passing, passing, fine);
      assert.equal(await new Forebay({ url: reads.url }).kv("k", "n").get("a"), "fine");
      assert.equal(reads.asked.length, 3);
      const writes = await played(passing, fine);
      const kv = new Forebay({ url: writes.url }).kv("k", "n");
      await assert.rejects(kv.put("a", "x"), (error) => error instanceof KVError && !error.nothingDone);
      assert.equal(writes.asked.length, 1);
      const once = await played(passing, fine);
      await assert.rejects(new Forebay({ url: once.url, retries: 0 }).kv("k", "n").get("a"), KVError);
    }
    const often = await played(cut);
    await assert.rejects(new Forebay({ url: often.url }).kv("k", "n").get("a"), { code: "unreachable", mayRetry: true });
    assert.equal(often.asked.length, 3);
    const refused = await played(problem(400, "bad_key"), fine);
    await assert.rejects(new Forebay({ url: refused.url }).kv("k", "n").get("a"), { code: "bad_key", requestId: "r1" });
    assert.equal(refused.asked.length, 1, "what cannot succeed later is not sent again");
  });

  test("a write is sent again where nothing was written", async () => {
    const busy = problem(503, "bodies_full", { "retry-after": "0" });
    const writes = await played(busy, busy, (_, response) => response.writeHead(204).end());
    const kv = new Forebay({ url: writes.url }).kv("k", "n");
    await kv.put("a/b", "值", { expirationTtl: 3, metadata: "å" });
    assert.equal(writes.asked.length, 3);
    const { method, url: path, headers, body } = writes.asked[2];
    assert.deepEqual([method, path, body.toString()], ["PUT", "/v1/k/n/a%2Fb?ttl=3000ms", "值"]);
    assert.equal(headers["forebay-metadata"], '"\\u00e5"');
    const streams = await played(busy, fine);
    const stream = new Response("once").body;
    await assert.rejects(new Forebay({ url: streams.url }).kv("k", "n").put("a", stream), { code: "bodies_full" });
    assert.equal(streams.asked.length, 1, "a stream is sent once");
  });

  test("a server that is not there, and one that is none of ours", async () => {
    const closed = createServer();
    await new Promise((resolve) => closed.listen(0, "127.0.0.1", resolve));
    const { port } = closed.address();
    await new Promise((resolve) => closed.close(resolve));
    const away = new Forebay({ url: `http://127.0.0.1:${port}` }).kv("k", "n");
    await assert.rejects(away.put("a", "x"), (error) => error.code === "unreachable" && error.nothingDone && /ECONNREFUSED/.test(error.message));
    const other = await played((_, response) => response.writeHead(404).end("Not here"));
    await assert.rejects(new Forebay({ url: other.url }).kv("k", "n").get("a"), { code: "http_404", message: "KV GET failed: 404 Not here" });
    const html = await played((_, response) => response.end("<html>"));
    await assert.rejects(new Forebay({ url: html.url }).kv("k", "n").get(["a", "b"]), { code: "bad_answer" });
    const odd = await played((_, response) => response.writeHead(200, { "forebay-metadata": "{" }).end("x"));
    await assert.rejects(new Forebay({ url: odd.url }).kv("k", "n").get("a"), { code: "bad_answer" });
    assert.equal(odd.asked.length, 1);
    const empty = await played((_, response) => response.end('{"entries":[],"unread":["a"]}'));
    await assert.rejects(new Forebay({ url: empty.url }).kv("k", "n").get(["a"]), { code: "bad_answer" });
  });

  test("no call takes longer than its deadline", async () => {
    const silent = await played(() => {});
    const kv = new Forebay({ url: silent.url, timeoutMs: 30 }).kv("k", "n");
    await assert.rejects(kv.get("a"), { name: "KVError", code: "timeout", status: undefined, message: "KV GET failed: no answer within 30 ms" });
    await assert.rejects(kv.put("a", "x"), (error) => error.code === "timeout" && !error.nothingDone);
    assert.equal(silent.asked.length, 2, "what was late is not sent again");
    const begun = await played((_, response) => response.writeHead(200, { "content-length": "9" }).write("some"));
    await assert.rejects(new Forebay({ url: begun.url, timeoutMs: 30 }).kv("k", "n").get("a"), { code: "timeout" }, "its body too");
    const later = await played(problem(503, "overloaded", { "retry-after": "60" }));
    await assert.rejects(new Forebay({ url: later.url }).kv("k", "n").get("a"), { code: "overloaded", retryAfterMs: 60_000 });
    assert.equal(later.asked.length, 1, "nobody waits beyond it");
    servers.forEach((server) => server.closeAllConnections());
  });

  test("a client that is made wrongly says so", () => {
    for (const options of [{ url: "here" }, { url, timeoutMs: 0 }, { url, timeoutMs: 2 ** 31 }, { url, retries: -1 }, { url, retries: 1.5 }]) {
      assert.throws(() => new Forebay(options), TypeError);
    }
    assert.throws(() => forebay.kv("", "n"), TypeError);
    assert.throws(() => forebay.kv("k", undefined), TypeError);
    assert.ok(new KVError("GET", new ForebayError("x", { code: "c" })) instanceof ForebayError);
  });

  test("a server may stand below a path", async () => {
    const below = await played(fine);
    await new Forebay({ url: `${below.url}/cache/` }).kv("k", "n").get("a");
    assert.equal(below.asked[0].url, "/cache/v1/k/n/a");
  });
});
