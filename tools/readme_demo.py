"""Write into README.md what `primase demo` prints where it is shown there.

    python -m tools.readme_demo [--server HOST:PORT]

The demo has to run there, with the trained models (`make demo`). What is written is what it
printed, but for the address, which is that of `make demo`.
"""

import argparse
import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

PAGE = Path(__file__).resolve().parent.parent / "README.md"
SERVER, REST_URL = "localhost:50051", "http://localhost:8000"

BLOCK = re.compile(r"(?<=```console\n)\$ (primase demo.*)\n((?s:.*?))(?=```)")
"""The command, and what it prints."""


def filled(page: str, printed: Callable[[list[str]], str]) -> str:
    """The page with what each command printed."""

    def block(found: re.Match[str]) -> str:
        arguments = shlex.split(found[1], comments=True)
        return f"$ {found[1]}\n{printed(arguments).strip(chr(10))}\n"

    return BLOCK.sub(block, page)


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--server", default=SERVER, help="HOST:PORT")
    server = parser.parse_args().server

    def printed(arguments: list[str]) -> str:
        program = str(Path(sys.executable).parent / arguments[0])
        command = [program, *arguments[1:], f"--server={server}", f"--rest-url={REST_URL}"]
        ran = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
        return ran.stdout.replace(server, SERVER)

    PAGE.write_text(filled(PAGE.read_text(), printed))


if __name__ == "__main__":
    main()
