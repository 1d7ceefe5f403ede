"""More calls at once than may wait: those refused are told a turn, come back, and are answered."""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import primase
from primase_server.rpc.call import Call
from tests.rpc.esm2 import MODEL, long_protein
from tests.rpc.live import limited, serving

NUM_CALLS = 48
PROTEIN = long_protein(800)


class Seen:
    """How calls ended, by whether they came back as they were told."""

    def __init__(self) -> None:
        self.outcomes: Counter[tuple[bool, str]] = Counter()

    def call_finished(self, call: Call) -> None:
        self.outcomes[call.retry.is_back, call.outcome] += 1


def test_calls_beyond_those_that_may_wait_come_back_by_themselves() -> None:
    seen = Seen()
    with (
        serving(limited(max_queue_s=0), seen) as live,
        primase.connect(f"127.0.0.1:{live.app.grpc_port}") as client,
        ThreadPoolExecutor(NUM_CALLS) as threads,
    ):
        esm2 = client.esm2(MODEL)

        def num_residues(_: int) -> int:
            [result] = esm2.encode(PROTEIN)
            return result.value.num_residues

        # Until a step was done nobody knows how long work waits.
        assert num_residues(0) == len(PROTEIN)
        assert set(threads.map(num_residues, range(NUM_CALLS))) == {len(PROTEIN)}
    assert seen.outcomes[False, "OK"] + seen.outcomes[True, "OK"] == NUM_CALLS + 1
    assert seen.outcomes[False, "QUEUE_FULL"] == seen.outcomes[True, "OK"] > 0
