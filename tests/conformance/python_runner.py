"""The runner of Python: drives `primase.connect`, or with --asyncio `primase.connect_async`."""

import argparse
import json
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

from google.protobuf.json_format import MessageToDict, ParseDict

from primase import PrimaseError, TlsOptions
from tests.conformance import cases, python_calls, python_values
from tests.conformance.cases import Case
from tests.conformance.python_faces import Connected, Face, asynchronous, blocking

IDLE_S = 10.0
BETWEEN_S = 0.02


class Run:
    """One case over a connection of its own."""

    def __init__(self, case: Case, connected: Connected) -> None:
        self._case = case
        self._connected = connected
        self._request = ParseDict(case["request"], python_calls.request_class(case["rpc"])())

    def outcome(self) -> dict[str, Any]:
        """What came of it."""
        found: dict[str, Any] = {"case": self._case["name"], "error": None}
        begin = time.perf_counter()
        try:
            getattr(self, f"_{self._case['drive']}")(found)
        except PrimaseError as error:
            found["error"] = python_values.error(error)
        found["elapsed_ms"] = 1e3 * (time.perf_counter() - begin)
        if watched := self._case.get("watch"):
            found["idle"] = self._becomes_idle(watched)
        return found

    def _unary(self, found: dict[str, Any]) -> None:
        answer = self._connected.unary(self._case["rpc"], self._request)
        found["answer"] = python_values.answer(MessageToDict(answer))

    def _items(self, found: dict[str, Any]) -> None:
        found["items"] = []
        results = python_calls.items(self._connected.client, self._case["rpc"], self._request)
        with closing(self._connected.each(results)) as each:
            for result in each:
                found["items"].append(python_values.item(result))
                if self._is_enough(found, "items"):
                    return

    def _events(self, found: dict[str, Any]) -> None:
        found["events"] = []
        events = python_calls.events(self._connected.client, self._case["rpc"], self._request)
        with closing(self._connected.each(events)) as each:
            for event in each:
                found["events"].append(python_values.event(event))
                if self._is_enough(found, "events"):
                    return

    def _resume(self, found: dict[str, Any]) -> None:
        found["events"] = []
        num_tokens, text, resume_token = 0, "", ""
        with closing(self._connected.raw(self._case["rpc"], self._request)) as messages:
            for message in messages:
                found["events"] += python_values.raw_event(message)
                num_tokens += len(message.tokens.token_ids)
                text += message.tokens.text
                resume_token = message.tokens.resume_token
                if num_tokens >= self._case["break_after_tokens"]:
                    break
        again = python_calls.resumption(self._request, text, resume_token)
        with closing(self._connected.raw(self._case["rpc"], again)) as messages:
            for message in messages:
                found["events"] += python_values.raw_event(message, num_tokens)

    def _is_enough(self, found: dict[str, Any], key: str) -> bool:
        if len(found[key]) != self._case.get("cancel_after"):
            return False
        if watched := self._case.get("watch"):
            found["busy"] = self._num_queued_tokens(watched) > 0
        return True

    def _becomes_idle(self, model: str) -> bool:
        until = time.monotonic() + IDLE_S
        while self._num_queued_tokens(model):
            if time.monotonic() > until:
                return False
            time.sleep(BETWEEN_S)
        return True

    def _num_queued_tokens(self, model: str) -> int:
        found = self._connected.wait(self._connected.client.model(model))
        return int(found.num_queued_tokens)


def outcomes(face: Face, arguments: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Those of all cases."""
    targets = {
        "live": arguments.server,
        "scripted": arguments.scripted,
        "tls": arguments.tls,
    }
    for case in cases.load(arguments.cases):
        given = case.get("connect", {})
        options: dict[str, Any] = {"token": given.get("token")}
        if "deadline_ms" in given:
            options["timeout_s"] = given["deadline_ms"] / 1e3
        if not given.get("retry", True):
            options["retry"] = None
        if case["server"] == "tls":
            options["tls"] = TlsOptions(ca_file=arguments.ca)
        try:
            with face(targets[case["server"]], options) as connected:
                yield Run(case, connected).outcome()
        except Exception as error:  # noqa: BLE001  # one case must not cost the others
            yield {"case": case["name"], "crashed": f"{type(error).__name__}: {error}"}


def main() -> None:
    """Run all cases; one line each."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--cases", type=Path, default=cases.FOLDER)
    for name in ("server", "scripted", "tls", "ca"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--asyncio", action="store_true")
    arguments = parser.parse_args()
    for outcome in outcomes(asynchronous if arguments.asyncio else blocking, arguments):
        sys.stdout.write(json.dumps(outcome) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
