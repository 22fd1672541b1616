// Reads with their outcomes by our own client, against a server that declares what `serving/libraries.rs` calls `STOCKS`.
//
// `FOREBAY_HTTP` is the server's address, `FOREBAY_ANY_HTTP` that of one whose only namespace, `any`, takes any key.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { describe, test } from "node:test";

import * as client from "../../../../clients/js/index.js";

const { Forebay, ForebayError } = client;
const url = `http://${process.env.FOREBAY_HTTP}`;
const anyUrl = `http://${process.env.FOREBAY_ANY_HTTP}`;

describe("forebay", { timeout: 60_000 }, () => {
  const forebay = new Forebay({ url });
  const price = forebay.namespace("shop", "price");
  const any = new Forebay({ url: anyUrl }).keyspace("shop").namespace("any");

  test("a read tells where it came from", async () => {
    await price.invalidate({ all: true });
    const first = await price.get("price:a");
    assert.deepEqual(
      [first.value, first.state, first.cache, first.age, first.contentType, first.metadata],
      [{ code: "a", price: 1 }, "fresh", "MISS", 0, "application/json", null],
    );
    assert.match(first.etag, /^".+"$/);
    const again = await price.get("price:a");
    assert.deepEqual([again.cache, again.etag], ["HIT", first.etag]);
    assert.equal((await price.getFresh("price:a")).cache, "MISS");
  });

  test("an absence is an outcome", async () => {
    const none = await price.get("price:none");
    assert.deepEqual([none.value, none.state, none.etag, none.contentType], [null, "absent", undefined, undefined]);
  });

  test("many keys have an outcome each", async () => {
    const found = await price.getMany(["price:b", "price:none", "other:b", "price:x/y"]);
    assert.deepEqual([...found.keys()], ["price:b", "price:none", "other:b", "price:x/y"]);
    const { value, state, age, contentType } = found.get("price:b");
    assert.deepEqual([value, state, age, contentType], [{ code: "b", price: 2 }, "fresh", 0, "application/json"]);
    assert.deepEqual([found.get("price:none").value, found.get("price:none").state], [null, "absent"]);
    const failed = found.get("other:b");
    assert.ok(failed.error instanceof ForebayError);
    assert.deepEqual([failed.state, failed.error.code, failed.error.status], ["failed", "bad_key", 400]);
    assert.equal((await any.getMany(Array.from({ length: 1_500 }, (_, number) => `many:${number}`))).size, 1_500);
    assert.equal((await any.getMany([])).size, 0);
  });

  test("values come back as what they are", async () => {
    const bytes = Uint8Array.of(0, 255, 128);
    for (const [value, contentType, back] of [
      [{ n: [1, null], name: "å" }, "application/json"],
      ["text å", "text/plain; charset=utf-8"],
      [null, "application/json"],
      [7, "application/json"],
      [bytes, "application/octet-stream"],
      [bytes.buffer.slice(0), "application/octet-stream", bytes],
      [new Response(bytes).body, "application/octet-stream", bytes],
    ]) {
      await any.put("typed", value);
      const wanted = [back ?? value, contentType];
      const alone = await any.get("typed");
      assert.deepEqual([alone.value, alone.contentType], wanted);
      const among = (await any.getMany(["typed", "none"])).get("typed");
      assert.deepEqual([among.value, among.contentType], wanted);
    }
    await any.put("typed", "{", { contentType: "application/json" });
    assert.deepEqual((await any.get("typed")).value, new TextEncoder().encode("{"), "what is no JSON is bytes");
    assert.deepEqual((await any.getMany(["typed"])).get("typed").value, new TextEncoder().encode("{"));
    await assert.rejects(async () => any.put("typed", undefined), TypeError);
    await assert.rejects(async () => any.put("typed", () => {}), TypeError);
  });

  test("a put says how long, and what is kept with it", async () => {
    const { etag, created } = await any.put("note", "x", { ttl: "1h", metadata: { by: "安" } });
    assert.deepEqual([created, (await any.get("note")).etag], [false, etag]);
    assert.deepEqual((await any.get("note")).metadata, { by: "安" });
    const [{ key, expiresAt, metadata }] = (await any.list({ prefix: "note" })).keys;
    assert.deepEqual([key, metadata], ["note", { by: "安" }]);
    assert.ok(Math.abs(expiresAt - (Date.now() + 3_600_000)) < 10_000);
    const end = new Date(Date.now() + 7_200_000);
    await any.put("note", "x", { expiresAt: end });
    assert.ok(Math.abs((await any.list({ prefix: "note" })).keys[0].expiresAt - end) < 2_000);
    await any.put("note", "x", { ttl: 0.02 });
    while ((await any.get("note")).value !== null);
    await assert.rejects(async () => any.put("note", "x", { ttl: 0 }), TypeError);
    await assert.rejects(any.put("note", "x", { ttl: "soon" }), { code: "bad_query" });
  });

  test("writes keep to conditions", async () => {
    await any.delete("once");
    const { etag, created } = await any.put("once", "1", { ifNoneMatch: "*" });
    assert.equal(created, true);
    await assert.rejects(any.put("once", "2", { ifNoneMatch: "*" }), { code: "precondition_failed", status: 412 });
    await assert.rejects(any.delete("once", { ifMatch: '"another"' }), { code: "precondition_failed" });
    await any.put("once", "3", { ifMatch: etag });
    await any.delete("once", { ifMatch: (await any.get("once")).etag });
    assert.equal((await any.get("once")).state, "absent");
  });

  test("copies are dropped by key, by prefix, and all", async () => {
    await price.getMany(["price:a", "price:b"]);
    assert.equal(await price.invalidate({ keys: ["price:a", "price:never"] }), 1);
    assert.deepEqual([(await price.get("price:a")).cache, (await price.get("price:b")).cache], ["MISS", "HIT"]);
    assert.equal(await price.invalidate({ prefix: "price:" }), undefined);
    assert.equal((await price.get("price:b")).cache, "MISS");
    await price.invalidate({ all: true });
    assert.equal((await price.get("price:b")).cache, "MISS");
    assert.equal(await price.expire({ keys: ["price:b"] }), 1);
    assert.equal((await price.get("price:b")).cache, "MISS", "what is stale is not served here");
    for (const reach of [{}, { keys: ["price:a"], all: true }, { all: false }]) {
      await assert.rejects(async () => price.invalidate(reach), TypeError, "nothing is everything by mistake");
    }
    await assert.rejects(price.invalidate({ keys: ["other:a"] }), { code: "bad_key" });
  });

  test("copies are dropped by tag", async () => {
    const shop = forebay.keyspace("shop");
    await price.getMany(["price:a", "price:b"]);
    assert.equal(await shop.invalidate(["item:a"]), undefined);
    assert.deepEqual([(await price.get("price:a")).cache, (await price.get("price:b")).cache], ["MISS", "HIT"]);
    await shop.expire(["item:b"]);
    assert.equal((await price.get("price:b")).cache, "MISS");
  });

  test("keys are listed, page by page or one by one", async () => {
    const names = Array.from({ length: 1_200 }, (_, number) => `walk:${number}`).sort();
    await Promise.all(names.map((name) => any.put(name, "x")));
    const page = await any.list({ prefix: "walk:", limit: 3 });
    assert.deepEqual([page.keys.map(({ key }) => key), page.complete], [names.slice(0, 3), false]);
    assert.equal((await any.list({ prefix: "walk:", limit: 3, cursor: page.cursor })).keys[0].key, names[3]);
    const found = [];
    for await (const { key } of any.keys({ prefix: "walk:" })) found.push(key);
    assert.deepEqual(found, names);
    await Promise.all(names.map((name) => any.delete(name)));
    assert.deepEqual(await any.list({ prefix: "walk:" }), { keys: [], cursor: undefined, complete: true });
  });

  test("writes are refused in the server's words", async () => {
    await assert.rejects(price.put("price:a", 1), {
      name: "ForebayError",
      code: "writes_refused",
      status: 403,
      requestId: /./,
      mayRetry: false,
      nothingDone: false,
      message: /price/,
    });
    await assert.rejects(async () => price.get(""), TypeError);
    await assert.rejects(async () => price.get(".."), TypeError);
    await assert.rejects(async () => price.getMany(["price:a", "\ud800"]), TypeError);
    await assert.rejects(async () => price.put("price:a", 1, { ifMatch: "a\nb" }), TypeError);
    await assert.rejects(price.get("other:a"), { code: "bad_key" });
  });

  test("a server is reached by another fetch, called as a function", async () => {
    let self = "unasked";
    const own = new Forebay({
      url: new URL(url),
      fetch: function (...words) {
        self = this;
        return fetch(...words);
      },
    });
    assert.equal((await own.namespace("shop", "price").get("price:a")).value.price, 1);
    assert.equal(self, undefined);
  });

  test("the types name what there is", () => {
    const folder = new URL("../../../../clients/js/", import.meta.url);
    const types = readFileSync(new URL("index.d.ts", folder), "utf8");
    const classes = new Map([...types.matchAll(/^export class (\w+)[^{]*\{(.*?)^\}/gms)].map(([, name, body]) => [name, body]));
    assert.deepEqual([...classes.keys()].sort(), Object.keys(client).sort());
    // What the parts of the client use among themselves is not for others.
    const inside = { Namespace: ["open", "entries"] };
    for (const [name, body] of classes) {
      const told = new Set([...body.matchAll(/^ {2}(?:readonly )?(\w+)[<(:]/gm)].map(([, member]) => member));
      const has = Object.getOwnPropertyNames(client[name].prototype).filter((member) => member !== "constructor");
      for (const member of has) assert.ok(told.has(member) !== (inside[name] ?? []).includes(member), `${name}.${member}`);
    }
  });
});
