"""gRPC with TLS, its certificate changed while it serves."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import grpc
import pytest

import primase
from primase import TlsOptions
from primase.exceptions import Unavailable
from primase_server.settings import Listen, Tls
from tests.certificate import self_signed, shown
from tests.rpc.esm2 import MODEL, long_protein, stream_request
from tests.rpc.live import SETTINGS, Live, serving


@dataclass(frozen=True)
class Encrypted:
    """A service with TLS, and the files of its certificate."""

    live: Live
    cert: Path
    key: Path

    @property
    def target(self) -> str:
        return f"localhost:{self.live.app.grpc_port}"

    def encode(self, tls: TlsOptions | None) -> None:
        """One call of a new client. Raises Unavailable."""
        client = primase.connect(self.target, tls=tls, retry=None, timeout_s=30)
        with client as connected:
            [result] = connected.esm2(MODEL).encode(["MKT"])
        assert result.error is None


@pytest.fixture
def encrypted(tmp_path: Path) -> Iterator[Encrypted]:
    cert, key = self_signed(tmp_path)
    with serving(replace(SETTINGS, tls=Tls(cert, key))) as live:
        yield Encrypted(live, cert, key)


def test_a_stream_goes_on_over_a_change_and_who_comes_then_sees_the_new_certificate(
    encrypted: Encrypted, tmp_path: Path
) -> None:
    old = encrypted.cert.read_bytes()
    assert shown(encrypted.live.app.grpc_port, "h2") == old
    credentials = grpc.ssl_channel_credentials(old)
    with grpc.secure_channel(encrypted.target, credentials) as channel:
        stub = type(encrypted.live.esm2)(channel)
        stream = stub.StreamEncode(stream_request(*[long_protein(1500)] * 10))
        next(stream)
        self_signed(tmp_path)
        assert encrypted.cert.read_bytes() != old
        assert shown(encrypted.live.app.grpc_port, "h2") == encrypted.cert.read_bytes()
        encrypted.encode(TlsOptions(encrypted.cert))
        assert [response.rows.last for response in stream] == [True] * 9
        assert len(list(stub.StreamEncode(stream_request("MKT")))) == 1


def test_who_does_not_trust_it_or_does_not_encrypt_gets_nothing(
    encrypted: Encrypted, tmp_path: Path
) -> None:
    other = tmp_path / "other"
    other.mkdir()
    for tls in (TlsOptions(self_signed(other)[0]), None):
        with pytest.raises(Unavailable):
            encrypted.encode(tls)


def test_half_a_change_changes_nothing(encrypted: Encrypted, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    old = encrypted.cert.read_bytes()
    new_cert, new_key = self_signed(other)
    encrypted.key.write_bytes(new_key.read_bytes())
    assert shown(encrypted.live.app.grpc_port, "h2") == old
    encrypted.cert.write_bytes(new_cert.read_bytes())
    assert shown(encrypted.live.app.grpc_port, "h2") == new_cert.read_bytes()


def test_clients_show_their_own_certificate(tmp_path: Path) -> None:
    folders = [tmp_path / name for name in ("server", "client", "stranger")]
    for folder in folders:
        folder.mkdir()
    (cert, key), mine, theirs = map(self_signed, folders)
    with serving(replace(SETTINGS, tls=Tls(cert, key, mine[0]))) as live:
        encrypted = Encrypted(live, cert, key)
        encrypted.encode(TlsOptions(cert, *mine))
        for tls in (TlsOptions(cert), TlsOptions(cert, *theirs)):
            with pytest.raises(Unavailable):
                encrypted.encode(tls)
        # the other authority from now on
        mine[0].write_bytes(theirs[0].read_bytes())
        encrypted.encode(TlsOptions(cert, *theirs))


def test_files_that_do_not_fit_are_told_at_the_start(tmp_path: Path) -> None:
    cert, key = self_signed(tmp_path)
    key.write_text("no key")
    with (
        pytest.raises(OSError, match=r"cert\.pem and .*key\.pem are no certificate and its key"),
        serving(replace(SETTINGS, tls=Tls(cert, key))),
    ):
        pass


def test_a_server_that_others_can_reach_warns_once(capsys: pytest.CaptureFixture[str]) -> None:
    with serving(replace(SETTINGS, grpc=Listen("0.0.0.0", 0)), loaded=False):
        pass
    written = capsys.readouterr()
    assert (written.out + written.err).count("open_to_other_machines") == 1
