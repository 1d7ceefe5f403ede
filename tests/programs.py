"""Runs the modules of a package that are programs: those with a `main`, named by their file."""

import pkgutil
from collections.abc import Iterable
from importlib import import_module
from types import ModuleType

import click


def find_names(package: ModuleType) -> list[str]:
    """The modules that do not begin with an underscore, in order."""
    modules = pkgutil.iter_modules(package.__path__)
    return sorted(module.name for module in modules if not module.name.startswith("_"))


def run(package: ModuleType, names: Iterable[str]) -> None:
    """Run them one after the other."""
    for name in names:
        click.echo(f"== {name}")
        import_module(f"{package.__name__}.{name}").main()
