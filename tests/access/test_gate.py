"""Which calls are let in."""

from pathlib import Path

import pytest

from primase_server.access.gate import Gate
from primase_server.access.keys import Keys
from primase_server.errors import PermissionDenied, Unauthenticated
from tests.access.keys import add_key

ENCODE = "/primase.esm2.v1.Esm2Service/Encode"
REFLECTION = "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"
ADMIN = "/primase.admin.v1.AdminService/LoadModel"
HEALTH = "/grpc.health.v1.Health/Check"
AFAR = "ipv4:192.0.2.7:5000"


@pytest.mark.parametrize("scheme", ["Bearer", "Token", "bearer", "TOKEN"])
def test_both_schemes_in_any_case(tmp_path: Path, scheme: str) -> None:
    key = add_key(tmp_path / "k", "lab")
    gate = Gate(Keys(tmp_path / "k"))
    assert gate.admit(ENCODE, [f"{scheme} {key}"], AFAR).name == "lab"


@pytest.mark.parametrize("credentials", [[], [""], ["Bearer"], ["Bearer "], ["Basic KEY"], ["KEY"]])
@pytest.mark.parametrize("method", [ENCODE, REFLECTION, ADMIN])
def test_without_a_key_nobody_passes(tmp_path: Path, credentials: list[str], method: str) -> None:
    key = add_key(tmp_path / "k", "lab")
    gate = Gate(Keys(tmp_path / "k"))
    with pytest.raises(Unauthenticated):
        gate.admit(method, [text.replace("KEY", key) for text in credentials], "ipv4:127.0.0.1:1")


def test_two_keys_at_once_are_none(tmp_path: Path) -> None:
    key = add_key(tmp_path / "k", "lab")
    with pytest.raises(Unauthenticated):
        Gate(Keys(tmp_path / "k")).admit(ENCODE, [f"Bearer {key}", "Bearer other"], AFAR)


def test_scopes(tmp_path: Path) -> None:
    lab, ops = add_key(tmp_path / "k", "lab"), add_key(tmp_path / "k", "ops", "admin")
    gate = Gate(Keys(tmp_path / "k"))
    with pytest.raises(PermissionDenied, match="the key 'lab' lacks the scope 'admin'"):
        gate.admit(ADMIN, [f"Bearer {lab}"], AFAR)
    for method in (ADMIN, ENCODE, REFLECTION):
        assert gate.admit(method, [f"Token {ops}"], AFAR).name == "ops"


def test_probes_need_no_key(tmp_path: Path) -> None:
    add_key(tmp_path / "k", "lab")
    assert Gate(Keys(tmp_path / "k")).admit(HEALTH, [], AFAR).name == ""


@pytest.mark.parametrize(
    ("peer", "may_administrate"),
    [
        ("unix:", True),
        ("unix:/run/primase/socket", True),
        ("ipv4:127.0.0.1:40000", True),
        ("ipv6:%5B::1%5D:40000", True),
        ("ipv6:[::1]:40000", True),
        (AFAR, False),
        ("ipv4:12.7.0.1:40000", False),
        ("ipv6:%5B2001:db8::1%5D:40000", False),
    ],
)
def test_without_keys_anybody_may_ask_models_and_this_machine_administrates(
    peer: str, may_administrate: bool
) -> None:
    gate = Gate()
    assert gate.admit(ENCODE, ["whatever"], peer).name == ""
    if may_administrate:
        assert gate.admit(ADMIN, [], peer).name == ""
    else:
        with pytest.raises(PermissionDenied, match="a call from another machine"):
            gate.admit(ADMIN, [], peer)
