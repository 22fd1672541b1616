"""What the design of the order cache does by its own service, call by call by redis-py: the service is gone.

`FOREBAY_RESP` is the server's address, `FOREBAY_PERIOD` a period of three orders, `ORDER_1` to `ORDER_3`. `FOREBAY_DATABASE` says whether
the database is `up`, or `down` since its period was read.
"""

import json
import os
import unittest

import redis

HOST, PORT = os.environ["FOREBAY_RESP"].rsplit(":", 1)
PERIOD = os.environ["FOREBAY_PERIOD"]
IS_UP = os.environ["FOREBAY_DATABASE"] == "up"
KEY = f"fataMorgana_{PERIOD}"


def order(order_no, status="pending"):
    """An order as the design caches it."""
    return json.dumps({"order_no": order_no, "uid": "user123", "period_number": PERIOD, "amount": 100.00, "status": status})


class Orders(unittest.TestCase):
    def setUp(self):
        self.rdb = redis.Redis(host=HOST, port=int(PORT), db=1, decode_responses=True, socket_timeout=20)
        self.addCleanup(self.rdb.close)

    # cacheService.GetOrdersByPeriod(ctx, "20241201_001")
    def test_get_orders_by_period(self):
        orders = self.rdb.hgetall(KEY)
        self.assertEqual(sorted(orders), ["ORDER_1", "ORDER_2", "ORDER_3"])
        self.assertEqual(json.loads(orders["ORDER_1"])["period_number"], PERIOD)

    # cacheService.GetOrder(ctx, "20241201_001", "ORDER_20241201_001_001")
    def test_get_order(self):
        self.assertIn('"amount":1.00', self.rdb.hget(KEY, "ORDER_1"))

    # cacheService.GetOrderCount(ctx, "20241201_001")
    def test_get_order_count(self):
        self.assertEqual(self.rdb.hlen(KEY), 3)

    # cacheService.IsOrderCached(ctx, "20241201_001", "ORDER_20241201_001_001")
    def test_is_order_cached(self):
        self.rdb.hget(KEY, "ORDER_1")
        self.assertTrue(self.rdb.hexists(KEY, "ORDER_1"))
        self.assertFalse(self.rdb.hexists(KEY, "ORDER_9"))


@unittest.skipUnless(IS_UP, "the database is down")
class WhileTheDatabaseIsUp(Orders):
    # cacheService.CacheOrder(ctx, order): HSET, and EXPIRE after it
    def test_cache_order(self):
        with self.rdb.pipeline() as pipe:
            pipe.hset(KEY, "ORDER_1", order("ORDER_1", "cached"))
            pipe.expire(KEY, 24 * 3600)
            self.assertEqual(pipe.execute(), [1, True])
        self.assertIn("cached", self.rdb.hget(KEY, "ORDER_1"))
        self.assertLessEqual(self.rdb.ttl(KEY), 24 * 3600)
        self.rdb.hdel(KEY, "ORDER_1")

    # cacheService.BatchCacheOrders(ctx, orders): HMSet
    def test_batch_cache_orders(self):
        self.rdb.hset(KEY, mapping={name: order(name, "cached") for name in ("ORDER_2", "ORDER_3")})
        self.assertTrue(all("cached" in one for one in self.rdb.hmget(KEY, "ORDER_2", "ORDER_3")))
        self.rdb.hdel(KEY, "ORDER_2", "ORDER_3")

    # cacheService.DeleteOrder(ctx, "20241201_001", "ORDER_20241201_001_001")
    def test_delete_order(self):
        self.rdb.hget(KEY, "ORDER_1")
        self.assertEqual(self.rdb.hdel(KEY, "ORDER_1"), 1)
        self.assertFalse(self.rdb.hexists(KEY, "ORDER_1"))
        self.assertIn("ORDER_1", self.rdb.hget(KEY, "ORDER_1"), "the row is there")

    # cacheService.DeletePeriodOrders(ctx, "20241201_001")
    def test_delete_period_orders(self):
        self.rdb.hgetall(KEY)
        self.assertEqual(self.rdb.delete(KEY), 1)
        self.assertEqual(self.rdb.exists(KEY), 0)
        self.assertEqual(self.rdb.hlen(KEY), 3)

    # exists, err := cacheService.IsOrderCached(…); if !exists { orderRepo.FindOrderByOrderNo(…); cacheService.CacheOrder(…) }
    def test_a_miss_is_loaded_and_cached(self):
        self.rdb.hdel(KEY, "ORDER_2")
        self.assertFalse(self.rdb.hexists(KEY, "ORDER_2"))
        self.assertIn("ORDER_2", self.rdb.get("order:ORDER_2"))
        self.assertIn("ORDER_2", self.rdb.hget(KEY, "ORDER_2"))
        self.assertTrue(self.rdb.hexists(KEY, "ORDER_2"))

    # WarmUpCache(ctx, periodNumber)
    def test_warm_up_cache(self):
        self.rdb.delete(KEY)
        self.assertEqual(len(self.rdb.hgetall(KEY)), 3)
        self.assertEqual(self.rdb.exists(KEY), 1)

    # GetCacheStats(ctx)
    def test_get_cache_stats(self):
        self.rdb.hgetall(KEY)
        stats = str(self.rdb.execute_command("FB.STATS", "orders"))
        self.assertIn("hits", stats)


@unittest.skipIf(IS_UP, "the database is up")
class WhileTheDatabaseIsDown(Orders):
    def test_what_is_not_held_is_a_typed_error(self):
        for ask in (
            lambda: self.rdb.hgetall("fataMorgana_other"),
            lambda: self.rdb.hget("fataMorgana_other", "ORDER_1"),
            lambda: self.rdb.get("order:never"),
        ):
            with self.assertRaisesRegex(redis.ResponseError, "^FB(SOURCE|TIMEOUT|BREAKEROPEN|OVERLOADED)"):
                ask()


del Orders

if __name__ == "__main__":
    unittest.main()
