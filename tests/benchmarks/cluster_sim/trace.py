"""When calls come and how long they are: at random, in bursts, by a seed."""

import math
import random
from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True)
class Arrival:
    at_s: float
    num_tokens: int


@dataclass(frozen=True)
class Traffic:
    """Work asked for, as a number of replicas that it would keep busy.

    base: between bursts. burst: in one. quiet_s, burst_s: their mean lengths, each drawn from an
    exponential distribution. mean_tokens: of a call; lengths are log-normal, the longest call is
    `longest` times the mean.
    """

    base: float
    burst: float = 0.0
    quiet_s: float = math.inf
    burst_s: float = 0.0
    mean_tokens: int = 2000
    spread: float = 0.8
    longest: float = 8.0

    def arrivals(
        self, seconds: float, tokens_per_s: float, chance: random.Random
    ) -> Iterator[Arrival]:
        """Those of so many seconds, in order: a Poisson process in either phase."""
        now_s, phase_end_s, is_burst = 0.0, 0.0, True
        while now_s < seconds:
            if now_s >= phase_end_s:
                is_burst = not is_burst
                length_s = self.burst_s if is_burst else self.quiet_s
                drawn_s = chance.expovariate(1 / length_s) if length_s < math.inf else math.inf
                phase_end_s = now_s + drawn_s
            calls_per_s = (self.burst if is_burst else self.base) * tokens_per_s / self.mean_tokens
            gap_s = chance.expovariate(calls_per_s) if calls_per_s else math.inf
            if now_s + gap_s >= phase_end_s:
                now_s = phase_end_s
                continue
            now_s += gap_s
            if now_s < seconds:
                yield Arrival(now_s, self._length(chance))

    def _length(self, chance: random.Random) -> int:
        middle = math.log(self.mean_tokens) - self.spread**2 / 2
        drawn = chance.lognormvariate(middle, self.spread)
        return max(1, round(min(drawn, self.longest * self.mean_tokens)))
