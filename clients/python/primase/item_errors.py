"""Which items of a request an error is about, by its field paths such as `items[3].sequence`."""

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence

from primase.exceptions import BY_REASON, PrimaseError, Violation

_ITEM_PATH = re.compile(r"items\[(\d+)\]")


def errors_by_item(error: PrimaseError) -> Mapping[int, PrimaseError]:
    """The error of each item that `error` names; nothing where it is about anything else too."""
    violations = defaultdict(list)
    for violation in error.violations:
        path = _ITEM_PATH.match(violation.field)
        if path is None:
            return {}
        violations[int(path[1])].append(violation)
    return {item: _narrowed(error, violations[item]) for item in violations}


def with_item_numbers(error: PrimaseError, numbers: Sequence[int]) -> PrimaseError:
    """The same error, its paths naming item `numbers[i]` in place of item i."""

    def renumber(path: re.Match[str]) -> str:
        item = int(path[1])
        return f"items[{numbers[item]}]" if item < len(numbers) else path[0]

    violations = [v._replace(field=_ITEM_PATH.sub(renumber, v.field, 1)) for v in error.violations]
    if tuple(violations) == error.violations:
        return error
    return _narrowed(error, violations)


def problem_of(error: PrimaseError) -> str:
    """What is wrong with the one item that failed with `error`, without the path to it."""
    return "; ".join(violation.description for violation in error.violations) or str(error)


def _narrowed(error: PrimaseError, violations: Sequence[Violation]) -> PrimaseError:
    reasons = {violation.reason for violation in violations}
    reason = (reasons.pop() if len(reasons) == 1 else "") or error.reason
    return BY_REASON.get(reason, type(error))(
        "; ".join(f"{v.field}: {v.description}" for v in violations),
        error.code,
        reason,
        error.retryable,
        error.retry_after_s,
        tuple(violations),
        error.request_id,
    )
