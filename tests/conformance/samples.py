"""What the events of a generation come to, and the rules that they keep."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

LISTS = ("token_ids", "log_probs", "sampled_probs", "elapsed_ms")
ARRAYS = ("logits", "alternative_ids", "alternative_log_probs")

Event = Mapping[str, Any]


def joined(events: Sequence[Event]) -> list[dict[str, Any]]:
    """One object for each sample, in order of item and sample."""
    return [
        _sample(place, found)
        for place, found in sorted(_by_sample(events).items(), key=lambda entry: entry[0])
    ]


def violations(events: Sequence[Event], must_end: bool) -> Iterator[str]:
    """The rules that are not kept; every sample has an end where `must_end`."""
    for (index, sample), found in _by_sample(events).items():
        place = f"sample {sample} of item {index}"
        kinds = [event["event"] for event in found]
        ends = [kind for kind in kinds if kind in ("finished", "failed")]
        if kinds.count("started") > 1 or (kinds[0] != "started" and kinds != ["failed"]):
            yield f"{place} has the events {kinds}"
        if len(ends) > 1 or (ends and kinds[-1] != ends[0]) or (must_end and not ends):
            yield f"{place} ends with {kinds[-3:]}"
        yield from _miscounted(found, place)


def _miscounted(found: Sequence[Event], place: str) -> Iterator[str]:
    total = 0
    for event in found:
        if event["event"] == "tokens":
            num_tokens = len(event["token_ids"])
            total += num_tokens
            counts = {name: len(event[name]) for name in LISTS if name in event}
            counts |= {name: one["shape"][0] for name, one in event.get("arrays", {}).items()}
            if wrong := {name for name, count in counts.items() if count != num_tokens}:
                yield f"{place} has a message of {num_tokens} tokens in which {wrong} differ"
        elif event["event"] == "finished" and event["num_generated_tokens"] != total:
            yield f"{place} has {total} tokens and says {event['num_generated_tokens']}"


def _by_sample(events: Sequence[Event]) -> dict[tuple[int, int], list[Event]]:
    found: dict[tuple[int, int], list[Event]] = {}
    for event in events:
        found.setdefault((event["index"], event["sample"]), []).append(event)
    return found


def _sample(place: tuple[int, int], found: Sequence[Event]) -> dict[str, Any]:
    tokens = [event for event in found if event["event"] == "tokens"]
    by_kind = {event["event"]: event for event in found}
    parts = [event.get("arrays", {}) for event in tokens]
    return {
        "index": place[0],
        "sample": place[1],
        "text": "".join(event["text"] for event in tokens),
        "num_tokens": sum(len(event["token_ids"]) for event in tokens),
        "started": by_kind.get("started"),
        "finished": by_kind.get("finished"),
        "error": by_kind.get("failed", {}).get("error"),
        **{name: [one for event in tokens for one in event.get(name, [])] for name in LISTS},
        "arrays": {
            name: {"shape": _joined_shape([part[name]["shape"] for part in parts])}
            for name in ARRAYS
            if parts and all(name in part for part in parts)
        },
    }


def _joined_shape(shapes: Sequence[Sequence[int]]) -> list[int]:
    return [sum(shape[0] for shape in shapes), *shapes[0][1:]]
