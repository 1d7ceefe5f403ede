"""A screener as a gRPC service, that says what a test wants and remembers what it was asked."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import grpc

from primase.screening.v1 import screening_service_pb2 as pb
from primase.screening.v1 import screening_service_pb2_grpc

Verdict = Callable[[pb.ScreenRequest], pb.ScreenResponse]

ALLOWED = pb.ScreenResponse(verdict=pb.VERDICT_ALLOW)
REFUSED = pb.ScreenResponse(
    verdict=pb.VERDICT_REFUSE, code="LISTED", message="ask the safety officer"
)


def fail(request: pb.ScreenRequest) -> pb.ScreenResponse:
    """As a screener does that has a fault."""
    raise RuntimeError(request.sequence)


class ScriptedScreener(screening_service_pb2_grpc.ScreeningServiceServicer):
    """`verdict` makes an answer of a question, once `may_answer` is set."""

    def __init__(self) -> None:
        self.asked: list[pb.ScreenRequest] = []
        self._is_asked = threading.Event()
        self.port = 0
        self.may_answer = threading.Event()
        self.reset()

    def reset(self) -> None:
        """Allow everything, of which nothing was asked yet."""
        self.asked.clear()
        self._is_asked.clear()
        self.verdict: Verdict = lambda _: ALLOWED
        self.may_answer.set()

    def wait_until_asked(self) -> None:
        """Of anything since the last reset."""
        assert self._is_asked.wait(60), "nothing was asked"

    @property
    def target(self) -> str:
        return f"localhost:{self.port}"

    def Screen(self, request: pb.ScreenRequest, context: grpc.ServicerContext) -> pb.ScreenResponse:
        self.asked.append(request)
        self._is_asked.set()
        self.may_answer.wait(30)
        return self.verdict(request)


@contextmanager
def screener(credentials: grpc.ServerCredentials | None = None) -> Iterator[ScriptedScreener]:
    """One that listens meanwhile."""
    script = ScriptedScreener()
    with ThreadPoolExecutor(32) as threads:
        server = grpc.server(threads)
        screening_service_pb2_grpc.add_ScreeningServiceServicer_to_server(script, server)
        if credentials is None:
            script.port = server.add_insecure_port("127.0.0.1:0")
        else:
            script.port = server.add_secure_port("127.0.0.1:0", credentials)
        server.start()
        try:
            yield script
        finally:
            script.may_answer.set()
            server.stop(None).wait()
