"""FP8 scales out of Transformer Engine's `_extra_state`, which is a pickle, without running it.

The state is a file of `torch.save`: a zip that holds a pickle, and the bytes of each tensor beside
it. The pickle is a program; here its instructions are read one by one (`pickletools.genops`), and
what they would build is noted down: a class is its name, a call is what would be called with what.
Nothing is imported and nothing is called, so a class nobody has does no harm, nor does any other.
"""

import pickletools
import struct
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from io import BytesIO
from math import isfinite

from primase_server.models.errors import CheckpointError

SCALES = "scale_fwd"
INPUT, WEIGHT = 0, 1  # places in that tensor, as Transformer Engine orders a linear layer's

_REBUILD_TENSOR = "torch._utils _rebuild_tensor_v2"
_FLOAT_STORAGE = "torch FloatStorage"
_FLOAT_BYTES = 4
_MAX_PICKLE_BYTES = 1 << 20
_MAX_STORAGE_BYTES = 1 << 20


@dataclass(frozen=True)
class Fp8Scales:
    """What the input and the weight of a product are multiplied by before they are rounded."""

    input: float
    weight: float


def read_scales(extra_state: BytesIO) -> Fp8Scales:
    """The two scales of a linear layer's forward pass. Raises CheckpointError.

    Both are constants: without gradients Transformer Engine never moves them.
    """
    try:
        with zipfile.ZipFile(BytesIO(extra_state.getvalue())) as archive:
            values = _scales_of(archive)
    except CheckpointError:
        raise
    # damaged bytes can fail anywhere in zip, pickle or struct, with any error
    except Exception as error:
        reason = str(error).partition("\n")[0][:120]
        raise CheckpointError(f"an _extra_state cannot be read: {reason}") from error
    if len(values) <= WEIGHT:
        raise CheckpointError(f"an _extra_state has {len(values)} numbers of {SCALES}, not 2")
    scales = Fp8Scales(values[INPUT], values[WEIGHT])
    if not all(isfinite(scale) and scale > 0 for scale in (scales.input, scales.weight)):
        raise CheckpointError(f"an _extra_state has {SCALES} that are not positive numbers")
    return scales


@dataclass(frozen=True, eq=False)
class _Global:
    """A name that a pickle would import."""

    name: str


@dataclass(frozen=True, eq=False)
class _Call:
    """A call that a pickle would make, or an object that it would build."""

    function: object
    arguments: object


@dataclass(frozen=True, eq=False)
class _Storage:
    """A tensor's bytes beside the pickle, as the pickle names them."""

    reference: object


_MARK = object()


def _scales_of(archive: zipfile.ZipFile) -> tuple[float, ...]:
    [pickle] = (name for name in archive.namelist() if name.endswith("/data.pkl"))
    folder = pickle.removesuffix("data.pkl")
    if f"{folder}byteorder" in archive.namelist():
        order = _read(archive, f"{folder}byteorder", _FLOAT_BYTES * 4)
        if order != b"little":
            raise CheckpointError("an _extra_state is not little-endian")
    built = _Reader().read(_read(archive, pickle, _MAX_PICKLE_BYTES))
    if not isinstance(built, dict) or SCALES not in built:
        raise CheckpointError(f"an _extra_state has no {SCALES}")
    return _floats(archive, folder, built[SCALES])


def _floats(archive: zipfile.ZipFile, folder: str, tensor: object) -> tuple[float, ...]:
    """A float32 vector, from its place in the archive."""
    key, offset, length = _place(tensor)
    content = _read(archive, f"{folder}data/{key}", _MAX_STORAGE_BYTES)
    start = offset * _FLOAT_BYTES
    return struct.unpack_from(f"<{length}f", content, start)


def _place(tensor: object) -> tuple[str, int, int]:
    """The key of a contiguous float32 vector's storage, and offset and length in numbers."""
    match tensor:
        case _Call(
            function=_Global(name=rebuild),
            arguments=(
                _Storage(reference=("storage", _Global(name=kind), str(key), str(), int())),
                int(offset),
                (int(length),),
                (1,),
                *_,
            ),
        ) if rebuild == _REBUILD_TENSOR and kind == _FLOAT_STORAGE:
            if key.isdecimal() and 0 <= offset < _MAX_STORAGE_BYTES and 0 < length < 64:
                return key, offset, length
    raise CheckpointError(f"an _extra_state's {SCALES} is not a vector of float32")


def _read(archive: zipfile.ZipFile, name: str, max_bytes: int) -> bytes:
    """A file of the archive. Stored plainly, as `torch.save` does: packed ones may be anything."""
    info = archive.getinfo(name)
    if info.compress_type != zipfile.ZIP_STORED or info.file_size > max_bytes:
        raise CheckpointError("an _extra_state is packed, or larger than any we know")
    return archive.read(info)


class _Reader:
    """Follows a pickle's stack, and builds plain containers, numbers, texts and notes."""

    def __init__(self) -> None:
        self._stack: list[object] = []
        self._memo: dict[int, object] = {}

    def read(self, pickle: bytes) -> object:
        """What the pickle stands for. Raises CheckpointError for an instruction we do not know."""
        for opcode, argument, _ in pickletools.genops(pickle):
            if opcode.name == "STOP":
                break
            self._follow(opcode.name, argument)
        return self._stack.pop()

    def _follow(self, name: str, argument: object) -> None:
        if name in _IGNORED:
            return
        if name in _LITERALS:
            self._stack.append(argument)
        elif name in _MADE:
            self._stack.append(_MADE[name]())
        elif name in _TUPLES:
            taken = [self._stack.pop() for _ in range(_TUPLES[name])]
            self._stack.append(tuple(reversed(taken)))
        elif name in _MEMOIZES:
            index = argument if isinstance(argument, int) else len(self._memo)
            self._memo[index] = self._stack[-1]
        elif name in _RECALLS and isinstance(argument, int):
            self._stack.append(self._memo[argument])
        elif (action := _ACTIONS.get(name)) is not None:
            action(self, argument)
        else:
            raise CheckpointError(f"an _extra_state has the pickle instruction {name}")

    def _since_mark(self) -> list[object]:
        for start in range(len(self._stack) - 1, -1, -1):
            if self._stack[start] is _MARK:
                found = self._stack[start + 1 :]
                del self._stack[start:]
                return found
        raise CheckpointError("an _extra_state has a pickle without a mark")

    def _tuple(self, _: object) -> None:
        self._stack.append(tuple(self._since_mark()))

    def _global(self, name: object) -> None:
        self._stack.append(_Global(str(name)))

    def _stack_global(self, _: object) -> None:
        name, module = self._stack.pop(), self._stack.pop()
        self._stack.append(_Global(f"{module} {name}" if isinstance(module, str) else ""))

    def _call(self, _: object) -> None:
        arguments, function = self._stack.pop(), self._stack.pop()
        self._stack.append(_Call(function, arguments))

    def _storage(self, _: object) -> None:
        self._stack.append(_Storage(self._stack.pop()))

    def _forget_one(self, _: object) -> None:
        self._stack.pop()

    def _forget_since_mark(self, _: object) -> None:
        self._since_mark()

    def _set_item(self, _: object) -> None:
        value, key = self._stack.pop(), self._stack.pop()
        self._put(key, value)

    def _set_items(self, _: object) -> None:
        pairs = self._since_mark()
        for key, value in zip(pairs[::2], pairs[1::2], strict=True):
            self._put(key, value)

    def _put(self, key: object, value: object) -> None:
        into = self._stack[-1]
        # what is set on anything but a dict, or under anything but a name, is not what we look for
        if isinstance(into, dict) and isinstance(key, str):
            into[key] = value


_IGNORED = frozenset(("PROTO", "FRAME"))
_TEXTS = ("UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8", "STRING", "SHORT_BINSTRING")
_NUMBERS = ("INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "FLOAT", "BINFLOAT")
_LITERALS = frozenset((*_TEXTS, *_NUMBERS, "SHORT_BINBYTES", "BINBYTES"))
_MADE: Mapping[str, Callable[[], object]] = {
    "MARK": lambda: _MARK,
    "NONE": lambda: None,
    "NEWTRUE": lambda: True,
    "NEWFALSE": lambda: False,
    "EMPTY_DICT": dict,
    "EMPTY_LIST": list,
    "EMPTY_TUPLE": tuple,
}
_TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}
_MEMOIZES = frozenset(("BINPUT", "LONG_BINPUT", "MEMOIZE"))
_RECALLS = frozenset(("BINGET", "LONG_BINGET"))
_ACTIONS: Mapping[str, Callable[[_Reader, object], None]] = {
    "TUPLE": _Reader._tuple,
    "GLOBAL": _Reader._global,
    "STACK_GLOBAL": _Reader._stack_global,
    "REDUCE": _Reader._call,
    "NEWOBJ": _Reader._call,
    "BINPERSID": _Reader._storage,
    "BUILD": _Reader._forget_one,
    "APPEND": _Reader._forget_one,
    "APPENDS": _Reader._forget_since_mark,
    "SETITEM": _Reader._set_item,
    "SETITEMS": _Reader._set_items,
}
