from pathlib import Path

from tools.generate import GO_MODULE, STUBS, find_stale, go_import, read_generated, write

MODULE = STUBS / "toy/v1/toy_pb2.py"
STUB = STUBS / "toy/v1/toy_pb2.pyi"
GO_FILE = GO_MODULE / "toy/v1/toy.pb.go"


def put(root: Path, path: Path, content: bytes) -> None:
    (root / path).parent.mkdir(parents=True, exist_ok=True)
    (root / path).write_bytes(content)


def test_reads_generated_files_and_nothing_written_by_hand(tmp_path: Path) -> None:
    put(tmp_path, MODULE, b"module")
    put(tmp_path, STUBS / "toy/v1/__init__.py", b"package")
    put(tmp_path, STUBS / "toy/__init__.py", b"package")
    put(tmp_path, STUBS / "__init__.py", b"by hand")
    put(tmp_path, STUBS / "tensors.py", b"by hand")
    put(tmp_path, GO_FILE, b"go")
    put(tmp_path, GO_MODULE / "tensors.go", b"by hand")

    assert read_generated(tmp_path) == {
        MODULE: b"module",
        STUBS / "toy/v1/__init__.py": b"package",
        STUBS / "toy/__init__.py": b"package",
        GO_FILE: b"go",
    }


def test_a_proto_becomes_a_go_package_named_for_its_folders() -> None:
    assert go_import("example.org/bio", "primase/esm2/v1/x.proto") == (
        "example.org/bio/esm2/v1;esm2v1"
    )


def test_stale_is_what_differs_is_missing_or_is_left_over() -> None:
    current = {Path("same"): b"1", Path("differs"): b"1", Path("left over"): b"1"}
    wanted = {Path("same"): b"1", Path("differs"): b"2", Path("missing"): b"1"}

    assert find_stale(current, wanted) == [Path("differs"), Path("left over"), Path("missing")]


def test_writing_makes_the_tree_what_is_wanted(tmp_path: Path) -> None:
    put(tmp_path, MODULE, b"old")
    put(tmp_path, STUB, b"left over")
    put(tmp_path, STUBS / "tensors.py", b"by hand")
    wanted = {MODULE: b"new", STUBS / "other/v1/other_pb2.py": b"new"}

    write(tmp_path, read_generated(tmp_path), wanted)

    assert read_generated(tmp_path) == wanted
    assert (tmp_path / STUBS / "tensors.py").read_bytes() == b"by hand"
