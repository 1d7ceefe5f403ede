"""Work on fixed tensors of a CPU, traced so that its Python is not run again.

Of small operations Python takes half the time. What is traced is a list of calls of torch.
"""

import warnings
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

Work = Callable[[], Tensor]
Repeat = Callable[[Sequence[Tensor]], Tensor]

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # torch means to replace all of this, by what needs a compiler
    # no plans for the shapes that come, which is half of the memory of a trace: nothing is fused
    torch.jit.set_fusion_strategy([("STATIC", 0), ("DYNAMIC", 0)])


def traced(work: Work, given: Sequence[Tensor]) -> tuple[Repeat | None, Tensor]:
    """Run the work once: what repeats it from now on, and what it made this time.

    The rules are those of `device_graph.recorded`. `given` names every tensor that exists before
    and does not always hold the same, which torch would take for a constant; what repeats the work
    is handed these or others like them. None where torch cannot trace the work.
    """
    made: list[Tensor] = []

    def seen(*_: Tensor) -> Tensor:
        made.append(work())
        return made[-1]

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            repeat = torch.jit.trace(seen, tuple(given), check_trace=False)
    except (AttributeError, RuntimeError):
        return None, made[-1] if made else work()
    return (lambda tensors: repeat(*tensors)), made[-1]
