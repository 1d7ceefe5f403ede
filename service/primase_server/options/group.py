"""Options that belong together reach their command as one argument."""

import functools
import inspect
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

FunctionT = TypeVar("FunctionT", bound=Callable[..., Any])


def group(
    argument: str, options: Sequence[Callable[[Any], Any]], gather: Callable[..., object]
) -> Callable[[FunctionT], FunctionT]:
    """A decorator that adds the options, in their order.

    gather: makes `argument` of them; its parameters have the names that click gives the options.
    """
    names = tuple(inspect.signature(gather).parameters)

    def with_options(command: FunctionT) -> FunctionT:
        @functools.wraps(command)
        def with_argument(**given: Any) -> Any:
            gathered = gather(**{name: given.pop(name) for name in names})
            return command(**{argument: gathered}, **given)

        decorated: Any = with_argument
        for option in reversed(options):
            decorated = option(decorated)
        return decorated  # type: ignore[no-any-return]  # the command with another signature

    return with_options
