// ioredis, as it comes, against a server that asks for tokens: `writer-secret` may read and write, `reader-secret` only read.
//
// `FOREBAY_RESP` is the server's address.

"use strict";

const assert = require("node:assert/strict");
const { afterEach, describe, test } = require("node:test");
const Redis = require("ioredis");

const [, host, port] = process.env.FOREBAY_RESP.match(/^(.*):(\d+)$/);

describe("ioredis with tokens", { timeout: 60_000 }, () => {
  let clients = [];

  afterEach(() => {
    clients.forEach((client) => client.disconnect());
    clients = [];
  });

  /** A client that waits to be connected, and does not try again. */
  function client(options) {
    const one = new Redis({ host, port: Number(port), lazyConnect: true, retryStrategy: null, commandTimeout: 10_000, ...options });
    // What goes wrong is told to whoever asked.
    one.on("error", () => {});
    clients.push(one);
    return one;
  }

  test("nobody is answered without a token", async () => {
    await assert.rejects(client({}).get("item:a"), /NOAUTH/);
  });

  test("a wrong token is refused", async () => {
    for (const username of [undefined, "writer"]) {
      const refused = client({ username, password: "wrong" });
      const said = new Promise((resolve) => refused.on("error", resolve));
      await refused.connect().catch(() => {});
      assert.match((await said).message, /WRONGPASS/);
      await assert.rejects(refused.get("item:a"));
    }
  });

  test("a token is shown by itself or with its name", async () => {
    for (const username of [undefined, "writer"]) {
      const writer = client({ username, password: "writer-secret" });
      assert.equal(await writer.set("mine", String(username)), "OK");
      assert.equal(await writer.get("mine"), String(username));
      assert.equal(await writer.acl("WHOAMI"), "writer");
    }
  });

  test("a reader does not write", async () => {
    const reader = client({ password: "reader-secret" });
    assert.equal(await reader.get("item:a"), '{"code":"a","price":1}');
    await assert.rejects(reader.set("mine", "x"), /NOPERM/);
  });
});
