// The snippets of the design that the stocks app comes from, as they are (`seed_000.txt`), against a server that declares what
// `serving/libraries.rs` calls `STOCKS`: each runs in an asynchronous function that supplies what it leaves free, and does what it says.
//
// `FOREBAY_HTTP` and `FOREBAY_RESP` are the server's addresses. How long a copy has is asked of the server: its clock ends it.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { connect } from "node:net";
import { beforeEach, describe, test } from "node:test";

import { Forebay } from "../../../../clients/js/index.js";

const AsyncFunction = (async () => {}).constructor;
const text = readFileSync(new URL("seed_000.txt", import.meta.url), "utf8");
const snippets = [...text.matchAll(/^```javascript\n(.*?)^```$/gms)].map(([, code]) => code);
const [puts, reads, deletes, bulk, protection, warming] = snippets;

/** How far an end may be off, in milliseconds. */
const OFF_MS = 50;

/** Runs a snippet with these names; what it returns, or else what it leaves in `result`. */
function run(snippet, names, result = "undefined") {
  return new AsyncFunction(...Object.keys(names), `${snippet}\nreturn ${result};`)(...Object.values(names));
}

/** What the server answers to a command over RESP. */
function resp(command) {
  const [, host, port] = process.env.FOREBAY_RESP.match(/^(.*):(\d+)$/);
  return new Promise((resolve, reject) => {
    const socket = connect({ host, port: Number(port) }, () => socket.write(`${command}\r\n`));
    socket.once("error", reject);
    socket.once("data", (data) => {
      socket.destroy();
      resolve(data.toString().trimEnd());
    });
  });
}

/** Whether the copy of `key`, put between `before` and now, ends `seconds` after it was put. */
async function endsAfter(seconds, key, before) {
  const left = Number((await resp(`PTTL ${key}`)).replace(/^:/, ""));
  const passed = Date.now() - before;
  assert.ok(left <= seconds * 1_000 && left >= seconds * 1_000 - passed - OFF_MS, `${key} has ${left} ms left after ${passed} ms`);
}

const stock = (code, price) => ({
  code,
  name: "浦发银行",
  price,
  change: 0.67,
  change_pct: 6.34,
  volume: 1_500_000,
  timestamp: "2025-06-30T15:30:00Z",
});

describe("seed 000", { timeout: 60_000 }, () => {
  const forebay = new Forebay({ url: `http://${process.env.FOREBAY_HTTP}` });
  const asked = [];
  const noting = new Forebay({
    url: `http://${process.env.FOREBAY_HTTP}`,
    fetch: (url, init) => {
      asked.push(init.method);
      return fetch(url, init);
    },
  });
  const STOCK_CACHE = noting.kv("shop", "STOCK_CACHE");
  const MARKET_DATA = forebay.kv("shop", "MARKET_DATA");
  const USER_SESSIONS = forebay.kv("shop", "USER_SESSIONS");

  beforeEach(async () => {
    await forebay.namespace("shop", "STOCK_CACHE").invalidate({ all: true });
    asked.length = 0;
  });

  test("has six snippets", () => {
    assert.equal(snippets.length, 6);
  });

  test("puts with 3 s and 30 s, which are 3 s and 30 s", async () => {
    const stockData = stock("600000", 11.23);
    const indexData = { code: "000001", name: "上证指数", price: 3200.45 };
    const before = Date.now();
    await run(puts, { STOCK_CACHE, MARKET_DATA, stockCode: "600000", stockData, indexCode: "000001", indexData });
    await endsAfter(3, "stock:600000", before);
    await endsAfter(30, "index:000001", before);
    assert.equal(await STOCK_CACHE.get("stock:600000"), JSON.stringify(stockData));
    assert.equal(await MARKET_DATA.get("index:000001"), JSON.stringify(indexData));
    assert.equal(await STOCK_CACHE.get("stock:000001"), null, "the index is not the stock of the same code");
  });

  test("a copy of 3 s is there until it ends, and then it is not", async () => {
    const before = Date.now();
    await run(puts, { STOCK_CACHE, MARKET_DATA, stockCode: "3", stockData: 3, indexCode: "3", indexData: 3 });
    const put = Date.now();
    let last = put;
    for (let asked = put; (await STOCK_CACHE.get("stock:3")) !== null; asked = Date.now()) last = asked;
    const gone = Date.now();
    assert.ok(gone >= before + 3_000 - OFF_MS, `gone ${gone - before} ms after the put began`);
    assert.ok(last <= put + 3_000 + OFF_MS, `there in a read that began ${last - put} ms after the put had ended`);
  });

  test("reads what there is", async () => {
    await STOCK_CACHE.put("stock:600000", JSON.stringify(stock("600000", 11.23)));
    assert.deepEqual(await run(reads, { STOCK_CACHE, stockCode: "600000" }), stock("600000", 11.23));
  });

  test("reads many at once, as one request", async () => {
    await STOCK_CACHE.put("stock:600000", JSON.stringify(stock("600000", 11.23)));
    asked.length = 0;
    const results = await run(reads, { STOCK_CACHE, stockCode: "none" }, "results");
    assert.deepEqual(results, [JSON.stringify(stock("600000", 11.23)), null, null]);
    assert.deepEqual(asked, ["GET", "POST"], "the first read alone, then the three together");
  });

  test("deletes a stock and a session", async () => {
    await STOCK_CACHE.put("stock:600000", "{}");
    await USER_SESSIONS.put("session:u1", '{"user_id":"u1"}', { expirationTtl: 3_600 });
    assert.equal(await USER_SESSIONS.get("session:u1"), '{"user_id":"u1"}');
    await run(deletes, { STOCK_CACHE, USER_SESSIONS, stockCode: "600000", userId: "u1" });
    assert.deepEqual([await STOCK_CACHE.get("stock:600000"), await USER_SESSIONS.get("session:u1")], [null, null]);
  });

  test("puts many at once", async () => {
    const stockList = Array.from({ length: 100 }, (_, number) => stock(String(number).padStart(6, "0"), number));
    const before = Date.now();
    await run(bulk, { STOCK_CACHE, stockList });
    await endsAfter(3, "stock:000099", before);
    const keys = stockList.map(({ code }) => `stock:${code}`);
    const found = await STOCK_CACHE.get(keys, "json");
    assert.deepEqual([...found.values()], stockList);
  });

  test("asks the database where the cache has nothing, and keeps what it says", async () => {
    const queries = [];
    const fetchFromSupabase = async (code) => {
      queries.push(code);
      return code === "delisted" ? null : stock(code, 9.99);
    };
    const getStockPrice = await run(protection, { STOCK_CACHE, fetchFromSupabase }, "getStockPrice");
    assert.deepEqual(await getStockPrice("600519"), stock("600519", 9.99));
    assert.deepEqual(await getStockPrice("600519"), stock("600519", 9.99));
    assert.deepEqual(queries, ["600519"], "the second time it is in the cache");
    assert.equal(await getStockPrice("delisted"), null);
    assert.deepEqual(await getStockPrice("a"), { code: "a", price: 1 }, "a miss of which the namespace's own source knows");
    assert.deepEqual(queries, ["600519", "delisted"]);
  });

  test("warms the hot ones", async () => {
    const fetched = [];
    const fetchStockData = async (code) => {
      fetched.push(code);
      return stock(code, 1);
    };
    const before = Date.now();
    await run(warming, { STOCK_CACHE, fetchStockData });
    assert.deepEqual(fetched, ["600000", "000001", "600519", "000858"]);
    for (const code of fetched) {
      assert.deepEqual(await STOCK_CACHE.get(`stock:${code}`, "json"), stock(code, 1));
    }
    await endsAfter(3, "stock:000858", before);
  });
});
