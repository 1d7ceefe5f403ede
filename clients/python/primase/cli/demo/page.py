"""How the demo looks: lines of at most 96 characters, with colour where that is wanted."""

import textwrap
from collections.abc import Iterable

import click

WIDTH = 96
INDENT = "  "


class Page:
    """Writes to stdout. Click leaves the colours out where that is no terminal."""

    def heading(self, number: int, title: str, about: str) -> None:
        """Of a step. about: what stands at the right end of the line."""
        left = f"── {number}  {title} "
        rule = "─" * max(2, WIDTH - len(left) - len(about) - 1)
        click.echo(click.style(f"\n{left}", bold=True) + click.style(f"{rule} {about}", dim=True))

    def text(self, text: str) -> None:
        """A paragraph."""
        self.lines(textwrap.wrap(" ".join(text.split()), WIDTH - len(INDENT)))

    def lines(self, lines: Iterable[str], *, bold: bool = False) -> None:
        """Lines as they are, indented."""
        for line in lines:
            click.echo(click.style(INDENT + line, bold=True) if bold else (INDENT + line).rstrip())

    def space(self) -> None:
        """An empty line."""
        click.echo()

    def piece(self, text: str) -> None:
        """Part of a line, shown at once."""
        click.echo(click.style(text, fg="green"), nl=False)

    def took(self, seconds: float) -> None:
        """The end of a result."""
        click.echo(click.style(f"\n{INDENT}took {seconds:.2f} s", dim=True))

    def failure(self, reason: str) -> None:
        """In place of a result, or of its end."""
        click.echo(click.style(f"\n{INDENT}failed: {reason}", fg="red"))

    def command(self, label: str, command: str) -> None:
        """Something to paste: from the first column, since Python minds."""
        click.echo(click.style(f"\n# {label}", dim=True))
        click.echo(command)
