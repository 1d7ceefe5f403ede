"""The Go client by its own tools."""

import shutil
import subprocess

from tests.golang import CLIENT, go


def test_its_own_tests_pass() -> None:
    assert "FAIL" not in go("test", "./...")


def test_everything_is_vetted_and_formatted() -> None:
    go("vet", "./...")
    gofmt = shutil.which("gofmt")
    assert gofmt is not None
    unformatted = subprocess.run([gofmt, "-l", CLIENT], capture_output=True, text=True, check=True)
    assert unformatted.stdout == ""


def test_the_module_file_names_what_is_used_and_no_more() -> None:
    assert go("mod", "tidy", "-diff") == ""
    assert "all modules verified" in go("mod", "verify")
