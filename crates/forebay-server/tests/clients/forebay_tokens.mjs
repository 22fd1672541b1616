// Our own client, against a server that asks for tokens: `writer-secret` may read and write, `reader-secret` only read.
//
// `FOREBAY_HTTP` is the server's address.

import assert from "node:assert/strict";
import { describe, test } from "node:test";

import { Forebay } from "../../../../clients/js/index.js";

const url = `http://${process.env.FOREBAY_HTTP}`;

describe("forebay with tokens", { timeout: 60_000 }, () => {
  const scratch = (token) => new Forebay({ url, token }).kv("shop", "scratch");

  test("nobody is answered without a token", async () => {
    for (const token of [undefined, "wrong"]) {
      await assert.rejects(scratch(token).get("scratch:a"), { name: "KVError", status: 401, code: "unauthorized" });
    }
  });

  test("a token is shown", async () => {
    await scratch("writer-secret").put("scratch:a", "mine");
    assert.equal(await scratch("writer-secret").get("scratch:a"), "mine");
  });

  test("a reader reads, also many at once, and does not write", async () => {
    await scratch("writer-secret").put("scratch:a", "mine");
    const reader = scratch("reader-secret");
    assert.equal((await reader.get(["scratch:a", "scratch:b"])).get("scratch:a"), "mine");
    assert.deepEqual(await Promise.all([reader.get("scratch:a"), reader.get("scratch:none")]), ["mine", null]);
    await assert.rejects(reader.put("scratch:a", "x"), { status: 403, code: "forbidden" });
    await assert.rejects(reader.delete("scratch:a"), { status: 403, code: "forbidden" });
  });
});
