"""REST with TLS, its certificate changed while it serves; and TLS on the way to the service."""

import http.client
import ssl
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from primase_gateway.settings import Settings
from primase_server.settings import Tls
from tests.certificate import self_signed, shown
from tests.gateway.live import gateway
from tests.gateway.scripted import ScriptedServer
from tests.gateway.test_main import process, said_at_its_end
from tests.rpc.live import SETTINGS, serving

LIVE = "/v1/health/live"
READY = "/v1/health/ready"


def trusting(cert: Path, own: tuple[Path, Path] | None = None) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=cert)
    if own is not None:
        context.load_cert_chain(*own)
    return context


def made(folder: Path) -> tuple[Path, Path]:
    folder.mkdir()
    return self_signed(folder)


def test_a_connection_goes_on_over_a_change_and_a_new_one_sees_it(
    service: ScriptedServer, tmp_path: Path
) -> None:
    cert, key = self_signed(tmp_path)
    old = cert.read_bytes()
    settings = Settings(server=service.address, tls_cert=cert, tls_key=key)
    with gateway(settings) as running:
        open_one = http.client.HTTPSConnection(
            "localhost", running.port, timeout=30, context=trusting(cert)
        )
        open_one.request("GET", LIVE)
        assert open_one.getresponse().read() == b'{"status":"live"}'
        socket = open_one.sock
        self_signed(tmp_path)
        assert shown(running.port, "http/1.1") == cert.read_bytes() != old
        url = f"https://localhost:{running.port}{LIVE}"
        assert httpx.get(url, verify=trusting(cert)).status_code == 200
        open_one.request("GET", LIVE)
        assert open_one.getresponse().status == 200
        assert open_one.sock is socket
        key.write_text("half a key")
        newest = cert.read_bytes()
        assert shown(running.port, "http/1.1") == newest
        open_one.close()


def test_plain_http_is_not_answered(service: ScriptedServer, tmp_path: Path) -> None:
    cert, key = self_signed(tmp_path)
    settings = Settings(server=service.address, tls_cert=cert, tls_key=key)
    with gateway(settings) as running, pytest.raises(httpx.RemoteProtocolError):
        httpx.get(running.url + LIVE)


def test_clients_show_their_own_certificate(service: ScriptedServer, tmp_path: Path) -> None:
    cert, key = made(tmp_path / "server")
    mine, theirs = made(tmp_path / "client"), made(tmp_path / "stranger")
    settings = Settings(server=service.address, tls_cert=cert, tls_key=key, tls_client_ca=mine[0])
    with gateway(settings) as running:
        url = f"https://localhost:{running.port}{LIVE}"
        assert httpx.get(url, verify=trusting(cert, mine)).status_code == 200
        for own in (None, theirs):
            with pytest.raises(httpx.TransportError):
                httpx.get(url, verify=trusting(cert, own))
        mine[0].write_bytes(theirs[0].read_bytes())
        assert httpx.get(url, verify=trusting(cert, theirs)).status_code == 200


def test_it_calls_a_service_with_tls_and_shows_its_own_certificate(tmp_path: Path) -> None:
    cert, key = made(tmp_path / "server")
    own = made(tmp_path / "gateway")
    with serving(replace(SETTINGS, tls=Tls(cert, key, own[0]))) as live:
        trusted = Settings(
            server=f"localhost:{live.app.grpc_port}",
            server_ca=cert,
            server_cert=own[0],
            server_key=own[1],
        )
        with gateway(trusted) as running:
            assert httpx.get(running.url + READY).json() == {"status": "ready"}
        without = replace(trusted, server_cert=None, server_key=None)
        with gateway(without) as running:
            assert httpx.get(running.url + READY).status_code == 503


def test_the_process_takes_files_from_the_environment(
    service: ScriptedServer, tmp_path: Path
) -> None:
    cert, key = self_signed(tmp_path)
    files = {"PRIMASE_GATEWAY_TLS_CERT": str(cert), "PRIMASE_GATEWAY_TLS_KEY": str(key)}
    with process("--server", service.address, "--port", "0", environment=files) as running:
        url = f"https://localhost:{running.port}{LIVE}"
        assert httpx.get(url, verify=trusting(cert)).status_code == 200


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (("--tls-cert", "CERT"), "--tls-cert and --tls-key go together"),
        (("--server-key", "KEY"), "--server-cert and --server-key go together"),
        (("--tls-client-ca", "CERT"), "--tls-client-ca needs --tls-cert"),
        (("--tls-cert", "KEY", "--tls-key", "KEY"), "these do not fit together as files of TLS"),
    ],
)
def test_files_that_do_not_go_together(
    tmp_path: Path, arguments: tuple[str, ...], why: str
) -> None:
    cert, key = self_signed(tmp_path)
    given = [a.replace("CERT", str(cert)).replace("KEY", str(key)) for a in arguments]
    assert why in said_at_its_end("--port", "0", *given)
