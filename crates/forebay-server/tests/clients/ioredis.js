// ioredis, as it comes, against a server that declares `item:{code}` and keeps all other keys in its default store.
//
// `FOREBAY_RESP` is the server's address. Each test begins with an empty store. The value of `item:a` is told by `FOREBAY_ITEM_A`.

"use strict";

const assert = require("node:assert/strict");
const { once } = require("node:events");
const { after, afterEach, beforeEach, describe, test } = require("node:test");
const Redis = require("ioredis");

const [, host, port] = process.env.FOREBAY_RESP.match(/^(.*):(\d+)$/);
const itemA = process.env.FOREBAY_ITEM_A;

describe("ioredis", { timeout: 60_000 }, () => {
  const db = connect();
  let others = [];

  beforeEach(() => db.flushdb());
  afterEach(() => {
    others.forEach((client) => client.disconnect());
    others = [];
  });
  after(() => db.disconnect());

  function connect(options = {}) {
    return new Redis({ host, port: Number(port), commandTimeout: 10_000, ...options });
  }

  function other(options) {
    const client = connect(options);
    others.push(client);
    return client;
  }

  test("strings", async () => {
    assert.equal(await db.set("name", "naïve ✓"), "OK");
    assert.equal(await db.get("name"), "naïve ✓");
    assert.equal(await db.get("none"), null);
    assert.equal(await db.set("name", "x", "NX"), null);
    assert.equal(await db.set("name", "x", "EX", 100, "GET"), "naïve ✓");
    assert.equal(await db.mset({ a: 1, b: 2 }), "OK");
    assert.deepEqual(await db.mget("a", "none", "b"), ["1", null, "2"]);
    assert.equal(await db.incrby("a", 41), 42);
    assert.equal(await db.append("name", "yz"), 3);
    assert.equal(await db.getdel("name"), "xyz");
    assert.equal(await db.del("a", "b", "name"), 2);
  });

  test("bytes come back as they were", async () => {
    const value = Buffer.from(Array.from({ length: 1_024 }, (_, at) => at % 256));
    await db.set(Buffer.from([0, 255]), value);
    assert.deepEqual(await db.getBuffer(Buffer.from([0, 255])), value);
  });

  test("hashes", async () => {
    assert.equal(await db.hset("h", { one: 1, two: 2 }), 2);
    assert.deepEqual(await db.hgetall("h"), { one: "1", two: "2" });
    assert.deepEqual(await db.hmget("h", "two", "none"), ["2", null]);
    assert.equal(await db.hincrby("h", "one", 9), 10);
    assert.equal(await db.hdel("h", "two", "none"), 1);
    await db.set("s", "text");
    await assert.rejects(db.hget("s", "one"), /^ReplyError: WRONGTYPE/);
  });

  test("sorted sets", async () => {
    assert.equal(await db.zadd("z", 1, "a", 2.5, "b", "inf", "c"), 3);
    assert.deepEqual(await db.zrange("z", 0, -1, "WITHSCORES"), ["a", "1", "b", "2.5", "c", "inf"]);
    assert.equal(await db.zscore("z", "b"), "2.5");
    assert.equal(await db.zrevrank("z", "c"), 0);
    assert.deepEqual(await db.zrangebyscore("z", "(1", 9), ["b"]);
    assert.deepEqual(await db.zpopmin("z"), ["a", "1"]);
    assert.equal(await db.zcard("z"), 2);
  });

  test("values end", async () => {
    await db.set("a", 1, "EX", 100);
    const left = await db.ttl("a");
    assert.ok(left > 90 && left <= 100, String(left));
    assert.equal(await db.persist("a"), 1);
    assert.equal(await db.pexpire("a", 1), 1);
    while (await db.exists("a"));
    assert.equal(await db.get("a"), null);
  });

  test("pipelines", async () => {
    const pipeline = db.pipeline();
    for (let number = 0; number < 2_000; number++) pipeline.set(`key:${number}`, number).get(`key:${number}`);
    const said = await pipeline.exec();
    assert.equal(said.length, 4_000);
    said.forEach(([error, reply], at) => {
      assert.equal(error, null);
      assert.equal(reply, at % 2 === 0 ? "OK" : String((at - 1) / 2));
    });
    const [, [error], [, last]] = await db.pipeline().set("s", "x").incr("s").get("s").exec();
    assert.match(error.message, /not an integer/);
    assert.equal(last, "x");
  });

  test("commands of one turn go together where that is asked for", async () => {
    const client = other({ enableAutoPipelining: true });
    await client.set("warm", 1);
    const commands = Array.from({ length: 500 }, (_, number) => client.incr("count").then((sum) => sum === number + 1));
    assert.equal(client.autoPipelineQueueSize, 500);
    assert.ok((await Promise.all(commands)).every(Boolean));
  });

  test("transactions", async () => {
    const said = await db.multi().set("a", 1).hset("h", "f", "v").zadd("z", 1, "m").incr("a").exec();
    assert.deepEqual(said, [[null, "OK"], [null, 1], [null, 1], [null, 2]]);
    await assert.rejects(db.multi().set("a", 5).call("NOSUCH").exec(), /EXECABORT/);
    assert.equal(await db.get("a"), "2", "nothing of a transaction that is refused is done");
    await db.multi({ pipeline: false });
    assert.equal(await db.set("b", 1), "QUEUED");
    assert.deepEqual(await db.exec(), [[null, "OK"]]);
  });

  test("a watched key that changes ends the transaction", async () => {
    await db.set("stock", 5);
    await db.watch("stock");
    await other().set("stock", 4);
    assert.equal(await db.multi().set("stock", 0).exec(), null);
    assert.equal(await db.get("stock"), "4");
  });

  test("contended transactions lose nothing", async () => {
    async function work(client) {
      for (let done = 0; done < 25; ) {
        await client.watch("count");
        const before = Number(await client.get("count"));
        if (await client.multi().set("count", before + 1).exec()) done++;
      }
    }
    await Promise.all(Array.from({ length: 4 }, () => work(other())));
    assert.equal(await db.get("count"), "100");
  });

  test("channels", async () => {
    const channels = other();
    assert.equal(await channels.subscribe("news"), 1);
    assert.equal(await channels.psubscribe("w*"), 2);
    const news = once(channels, "message");
    const weather = once(channels, "pmessage");
    assert.equal(await db.publish("news", "one"), 1);
    assert.equal(await db.publish("weather", "two"), 1);
    assert.equal(await db.publish("none", "three"), 0);
    assert.deepEqual(await news, ["news", "one"]);
    assert.deepEqual(await weather, ["w*", "weather", "two"]);
    assert.equal(await channels.unsubscribe("news"), 1);
    assert.equal(await channels.punsubscribe("w*"), 0);
    assert.equal(await channels.set("a", 1), "OK", "it takes other commands again");
  });

  test("scans tell of everything once", async () => {
    const keys = Array.from({ length: 3_000 }, (_, number) => `user:${number}`);
    await db.mset(Object.fromEntries(keys.map((key) => [key, "x"])));
    await db.set("else", "x");
    const found = [];
    for await (const some of db.scanStream({ match: "user:*", count: 100 })) found.push(...some);
    assert.deepEqual(found.sort(), keys.sort());
    const fields = Object.fromEntries(Array.from({ length: 1_000 }, (_, number) => [`f${number}`, String(number)]));
    await db.hset("h", fields);
    const pairs = [];
    for await (const some of db.hscanStream("h")) pairs.push(...some);
    assert.equal(pairs.length, 2_000);
    assert.equal(pairs[pairs.indexOf("f7") + 1], "7");
  });

  test("keys have a prefix where that is asked for", async () => {
    const client = other({ keyPrefix: "app:" });
    await client.set("a", 1);
    await client.multi().incr("a").hset("h", "f", 1).exec();
    assert.equal(await db.get("app:a"), "2");
    assert.equal(await db.get("a"), null);
    assert.equal(await db.exists("app:h"), 1);
  });

  test("a client is ready when the server says so, and connects when it is told to", async () => {
    const client = other({ lazyConnect: true, enableReadyCheck: true, connectionName: "lazy" });
    assert.equal(client.status, "wait");
    await client.connect();
    assert.equal(client.status, "ready");
    const line = (await db.client("LIST")).split("\n").find((line) => line.includes(" name=lazy "));
    assert.match(line, / cmd=info /, "it has asked whether the server is ready");
  });

  test("a connection that was cut is made anew", async () => {
    const client = other();
    await client.set("a", 1);
    const first = await client.client("ID");
    const anew = once(client, "reconnecting");
    assert.equal(await db.client("KILL", "ID", first), 1);
    await anew;
    assert.equal(await client.get("a"), "1");
    assert.notEqual(await client.client("ID"), first);
    const channels = other();
    await channels.subscribe("news");
    const again = once(channels, "ready");
    await db.client("KILL", "TYPE", "pubsub");
    await again;
    const news = once(channels, "message");
    while ((await db.publish("news", "one")) === 0);
    assert.deepEqual(await news, ["news", "one"], "what it was subscribed to, it is again");
  });

  test("scripts are refused clearly", async () => {
    await assert.rejects(db.eval("return 1", 0), /ERR unknown command 'eval'/);
    db.defineCommand("twice", { numberOfKeys: 1, lua: "return 2" });
    await assert.rejects(db.twice("a"), /ERR unknown command 'eval(sha)?'/);
    await assert.rejects(db.blpop("list", 1), /ERR unknown command 'blpop'/);
    assert.match(await db.info("cluster"), /cluster_enabled:0/);
  });

  test("a declared namespace is read through", async () => {
    assert.equal(await db.get("item:a"), itemA);
    assert.deepEqual(await db.mget("item:a", "item:none"), [itemA, null]);
    assert.equal(await db.exists("item:a"), 1);
    assert.equal(await db.call("FB.INVALIDATE", "item:a"), 1);
    assert.equal(await db.exists("item:a"), 0);
    assert.deepEqual(await db.multi().get("item:a").set("mine", 1).exec(), [[null, itemA], [null, "OK"]]);
    await assert.rejects(db.set("item:a", "x"), /FBREFUSED/);
  });
});
