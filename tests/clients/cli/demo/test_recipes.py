"""What is given to other programs, for each way to reach the server."""

import json
import shlex

from primase.channel import TlsOptions
from primase.cli.connection import Connection
from primase.cli.demo.masked_residue import MaskedResidue
from primase.cli.demo.recipes import Recipes, laid_out

PLAIN = Connection("lab:50051", None, None, None)
SECURE = Connection("lab:50051", "secret", TlsOptions("ca file.pem", "c.pem", "k.pem"), None)


def told(connection: Connection, rest_url: str = "") -> dict[str, str]:
    return dict(Recipes(connection, rest_url).of(MaskedResidue(), "esm2-8m"))


def test_plain() -> None:
    texts = told(PLAIN)
    *curl, _, body = shlex.split(texts["curl"])
    assert curl == ["curl", "-sN", "http://lab:8000/primase/v1/models/esm2-8m:predict"]
    assert texts["Python"].splitlines()[:3] == [
        "import primase",
        "",
        'client = primase.connect("lab:50051")',
    ]
    program, *options, message, target, method = shlex.split(texts["grpcurl"])
    assert (program, options) == ("grpcurl", ["-plaintext", "-d"])
    assert (target, method) == ("lab:50051", "primase.esm2.v1.Esm2Service/Predict")
    assert json.loads(message) == {"model": "esm2-8m", **json.loads(body)}


def test_rest_elsewhere() -> None:
    assert "http://other/primase/v1/models/esm2-8m:predict" in told(PLAIN, "http://other/")["curl"]


def test_a_name_of_many_addresses() -> None:
    texts = told(Connection("dns:///lab:50051", None, None, None))
    assert "http://lab:8000/primase" in texts["curl"]
    assert " lab:50051 primase.esm2" in texts["grpcurl"]
    assert 'primase.connect("dns:///lab:50051")' in texts["Python"]


def test_encrypted_and_with_a_token_that_is_not_written() -> None:
    texts = told(SECURE)
    files = "--cacert 'ca file.pem' --cert c.pem --key k.pem"
    header = '-H "authorization: Bearer $PRIMASE_TOKEN"'
    assert texts["curl"].startswith(f"curl -sN {files} {header} https://lab:8000/primase/")
    assert texts["grpcurl"].startswith(f"grpcurl {files.replace('--', '-')} {header} -d ")
    tls = "tls=primase.TlsOptions(ca_file='ca file.pem', cert_file='c.pem', key_file='k.pem')"
    token = 'token=os.environ["PRIMASE_TOKEN"]'
    assert texts["Python"].splitlines()[:4] == [
        "import os",
        "import primase",
        "",
        f'client = primase.connect("lab:50051", {token}, {tls})',
    ]
    assert "secret" not in "".join(texts.values())


def test_json_is_broken_where_it_is_long_and_never_in_a_sequence() -> None:
    value = {
        "items": [{"id": "a", "sequence": "A" * 120}],
        "options": {"x": 1, "y": ["b"]},
        "z": [],
    }
    text = laid_out(value)
    assert json.loads(text) == value
    assert text.splitlines() == [
        "{",
        '  "items": [',
        f'    {{"id": "a", "sequence": "{"A" * 120}"}}',
        "  ],",
        '  "options": {"x": 1, "y": ["b"]},',
        '  "z": []',
        "}",
    ]
    assert laid_out({"items": [{"id": "a"}]}) == '{"items": [{"id": "a"}]}'
