// What the design of the order cache does by its own service, call by call by ioredis: the service is gone.
//
// `FOREBAY_RESP` is the server's address, `FOREBAY_PERIOD` a period of three orders, `ORDER_1` to `ORDER_3`. `FOREBAY_DATABASE` says whether
// the database is `up`, or `down` since its period was read.

"use strict";

const assert = require("node:assert/strict");
const { after, describe, test } = require("node:test");
const Redis = require("ioredis");

const [, host, port] = process.env.FOREBAY_RESP.match(/^(.*):(\d+)$/);
const period = process.env.FOREBAY_PERIOD;
const isUp = process.env.FOREBAY_DATABASE === "up";
const key = `fataMorgana_${period}`;

/** An order as the design caches it. */
function order(orderNo) {
  return JSON.stringify({ order_no: orderNo, uid: "user123", period_number: period, amount: 100.0, status: "cached" });
}

describe("seed 004", { timeout: 60_000 }, () => {
  const rdb = new Redis({ host, port: Number(port), db: 1, commandTimeout: 20_000 });
  after(() => rdb.disconnect());

  // cacheService.GetOrdersByPeriod, GetOrder, GetOrderCount, IsOrderCached
  test("orders of a period are read", async () => {
    const orders = await rdb.hgetall(key);
    assert.deepEqual(Object.keys(orders).sort(), ["ORDER_1", "ORDER_2", "ORDER_3"]);
    assert.match(await rdb.hget(key, "ORDER_1"), /"amount":1\.00/);
    assert.equal(await rdb.hlen(key), 3);
    assert.equal(await rdb.hexists(key, "ORDER_1"), 1);
    assert.equal(await rdb.hexists(key, "ORDER_9"), 0);
  });

  if (isUp) {
    // cacheService.CacheOrder, BatchCacheOrders
    test("orders are cached", async () => {
      const cached = await rdb.pipeline().hset(key, "ORDER_1", order("ORDER_1")).expire(key, 24 * 3600).exec();
      assert.deepEqual(cached, [[null, 1], [null, 1]]);
      assert.match(await rdb.hget(key, "ORDER_1"), /cached/);
      assert.equal(await rdb.hmset(key, { ORDER_2: order("ORDER_2"), ORDER_3: order("ORDER_3") }), "OK");
      for (const one of await rdb.hmget(key, "ORDER_2", "ORDER_3")) {
        assert.match(one, /cached/);
      }
      assert.equal(await rdb.hdel(key, "ORDER_1", "ORDER_2", "ORDER_3"), 3);
    });

    // cacheService.DeleteOrder, DeletePeriodOrders
    test("copies are dropped, rows stay", async () => {
      await rdb.hgetall(key);
      assert.equal(await rdb.hdel(key, "ORDER_1"), 1);
      assert.equal(await rdb.hexists(key, "ORDER_1"), 0);
      assert.match(await rdb.hget(key, "ORDER_1"), /ORDER_1/);
      assert.equal(await rdb.del(key), 1);
      assert.equal(await rdb.exists(key), 0);
      assert.equal(await rdb.hlen(key), 3);
    });

    // orderRepo.FindOrderByOrderNo, WarmUpCache, GetCacheStats
    test("a miss is loaded, a period is warmed, and it is counted", async () => {
      await rdb.hdel(key, "ORDER_2");
      assert.match(await rdb.get("order:ORDER_2"), /ORDER_2/);
      await rdb.del(key);
      assert.equal(Object.keys(await rdb.hgetall(key)).length, 3);
      assert.match(JSON.stringify(await rdb.call("FB.STATS", "orders")), /hits/);
    });
  } else {
    test("what is not held is a typed error", async () => {
      const typed = /^FB(SOURCE|TIMEOUT|BREAKEROPEN|OVERLOADED)/;
      await assert.rejects(rdb.hgetall("fataMorgana_other"), { message: typed });
      await assert.rejects(rdb.hget("fataMorgana_other", "ORDER_1"), { message: typed });
      await assert.rejects(rdb.get("order:never"), { message: typed });
    });
  }
});
