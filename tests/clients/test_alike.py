"""The asyncio client is the blocking one, but for how it waits."""

import inspect
import re
from collections.abc import Callable
from typing import Any

import pytest

import primase

PAIRS = [
    (primase.Client, primase.AsyncClient),
    (primase.Admin, primase.AsyncAdmin),
    (primase.Esm2, primase.AsyncEsm2),
    (primase.Evo2, primase.AsyncEvo2),
    (primase.ProGen2, primase.AsyncProGen2),
]
BLOCKING_ALONE = {"__enter__", "__exit__"}
OF_GRPC = {"__init__", "call", "channel"}  # its types of both kinds differ
ASYNC_ALONE = {"__aenter__", "__aexit__"}


def methods(kind: type) -> dict[str, Callable[..., Any]]:
    found = {
        name: value.fget if isinstance(value, property) else value
        for name, value in vars(kind).items()
    }
    return {name: value for name, value in found.items() if callable(value)}


def returned(method: Callable[..., Any]) -> str:
    """What it returns, as a blocking method would."""
    annotation = str(inspect.signature(method).return_annotation)
    text = re.sub(r"\bAsync|\baio_", "", annotation)
    # An asynchronous generator is not sent values by a `return`, and has a type the fewer.
    return text.replace(", None, None]", ", None]")


@pytest.mark.parametrize(("blocking", "asynchronous"), PAIRS)
def test_same_methods(blocking: type, asynchronous: type) -> None:
    ours, theirs = methods(blocking), methods(asynchronous)
    assert ours.keys() - BLOCKING_ALONE == theirs.keys() - ASYNC_ALONE


@pytest.mark.parametrize(("blocking", "asynchronous"), PAIRS)
def test_same_arguments_results_and_words(blocking: type, asynchronous: type) -> None:
    theirs = methods(asynchronous)
    for name, method in methods(blocking).items():
        if name in BLOCKING_ALONE | OF_GRPC:
            continue
        ours, other = inspect.signature(method), inspect.signature(theirs[name])
        assert str(ours.parameters) == str(other.parameters), name
        assert returned(method) == returned(theirs[name]), name
        # An asynchronous iterator does not end with its last reference, and says so.
        if name != "stream":
            assert inspect.getdoc(method) == inspect.getdoc(theirs[name]), name


def test_same_words_of_the_whole() -> None:
    for blocking, asynchronous in PAIRS[1:]:
        assert inspect.getdoc(blocking) == inspect.getdoc(asynchronous)
    assert inspect.getdoc(primase.connect) == inspect.getdoc(primase.connect_async)
    ours, theirs = map(inspect.signature, (primase.connect, primase.connect_async))
    assert str(ours.parameters) == str(theirs.parameters)


def test_every_public_name_is_explained() -> None:
    for name in primase.__all__:
        assert inspect.getdoc(getattr(primase, name)), name
    for kind in (primase.Client, primase.Admin, primase.Esm2, primase.Evo2, primase.ProGen2):
        for name, method in methods(kind).items():
            assert name.startswith("_") or inspect.getdoc(method), f"{kind.__name__}.{name}"
