"""How much one key may have: tokens per minute, and tokens at once.

Tokens per minute are a bucket that holds those of one minute and fills up steadily; a job takes its
tokens when it is admitted, those that it may generate included, and gives back at its end what it
did not generate. A job's tokens are had at once from its admission to its end.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass

from primase_server.errors import QuotaExceeded, RequestTooLarge

MINUTE_S = 60.0
RETRY_S = 1.0
"""When jobs of the key that run now will end is not known."""


@dataclass(frozen=True)
class QuotaLimits:
    """Of one key; None is no limit."""

    tokens_per_minute: int | None = None
    concurrent_tokens: int | None = None


UNLIMITED = QuotaLimits()


class KeyQuotas:
    """The books of one key. For one thread. `clock` is monotonic, in seconds."""

    def __init__(
        self, name: str, limits: QuotaLimits, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._name = name
        self._limits = limits
        self._clock = clock
        self._seen_s = clock()
        self._left = float(limits.tokens_per_minute or 0)
        self._bucket = 0
        self.concurrent_tokens = 0

    def change(self, limits: QuotaLimits) -> None:
        """Other limits from now on; what was taken stays taken."""
        self._fill()
        before = self._limits.tokens_per_minute
        now = limits.tokens_per_minute
        if now is not None and before is not None:
            self._left = min(self._left, now)
        elif now is not None:
            # a new bucket, of which no job has taken anything
            self._left = float(now)
            self._bucket += 1
        self._limits = limits

    def take(self, num_tokens: int) -> "KeyShare":
        """Tokens of a whole job. Raises QuotaExceeded, or RequestTooLarge for what never fits."""
        self._require_possible(num_tokens)
        self._require_at_once(num_tokens)
        self._require_this_minute(num_tokens)
        self._left -= num_tokens
        self.concurrent_tokens += num_tokens
        return KeyShare(self, num_tokens, self._bucket)

    def refill(self, num_tokens: int, bucket: int) -> None:
        """Tokens that were taken from that bucket are not used."""
        if bucket == self._bucket:
            self._fill()
            most = float(self._limits.tokens_per_minute or 0)
            self._left = min(self._left + num_tokens, most)

    def _require_possible(self, num_tokens: int) -> None:
        for limit, what in (
            (self._limits.tokens_per_minute, "tokens per minute"),
            (self._limits.concurrent_tokens, "tokens at once"),
        ):
            if limit is not None and num_tokens > limit:
                raise RequestTooLarge(
                    f"the request needs {num_tokens} tokens and the key {self._name!r} has "
                    f"{limit} {what}"
                )

    def _require_at_once(self, num_tokens: int) -> None:
        limit = self._limits.concurrent_tokens
        if limit is not None and self.concurrent_tokens + num_tokens > limit:
            raise QuotaExceeded(
                f"the key {self._name!r} has {limit} tokens at once; {self.concurrent_tokens} are "
                f"in progress and {num_tokens} more were asked for",
                RETRY_S,
                f"key:{self._name}",
            )

    def _require_this_minute(self, num_tokens: int) -> None:
        limit = self._limits.tokens_per_minute
        if limit is None:
            return
        self._fill()
        if num_tokens > self._left:
            raise QuotaExceeded(
                f"the key {self._name!r} has {limit} tokens per minute; {int(self._left)} are left "
                f"and {num_tokens} were asked for",
                (num_tokens - self._left) * MINUTE_S / limit,
                f"key:{self._name}",
            )

    def _fill(self) -> None:
        now_s = self._clock()
        limit = self._limits.tokens_per_minute
        if limit is not None:
            filled = self._left + (now_s - self._seen_s) * limit / MINUTE_S
            self._left = min(float(limit), filled)
        self._seen_s = now_s


class KeyShare:
    """What one job took, of which bucket. Both of its ends are idempotent."""

    def __init__(self, quotas: KeyQuotas, num_tokens: int, bucket: int) -> None:
        self._quotas = quotas
        self._num_tokens = num_tokens
        self._bucket = bucket

    def give_back(self) -> None:
        """The job was not admitted."""
        self.end(self._num_tokens)

    def end(self, num_unused: int = 0) -> None:
        """The job has ended without so many of its tokens."""
        self._quotas.refill(min(num_unused, self._num_tokens), self._bucket)
        self._quotas.concurrent_tokens -= self._num_tokens
        self._num_tokens = 0
