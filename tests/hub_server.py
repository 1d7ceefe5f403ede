"""A small hub on loopback, which speaks as the real one does and can misbehave on demand.

    GET  /api/models/{repository}/revision/{revision}     the commit, and its files with digests
    GET, HEAD  /{repository}/resolve/{revision}/{file}    small files; large ones redirect to
    GET, HEAD  /cdn/{sha256}                              another host, ranges understood

A test of its own has the hub's library download from it.
"""

import hashlib
import json
import re
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit

LARGE = re.compile(r".+\.(safetensors|pt|pt\.part[0-9])")
"""Names of files that lie on another host."""

HOLD_S = 60.0


@dataclass(frozen=True)
class Request:
    """One request as it came."""

    method: str
    path: str
    range: str
    is_authorized: bool


@dataclass(frozen=True)
class Snapshot:
    """The files of a repository at one commit."""

    files: Mapping[str, bytes]

    @property
    def commit(self) -> str:
        digest = hashlib.sha1(usedforsecurity=False)
        for name, content in sorted(self.files.items()):
            digest.update(name.encode() + b"\0" + content)
        return digest.hexdigest()


@dataclass
class HubServer:
    """Repositories by name and branch; `requests` are all that came.

    Misbehaviour, by file name: `cuts` ends the connection after that many bytes, once for each
    entry of the list; `corrupted` files are sent with a bit flipped; `ignores_ranges` sends whole
    files whatever was asked; `outages` requests are answered 503 first; `nonsense` answers for the
    listings, as the page of a captive portal does; `held_after` sends that many bytes of a file
    and then waits until `released`.
    """

    repositories: dict[str, dict[str, Snapshot]] = field(default_factory=dict)
    requests: list[Request] = field(default_factory=list)
    cuts: dict[str, list[int]] = field(default_factory=dict)
    corrupted: set[str] = field(default_factory=set)
    ignores_ranges: bool = False
    outages: int = 0
    nonsense: bytes = b""
    held_after: dict[str, int] = field(default_factory=dict)
    released: threading.Event = field(default_factory=threading.Event)
    stand_ins: dict[str, str] = field(default_factory=dict)
    port: int = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def add(self, repository: str, files: Mapping[str, bytes], branch: str = "main") -> str:
        """Commit files to a branch; the commit."""
        snapshot = Snapshot(files)
        self.repositories.setdefault(repository, {})[branch] = snapshot
        return snapshot.commit

    def find(self, repository: str, revision: str) -> Snapshot | None:
        """What is at a branch or commit; `stand_ins` answer for commits nobody can make anew."""
        revision = self.stand_ins.get(revision, revision)
        branches = self.repositories[repository]
        by_commit = {snapshot.commit: snapshot for snapshot in branches.values()}
        return branches.get(revision) or by_commit.get(revision)

    def stored(self, sha256: str) -> tuple[str, bytes]:
        """The name and bytes of a large file."""
        return next(
            (name, content)
            for branches in self.repositories.values()
            for snapshot in branches.values()
            for name, content in snapshot.files.items()
            if hashlib.sha256(content).hexdigest() == sha256
        )

    def requested(self, prefix: str = "/") -> list[Request]:
        """Requests whose path starts so."""
        return [request for request in self.requests if request.path.startswith(prefix)]


@contextmanager
def hub_server() -> Iterator[HubServer]:
    """A running hub without repositories."""
    hub = HubServer()

    class Handler(_Handler):
        server_state = hub

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    hub.port = server.server_port
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        hub.released.set()
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    server_state: HubServer
    protocol_version = "HTTP/1.1"

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        hub, path = self.server_state, unquote(urlsplit(self.path).path)
        authorized = "authorization" in self.headers
        hub.requests.append(Request(self.command, path, self.headers.get("range", ""), authorized))
        if hub.outages > 0:
            hub.outages -= 1
            self._answer(HTTPStatus.SERVICE_UNAVAILABLE)
        elif path.startswith("/api/models/") and "/revision/" in path:
            self._listing(*path.removeprefix("/api/models/").split("/revision/"))
        elif path.startswith("/cdn/"):
            self._send_file(*hub.stored(path.removeprefix("/cdn/")), {})
        elif "/resolve/" in path:
            repository, rest = path[1:].split("/resolve/")
            revision, _, name = rest.rpartition("/")
            self._resolve(repository, revision, name)
        else:
            self._answer(HTTPStatus.NOT_FOUND)

    def log_request(self, code: object = "-", size: object = "-") -> None:
        """Say nothing: `requests` holds them."""

    def _snapshot(self, repository: str, revision: str) -> Snapshot | None:
        if repository not in self.server_state.repositories:
            # what the hub says of unknown repositories to those who are not known either
            self._answer(
                HTTPStatus.UNAUTHORIZED, {"X-Error-Message": "Invalid username or password."}
            )
            return None
        snapshot = self.server_state.find(repository, revision)
        if snapshot is None:
            self._answer(HTTPStatus.NOT_FOUND, {"X-Error-Code": "RevisionNotFound"})
        return snapshot

    def _listing(self, repository: str, revision: str) -> None:
        if self.server_state.nonsense:
            self._answer(HTTPStatus.OK, body=self.server_state.nonsense)
        elif snapshot := self._snapshot(repository, revision):
            siblings = [_sibling(name, content) for name, content in snapshot.files.items()]
            values = {"id": repository, "sha": snapshot.commit, "siblings": siblings}
            body = json.dumps(values).encode()
            self._answer(HTTPStatus.OK, {"Content-Type": "application/json"}, body)

    def _resolve(self, repository: str, revision: str, name: str) -> None:
        snapshot = self._snapshot(repository, revision)
        if snapshot is None:
            return
        commit = {"X-Repo-Commit": snapshot.commit}
        if name not in snapshot.files:
            self._answer(HTTPStatus.NOT_FOUND, commit | {"X-Error-Code": "EntryNotFound"})
        elif not LARGE.fullmatch(name):
            etag = f'"{_git_blob(snapshot.files[name])}"'
            self._send_file(name, snapshot.files[name], commit | {"ETag": etag})
        else:
            self._redirect(snapshot.files[name], commit)

    def _redirect(self, content: bytes, headers: Mapping[str, str]) -> None:
        sha256 = hashlib.sha256(content).hexdigest()
        linked = {
            "X-Linked-Etag": f'"{sha256}"',
            "X-Linked-Size": str(len(content)),
            # another host as far as anyone can tell
            "Location": f"http://localhost:{self.server_state.port}/cdn/{sha256}",
        }
        self._answer(HTTPStatus.FOUND, {**headers, **linked})

    def _send_file(self, name: str, content: bytes, headers: Mapping[str, str]) -> None:
        hub = self.server_state
        if name in hub.corrupted:
            content = content[:-1] + bytes([content[-1] ^ 1])
        start, status = 0, HTTPStatus.OK
        sent = {"Accept-Ranges": "bytes", **headers}
        if (asked := self.headers.get("range")) and not hub.ignores_ranges:
            start, status = (
                int(asked.removeprefix("bytes=").split("-")[0]),
                HTTPStatus.PARTIAL_CONTENT,
            )
            sent["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
        cuts = hub.cuts.get(name)
        if name in hub.held_after:
            self._answer(status, sent, content[start:], hub.held_after[name])
            hub.released.wait(HOLD_S)
        else:
            self._answer(status, sent, content[start:], cuts.pop(0) if cuts else None)

    def _answer(
        self,
        status: HTTPStatus,
        headers: Mapping[str, str] | None = None,
        body: bytes = b"",
        cut_after: int | None = None,
    ) -> None:
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "HEAD":
            return
        if cut_after is None:
            self.wfile.write(body)
        else:
            self.wfile.write(body[:cut_after])
            self.close_connection = True


def _sibling(name: str, content: bytes) -> dict[str, object]:
    found: dict[str, object] = {"rfilename": name, "size": len(content)}
    if not LARGE.fullmatch(name):
        return found | {"blobId": _git_blob(content)}
    sha256 = hashlib.sha256(content).hexdigest()
    pointer = (
        f"version https://git-lfs.github.com/spec/v1\noid sha256:{sha256}\nsize {len(content)}\n"
    )
    lfs = {"sha256": sha256, "size": len(content), "pointerSize": len(pointer)}
    return found | {"blobId": _git_blob(pointer.encode()), "lfs": lfs}


def _git_blob(content: bytes) -> str:
    blob = b"blob %d\0" % len(content) + content
    return hashlib.sha1(blob, usedforsecurity=False).hexdigest()
