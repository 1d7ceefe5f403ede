"""Run the benchmarks named on the command line, or all of them."""

import pkgutil
import sys
from importlib import import_module

import click

import tests.benchmarks


def find_names() -> list[str]:
    """Return the names of the modules next to this one."""
    modules = pkgutil.iter_modules(tests.benchmarks.__path__)
    return sorted(module.name for module in modules if not module.name.startswith("_"))


def main() -> None:
    for name in sys.argv[1:] or find_names():
        click.echo(f"== {name}")
        import_module(f"tests.benchmarks.{name}").main()


if __name__ == "__main__":
    main()
