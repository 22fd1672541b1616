"""redis-py, as it comes, against a server that asks for tokens: `writer-secret` may read and write, `reader-secret` only read.

`FOREBAY_RESP` is the server's address.
"""

import os
import unittest

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

HOST, PORT = os.environ["FOREBAY_RESP"].rsplit(":", 1)


class Tokens(unittest.TestCase):
    """A token is the password; its name is the user's, where one is given."""

    def client(self, **options):
        # What is refused is refused at once.
        options = {"decode_responses": True, "socket_timeout": 10, "retry": Retry(NoBackoff(), 0)} | options
        client = redis.Redis(host=HOST, port=int(PORT), **options)
        self.addCleanup(client.close)
        return client

    def test_nobody_is_answered_without_a_token(self):
        for protocol in (2, 3):
            with self.assertRaises(redis.AuthenticationError):
                self.client(protocol=protocol).get("item:a")

    def test_a_wrong_token_is_refused(self):
        for protocol in (2, 3):
            for user in (None, "writer"):
                with self.assertRaises(redis.AuthenticationError):
                    self.client(protocol=protocol, username=user, password="wrong").ping()

    def test_a_token_is_shown_by_itself_or_with_its_name(self):
        for protocol in (2, 3):
            for user in (None, "writer"):
                client = self.client(protocol=protocol, username=user, password="writer-secret")
                self.assertTrue(client.set("mine", protocol))
                self.assertEqual(client.get("mine"), str(protocol))
                self.assertEqual(client.acl_whoami(), "writer")

    def test_a_reader_does_not_write(self):
        reader = self.client(password="reader-secret")
        self.assertEqual(reader.get("item:a"), '{"code":"a","price":1}')
        with self.assertRaises(redis.exceptions.NoPermissionError):
            reader.set("mine", "x")

    def test_a_url_carries_a_token(self):
        client = redis.from_url(f"redis://writer:writer-secret@{HOST}:{PORT}/0", socket_timeout=10)
        self.addCleanup(client.close)
        self.assertTrue(client.ping())


if __name__ == "__main__":
    unittest.main()
