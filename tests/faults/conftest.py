"""The demo server and its clients, as the end-to-end tests have them."""

from tests.e2e.conftest import client, rest, server

__all__ = ["client", "rest", "server"]
