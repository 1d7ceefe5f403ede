"""Work on fixed tensors of a CPU, traced so that its Python is not run again.

Of small operations Python takes half the time. What is traced is a list of calls of torch.
"""

import warnings
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

Work = Callable[[], Tensor]


def traced(work: Work, changing: Sequence[Tensor]) -> tuple[Work, Tensor]:
    """Run the work once: what repeats it from now on, and what it made this time.

    The rules are those of `device_graph.recorded`. `changing` names every tensor that exists before
    and does not always hold the same, which torch would take for a constant. Where torch cannot
    trace the work, it is itself what repeats it.
    """
    made: list[Tensor] = []
    given = tuple(changing)

    def seen(*_: Tensor) -> Tensor:
        made.append(work())
        return made[-1]

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch means to replace this, by what needs a compiler
            repeat = torch.jit.trace(seen, given, check_trace=False)
    except (AttributeError, RuntimeError):
        return work, made[-1] if made else work()
    return (lambda: repeat(*given)), made[-1]
