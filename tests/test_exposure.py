"""When a server warns that others can reach it."""

from dataclasses import replace
from pathlib import Path

import pytest

from primase_server import exposure
from primase_server.settings import Access, Listen, Screening, Settings, Tls

TLS = Tls(Path("cert"), Path("key"))
KEYS = Access(Path("keys"))


@pytest.mark.parametrize("host", ["127.0.0.1", "127.9.9.9", "::1", "[::1]", "localhost"])
def test_on_this_machine_nothing_is_lacking(host: str) -> None:
    settings = Settings(grpc=Listen(host, 1), rest=Listen(host, 2))
    assert exposure.lacks(settings) is None


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "[::]", "192.0.2.1", "lab.example.org"])
def test_what_others_can_reach_lacks_keys_and_tls(host: str) -> None:
    for settings in (
        Settings(grpc=Listen(host, 1), rest=None),
        Settings(rest=Listen(host, 2)),
    ):
        assert exposure.lacks(settings) == (exposure.NO_KEYS, exposure.NO_TLS)
        assert exposure.lacks(replace(settings, tls=TLS)) == (exposure.NO_KEYS,)
        assert exposure.lacks(replace(settings, access=KEYS)) == (exposure.NO_TLS,)
        assert exposure.lacks(replace(settings, access=KEYS, tls=TLS)) is None


@pytest.mark.parametrize(
    ("target", "is_lacking"),
    [
        ("", False),
        ("127.0.0.1:9000", False),
        ("dns:///localhost:9000", False),
        ("[::1]:9000", False),
        ("unix:/run/screener", False),
        ("screener.lab:9000", True),
        ("dns:///192.0.2.1:9000", True),
    ],
)
def test_a_screener_on_another_machine_lacks_tls(target: str, is_lacking: bool) -> None:
    screening = Screening(target=target)
    expected = (exposure.NO_SCREENER_TLS,) if is_lacking else None
    assert exposure.lacks(Settings(screening=screening)) == expected
    secret = replace(screening, ca=Path("ca"))
    assert exposure.lacks(Settings(screening=secret)) is None
