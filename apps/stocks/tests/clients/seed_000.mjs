// The snippets of the design that the app comes from, as they are, by the client for JavaScript against the app itself: 600000 is listed at 10.50, and
// 000001 is an index alone.
//
// `FOREBAY_HTTP` is the server's address.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { describe, test } from "node:test";

import { Forebay } from "../../../../clients/js/index.js";

const AsyncFunction = (async () => {}).constructor;
const design = new URL("../../../../crates/forebay-server/tests/clients/seed_000.txt", import.meta.url);
const text = readFileSync(design, "utf8");
const snippets = [...text.matchAll(/^```javascript\n(.*?)^```$/gms)].map(([, code]) => code);
const [puts, reads, deletes, bulk, protection, warming] = snippets;

/** Runs a snippet with these names; what it returns, or else what it leaves in `result`. */
function run(snippet, names, result = "undefined") {
  return new AsyncFunction(...Object.keys(names), `${snippet}\nreturn ${result};`)(...Object.values(names));
}

const stock = (code, price) => ({ code, name: "浦发银行", price, change: 0.67, change_pct: 6.34, volume: 1_500_000, timestamp: "2025-06-30T15:30:00Z" });

describe("seed 000 on the app", { timeout: 60_000 }, () => {
  const forebay = new Forebay({ url: `http://${process.env.FOREBAY_HTTP}` });
  const STOCK_CACHE = forebay.kv("stocks", "STOCK_CACHE");
  const MARKET_DATA = forebay.kv("stocks", "MARKET_DATA");
  const USER_SESSIONS = forebay.kv("stocks", "USER_SESSIONS");

  test("puts", async () => {
    const indexData = { code: "399001", price: 3200.45 };
    await run(puts, { STOCK_CACHE, MARKET_DATA, stockCode: "600001", stockData: stock("600001", 11.23), indexCode: "399001", indexData });
    assert.deepEqual(await STOCK_CACHE.get("stock:600001", "json"), stock("600001", 11.23));
    assert.deepEqual(await MARKET_DATA.get("index:399001", "json"), indexData);
  });

  test("reads one, and many at once", async () => {
    assert.equal((await run(reads, { STOCK_CACHE, stockCode: "600000" })).price, 10.5);
    const results = await run(reads, { STOCK_CACHE, stockCode: "none" }, "results");
    assert.equal(JSON.parse(results[0]).price, 10.5);
    assert.deepEqual(results.slice(1), [null, null], "000001 is an index, and no share");
  });

  test("deletes a copy of a share, and a session for good", async () => {
    await STOCK_CACHE.put("stock:600000", "{}", { expirationTtl: 3 });
    await USER_SESSIONS.put("session:u1", '{"user_id":"u1"}');
    await run(deletes, { STOCK_CACHE, USER_SESSIONS, stockCode: "600000", userId: "u1" });
    assert.equal((await STOCK_CACHE.get("stock:600000", "json")).price, 10.5, "the row is there");
    assert.equal(await USER_SESSIONS.get("session:u1"), null);
  });

  test("puts many at once", async () => {
    const stockList = Array.from({ length: 100 }, (_, number) => stock(String(601_000 + number), number));
    await run(bulk, { STOCK_CACHE, stockList });
    const found = await STOCK_CACHE.get(stockList.map(({ code }) => `stock:${code}`), "json");
    assert.deepEqual([...found.values()], stockList);
  });

  test("asks elsewhere for what is not listed alone", async () => {
    const queries = [];
    const fetchFromSupabase = async (code) => {
      queries.push(code);
      return null;
    };
    const getStockPrice = await run(protection, { STOCK_CACHE, fetchFromSupabase }, "getStockPrice");
    assert.equal((await getStockPrice("600000")).price, 10.5);
    assert.equal(await getStockPrice("999999"), null);
    assert.deepEqual(queries, ["999999"]);
  });

  test("warms the hot ones", async () => {
    await run(warming, { STOCK_CACHE, fetchStockData: async (code) => stock(code, 1) });
    for (const code of ["600000", "000001", "600519", "000858"]) {
      assert.deepEqual(await STOCK_CACHE.get(`stock:${code}`, "json"), stock(code, 1));
    }
  });
});
