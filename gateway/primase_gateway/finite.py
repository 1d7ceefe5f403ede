"""Numbers that JSON can write and clients can use."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from primase_gateway.errors import Refusal

MESSAGE = "the model gave numbers that are not finite"


def finite(numbers: NDArray[Any]) -> NDArray[Any]:
    """`numbers`, none of which is NaN or infinite. Raises Refusal (INTERNAL).

    Such an answer is a fault of the model, and never one of the client.
    """
    if not np.isfinite(numbers).all():
        raise Refusal("INTERNAL", MESSAGE)
    return numbers
