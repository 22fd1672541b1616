"""redis-py, as it comes, against a server that declares `item:{code}` and keeps all other keys in its default store.

`FOREBAY_RESP` is the server's address. Every test runs in both versions of the protocol, on a store that is emptied before. Which
rows `item` has is told by `FOREBAY_ITEM_A`, the value of `item:a`.
"""

import os
import threading
import time
import unittest

import redis
from redis.backoff import NoBackoff
from redis.cache import CacheConfig
from redis.retry import Retry

HOST, PORT = os.environ["FOREBAY_RESP"].rsplit(":", 1)
ITEM_A = os.environ["FOREBAY_ITEM_A"]


def connect(**options):
    """A client; a reply that does not come is a failure, soon."""
    options = {"decode_responses": True, "socket_timeout": 10} | options
    return redis.Redis(host=HOST, port=int(PORT), **options)


class Commands:
    """What must hold in both versions of the protocol."""

    protocol = 0

    def setUp(self):
        self.db = connect(protocol=self.protocol)
        self.addCleanup(self.db.close)
        self.db.flushdb()

    def other(self, **options):
        client = connect(protocol=self.protocol, **options)
        self.addCleanup(client.close)
        return client

    def test_the_protocol_is_the_one_asked_for(self):
        client = self.db.client_info()
        self.assertEqual(client["resp"], str(self.protocol))
        self.assertEqual(client["lib-name"], "redis-py")
        self.assertIn("forebay_version", self.db.info("server"))
        self.assertEqual(self.db.info()["redis_mode"], "standalone")

    def test_strings(self):
        self.assertTrue(self.db.set("name", "naïve ✓"))
        self.assertEqual(self.db.get("name"), "naïve ✓")
        self.assertIsNone(self.db.get("none"))
        self.assertIsNone(self.db.set("name", "x", nx=True))
        self.assertEqual(self.db.set("name", "x", get=True), "naïve ✓")
        self.assertTrue(self.db.mset({"a": 1, "b": 2}))
        self.assertEqual(self.db.mget("a", "none", "b"), ["1", None, "2"])
        self.assertEqual(self.db.incrby("a", 41), 42)
        self.assertEqual(self.db.incrbyfloat("b", 0.5), 2.5)
        self.assertEqual(self.db.append("name", "yz"), 3)
        self.assertEqual(self.db.getrange("name", 1, -1), "yz")
        self.assertEqual(self.db.getdel("name"), "xyz")
        self.assertEqual(self.db.delete("a", "b", "name"), 2)

    def test_bytes_come_back_as_they_were(self):
        raw = self.other(decode_responses=False)
        value = bytes(range(256)) * 4
        raw.set(b"\x00\xff key", value)
        self.assertEqual(raw.get(b"\x00\xff key"), value)

    def test_hashes(self):
        self.assertEqual(self.db.hset("h", mapping={"one": 1, "two": 2}), 2)
        self.assertEqual(self.db.hgetall("h"), {"one": "1", "two": "2"})
        self.assertEqual(self.db.hmget("h", ["two", "none"]), ["2", None])
        self.assertEqual(self.db.hincrby("h", "one", 9), 10)
        self.assertTrue(self.db.hexists("h", "two"))
        self.assertEqual(self.db.hdel("h", "two", "none"), 1)
        self.assertEqual(self.db.hkeys("h"), ["one"])
        self.db.set("s", "text")
        with self.assertRaisesRegex(redis.ResponseError, "WRONGTYPE|wrong kind"):
            self.db.hget("s", "one")

    def test_sorted_sets(self):
        self.assertEqual(self.db.zadd("z", {"a": 1, "b": 2.5, "c": float("inf")}), 3)
        pairs = [tuple(pair) for pair in self.db.zrange("z", 0, -1, withscores=True)]
        self.assertEqual(pairs, [("a", 1.0), ("b", 2.5), ("c", float("inf"))])
        self.assertEqual(self.db.zscore("z", "b"), 2.5)
        self.assertIsNone(self.db.zscore("z", "none"))
        self.assertEqual(self.db.zincrby("z", 4, "a"), 5.0)
        self.assertEqual(self.db.zrange("z", 0, 0), ["b"])
        self.assertEqual(self.db.zrevrank("z", "c"), 0)
        self.assertEqual(self.db.zrangebyscore("z", "(2.5", 9), ["a"])
        self.assertEqual([tuple(pair) for pair in self.db.zpopmin("z", 1)], [("b", 2.5)])
        self.assertEqual(self.db.zcard("z"), 2)

    def test_values_end(self):
        self.db.set("a", 1, ex=100)
        self.assertIn(self.db.ttl("a"), range(90, 101))
        self.assertTrue(self.db.persist("a"))
        self.assertEqual(self.db.ttl("a"), -1)
        self.assertTrue(self.db.pexpire("a", 1))
        while self.db.exists("a"):
            pass
        self.assertIsNone(self.db.get("a"))

    def test_pipelines(self):
        with self.db.pipeline(transaction=False) as pipe:
            for number in range(2_000):
                pipe.set(f"key:{number}", number)
            for number in range(2_000):
                pipe.get(f"key:{number}")
            said = pipe.execute()
        self.assertEqual(said, [True] * 2_000 + [str(number) for number in range(2_000)])
        with self.db.pipeline(transaction=False) as pipe:
            said = pipe.set("s", "x").incr("s").get("s").execute(raise_on_error=False)
        self.assertEqual((said[0], said[2]), (True, "x"))
        self.assertIsInstance(said[1], redis.ResponseError)

    def test_transactions(self):
        with self.db.pipeline() as pipe:
            said = pipe.set("a", 1).hset("h", "f", "v").zadd("z", {"m": 1}).incr("a").execute()
        self.assertEqual(said, [True, 1, 1, 2])
        with self.assertRaises(redis.ResponseError):
            self.db.pipeline().set("a", 5).execute_command("NOSUCH").execute()
        self.assertEqual(self.db.get("a"), "2", "nothing of a transaction that is refused is done")

    def test_a_watched_key_that_changes_ends_the_transaction(self):
        self.db.set("stock", 5)
        with self.db.pipeline() as pipe:
            pipe.watch("stock")
            self.other().set("stock", 4)
            pipe.multi()
            pipe.set("stock", 0)
            with self.assertRaises(redis.WatchError):
                pipe.execute()
        self.assertEqual(self.db.get("stock"), "4")

    def test_contended_transactions_lose_nothing(self):
        def count(pipe):
            before = int(pipe.get("count") or 0)
            pipe.multi()
            pipe.set("count", before + 1)

        def work():
            client = self.other()
            for _ in range(25):
                client.transaction(count, "count")

        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(self.db.get("count"), "100")

    def test_channels(self):
        with self.db.pubsub(ignore_subscribe_messages=False) as channels:
            channels.subscribe("news")
            channels.psubscribe("w*")
            begun = [channels.get_message(timeout=10) for _ in range(2)]
            self.assertEqual([message["type"] for message in begun], ["subscribe", "psubscribe"])
            self.assertEqual(self.other().publish("news", "one"), 1)
            self.assertEqual(self.other().publish("weather", "two"), 1)
            self.assertEqual(self.other().publish("none", "three"), 0)
            said = [channels.get_message(timeout=10) for _ in range(2)]
            self.assertEqual([(message["channel"], message["data"]) for message in said], [("news", "one"), ("weather", "two")])
            channels.unsubscribe()
            self.assertEqual(channels.get_message(timeout=10)["type"], "unsubscribe")

    def test_scans_tell_of_everything_once(self):
        keys = {f"user:{number}" for number in range(3_000)}
        self.db.mset(dict.fromkeys(keys, "x"))
        self.db.set("else", "x")
        found = list(self.db.scan_iter(match="user:*", count=100))
        self.assertEqual((len(found), set(found)), (len(keys), keys))
        self.db.hset("h", mapping={f"f{number}": number for number in range(1_000)})
        self.assertEqual(dict(self.db.hscan_iter("h")), self.db.hgetall("h"))
        self.db.zadd("z", {f"m{number}": number for number in range(1_000)})
        self.assertEqual(len(dict(self.db.zscan_iter("z"))), 1_000)

    def test_a_connection_that_was_cut_is_made_anew(self):
        client = self.other(single_connection_client=True, retry=Retry(NoBackoff(), 3))
        client.set("a", 1)
        first = client.client_id()
        self.assertEqual(self.db.client_kill_filter(_id=first), 1)
        self.assertEqual(client.get("a"), "1")
        self.assertNotEqual(client.client_id(), first)

    def test_scripts_and_clusters_are_refused_clearly(self):
        with self.assertRaisesRegex(redis.ResponseError, "unknown command 'EVAL'"):
            self.db.eval("return 1", 0)
        with self.assertRaisesRegex(redis.ResponseError, "unknown command 'LPUSH'"):
            self.db.lpush("list", 1)
        self.assertEqual(self.db.execute_command("INFO", "cluster").get("cluster_enabled"), 0)
        with self.assertRaisesRegex(redis.exceptions.RedisClusterException, "not enabled"):
            redis.RedisCluster(host=HOST, port=int(PORT), socket_timeout=10)

    def test_a_declared_namespace_is_read_through(self):
        self.assertEqual(self.db.get("item:a"), ITEM_A)
        self.assertEqual(self.db.mget("item:a", "item:none"), [ITEM_A, None])
        self.assertTrue(self.db.exists("item:a"))
        self.assertEqual(self.db.execute_command("FB.INVALIDATE", "item:a"), 1)
        self.assertFalse(self.db.exists("item:a"))
        with self.db.pipeline() as pipe:
            self.assertEqual(pipe.get("item:a").set("mine", 1).execute(), [ITEM_A, True])
        with self.assertRaisesRegex(redis.ResponseError, "FBREFUSED"):
            self.db.set("item:a", "x")


class Resp2(Commands, unittest.TestCase):
    protocol = 2


class Resp3(Commands, unittest.TestCase):
    protocol = 3

    def test_a_copy_that_the_client_keeps_goes_when_it_is_of_no_use(self):
        client = self.other(cache_config=CacheConfig())
        self.db.set("a", 1)
        before = self.gets()
        self.assertEqual([client.get("a") for _ in range(5)], ["1"] * 5)
        self.assertEqual(self.gets(), before + 1, "the client answers from its copy")
        self.db.set("a", 2)
        # What tells the client of it is on its way when another connection has its reply.
        self.soon(lambda: client.get("a") == "2")
        self.assertEqual([client.get("item:a") for _ in range(2)], [ITEM_A] * 2)
        before = self.gets()
        self.db.execute_command("FB.INVALIDATE", "item:a")
        self.soon(lambda: client.get("item:a") == ITEM_A and self.gets() > before)
        self.assertEqual([client.get("item:a") for _ in range(5)], [ITEM_A] * 5)
        self.assertEqual(self.gets(), before + 1, "it asks once more")

    def soon(self, is_so):
        until = time.monotonic() + 10
        while not is_so():
            self.assertLess(time.monotonic(), until)

    def gets(self):
        stats = self.db.info("stats")
        return stats["keyspace_hits"] + stats["keyspace_misses"]


if __name__ == "__main__":
    unittest.main()
