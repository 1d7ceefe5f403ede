"""500 real proteins in one call: each has one end, in order, and the too long fail alone."""

import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from google.rpc import error_details_pb2, status_pb2

from primase.esm2.v1 import esm2_service_pb2 as pb
from primase.esm2.v1.esm2_service_pb2_grpc import Esm2ServiceStub
from primase.esm2_client import Esm2
from primase.tensors import SliceAssembler
from tests.e2e.proteins import uniprot_500
from tests.e2e.server import COMMAND, Server

MAX_RESIDUES = 2048
TOLERANCE = 1e-4


@pytest.fixture(scope="module")
def responses(server: Server) -> Sequence[pb.StreamEncodeResponse]:
    request = pb.StreamEncodeRequest(
        model="esm2-650m",
        items=[pb.EncodeItem(id=id_, sequence=sequence) for id_, sequence in uniprot_500()],
    )
    with grpc.insecure_channel(server.target) as channel:
        return list(Esm2ServiceStub(channel).StreamEncode(request, timeout=120))


def ends(responses: Sequence[pb.StreamEncodeResponse]) -> Iterator[pb.StreamEncodeResponse]:
    return (r for r in responses if r.rows.last or r.WhichOneof("event") == "failed")


def violation(status: status_pb2.Status) -> error_details_pb2.BadRequest.FieldViolation:
    for detail in status.details:
        found = error_details_pb2.BadRequest()
        if detail.Unpack(found):
            [only] = found.field_violations
            return only
    raise AssertionError("the status names no field")


def test_the_proteins_are_as_long_as_they_should_be() -> None:
    lengths = [len(protein.sequence) for protein in uniprot_500()]
    assert (len(lengths), min(lengths), max(lengths)) == (500, 8, 4291)


def test_every_protein_has_exactly_one_end_in_order(
    responses: Sequence[pb.StreamEncodeResponse],
) -> None:
    order = [response.item_index for response in responses]
    assert order == sorted(order)
    assert [response.item_index for response in ends(responses)] == list(range(500))
    assert [response.id for response in ends(responses)] == [p.id for p in uniprot_500()]


def test_only_the_too_long_fail_and_each_says_where(
    responses: Sequence[pb.StreamEncodeResponse],
) -> None:
    too_long = [i for i, p in enumerate(uniprot_500()) if len(p.sequence) > MAX_RESIDUES]
    failed = {r.item_index: r.failed for r in responses if r.WhichOneof("event") == "failed"}
    assert list(failed) == too_long
    assert too_long
    for index, status in failed.items():
        assert status.code == grpc.StatusCode.INVALID_ARGUMENT.value[0]
        broken = violation(status)
        assert broken.field == f"items[{index}].sequence"
        assert broken.reason == "SEQUENCE_TOO_LONG"
        assert str(len(uniprot_500()[index].sequence)) in broken.description
        assert str(MAX_RESIDUES) in broken.description


def test_among_499_others_a_protein_has_the_mean_it_has_alone(
    responses: Sequence[pb.StreamEncodeResponse], esm2: Esm2
) -> None:
    means = {r.item_index: mean_of(r) for r in responses if r.rows.last}
    assert all(mean.shape == (32,) and np.isfinite(mean).all() for mean in means.values())
    for index in [*range(0, 500, 25), longest_that_fits()]:
        if index not in means:
            continue
        [alone] = esm2.encode(uniprot_500()[index].sequence)
        expected = alone.value.mean[6]
        assert np.abs(means[index] - expected).max() <= TOLERANCE * np.abs(expected).max()


def mean_of(response: pb.StreamEncodeResponse) -> np.ndarray[Any, Any]:
    [piece] = response.rows.slices
    assert (piece.kind, piece.layer) == (pb.INCLUDE_MEAN, 6)
    assembler = SliceAssembler()
    assembler.add(piece.slice)
    return assembler.array()


def longest_that_fits() -> int:
    lengths = [len(protein.sequence) for protein in uniprot_500()]
    return lengths.index(max(length for length in lengths if length <= MAX_RESIDUES))


def test_the_command_writes_them_and_reports_the_too_long(
    server: Server, responses: Sequence[pb.StreamEncodeResponse], tmp_path: Path
) -> None:
    too_long = {r.item_index for r in responses if r.WhichOneof("event") == "failed"}
    chosen = sorted({*range(0, 500, 4), *too_long})
    proteins = [uniprot_500()[index] for index in chosen]
    source, output = tmp_path / "in.fasta", tmp_path / "means.npz"
    source.write_text("".join(f">{protein.id}\n{protein.sequence}\n" for protein in proteins))
    options = ("--model=esm2-650m", f"--server={server.target}", f"--output={output}")
    ran = subprocess.run(
        (COMMAND, "encode", source, *options),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert ran.returncode == 1
    reports = ran.stderr.splitlines()
    assert reports.pop() == f"{len(too_long)} failed"
    for index, report in zip(sorted(too_long), reports, strict=True):
        protein = uniprot_500()[index]
        assert report.startswith(f"{protein.id}: has {len(protein.sequence)} residues")
    with np.load(output) as written:
        assert written["ids"].tolist() == [protein.id for protein in proteins]
        failed = np.flatnonzero(written["errors"] != "").tolist()
        means = dict(zip(chosen, written["mean/6"], strict=True))
    assert [chosen[place] for place in failed] == sorted(too_long)
    for response in responses:
        if response.rows.last and response.item_index in means:
            expected = mean_of(response)
            difference = np.abs(means[response.item_index] - expected).max()
            assert difference <= TOLERANCE * np.abs(expected).max()
