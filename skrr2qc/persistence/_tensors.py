"""Arrays in one safetensors file: written by name, read in bounded memory."""

import json
from dataclasses import dataclass
from math import prod

import numpy as np
import torch

from ._classes import SavedModelError

_TYPES = {
    "BOOL": np.bool_, "U8": np.uint8, "I8": np.int8, "U16": np.uint16, "I16": np.int16,
    "U32": np.uint32, "I32": np.int32, "U64": np.uint64, "I64": np.int64, "F16": np.float16,
    "BF16": np.uint16, "F32": np.float32, "F64": np.float64,
}  # fmt: skip
_NAMES = {np.dtype(kind): name for name, kind in _TYPES.items() if name != "BF16"}
_KINDS = {"float16": "F16", "bfloat16": "BF16"}
_HALF = {"F16": torch.float16, "BF16": torch.bfloat16}
_MOST_USES = 2  # of one array in a file: what is read never takes more than twice the file
_MOST_HEADER_BYTES = 2**24
_ALIGNMENT = 64  # as torch has it: kernels may round otherwise elsewhere
_SAMPLE = 16  # entries by which equal arrays are suspected
_CHUNK = 2**22


@dataclass
class _Entry:
    """An array to be written, or one that was read; `kind` is its type in the file."""

    array: np.ndarray
    kind: str
    n_uses: int = 1


class TensorWriter:
    """Arrays that are to go into one file, each content once.

    Parameters
    ----------
    half : {"float16", "bfloat16"} or None
        Precision of float32 arrays of two dimensions and more.
    """

    def __init__(self, half=None):
        self.half = half
        self._entries = {}
        self._alike = {}

    def add(self, array, name, *, is_weight=False):
        """Take a contiguous array; return the name it will have in the file.

        `is_weight` lets it be rounded to half precision.
        """
        kind = _NAMES[array.dtype]
        if is_weight and self.half and kind == "F32" and array.ndim > 1:
            kind = _KINDS[self.half]
            _check_range(array, name, self.half)
        key = (kind, array.shape, _sample(array))
        for known in self._alike.setdefault(key, []):
            entry = self._entries[known]
            if entry.n_uses < _MOST_USES and _same_bytes(entry.array, array):
                entry.n_uses += 1
                return known
        while name in self._entries:
            name += "_"
        self._alike[key].append(name)
        self._entries[name] = _Entry(array, kind)
        return name

    @property
    def n_bytes(self):
        """Bytes of all arrays as they are written."""
        return sum(_n_bytes(entry.kind, entry.array.shape) for entry in self._entries.values())

    def write(self, file):
        """Write everything to a binary file that has ``write``."""
        ordered = sorted(self._entries.items(), key=lambda item: (-_width(item[1].kind), item[0]))
        header, end = {}, 0
        for name, entry in ordered:
            start, end = end, end + _n_bytes(entry.kind, entry.array.shape)
            shape = list(entry.array.shape)
            header[name] = {"dtype": entry.kind, "shape": shape, "data_offsets": [start, end]}
        content = json.dumps(header, separators=(",", ":")).encode()
        content += b" " * (-len(content) % 8)
        file.write(len(content).to_bytes(8, "little") + content)
        for _, entry in ordered:
            file.write(_as_stored(entry).reshape(-1).view(np.uint8))


class TensorReader:
    """Arrays of one file, read and checked as a whole before the first is handed out.

    Parameters
    ----------
    file : binary file
        Its ``read`` and ``readinto`` are used once, from front to back.
    size : int
        Bytes of the file, known from elsewhere: nothing longer is allocated.
    """

    def __init__(self, file, size):
        self._entries = {}
        for name, kind, shape in _read_header(file, size):
            array = _aligned(shape, np.float32 if kind in _HALF else _TYPES[kind])
            flat = array.reshape(-1)
            n_items = _CHUNK // _width(kind)
            for start in range(0, flat.size, n_items):  # in pieces that a hash finds in the cache
                _read_part(file, flat[start : start + n_items], kind, name)
            self._entries[name] = _Entry(array, kind, 0)

    def take(self, name):
        """The array of a name, as float32 if it was rounded; at most twice, each its own memory."""
        entry = self._entries.get(name) if isinstance(name, str) else None
        if entry is None or entry.n_uses == _MOST_USES:
            raise SavedModelError(f"There is no tensor {name!r:.80} in the file, or no more of it.")
        entry.n_uses += 1
        if entry.n_uses == 1:
            return entry.array
        copy = _aligned(entry.array.shape, entry.array.dtype)
        copy[...] = entry.array
        return copy

    def unused(self):
        """Names that nobody took."""
        return [name for name, entry in self._entries.items() if not entry.n_uses]


def _read_header(file, size):
    """Name, type and shape of each tensor, in the order of the file."""
    start = file.read(8)
    length = int.from_bytes(start, "little")
    if len(start) < 8 or not 0 < length <= min(size - 8, _MOST_HEADER_BYTES):
        raise SavedModelError("The safetensors file has no header.")
    header = json.loads(file.read(length))
    if not isinstance(header, dict):
        raise SavedModelError("The header of the safetensors file is no object.")
    header.pop("__metadata__", None)
    found, end = [], 0
    for name, entry in sorted(header.items(), key=lambda item: item[1]["data_offsets"]):
        kind, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
        if kind not in _TYPES or not all(type(n) is int and n >= 0 for n in shape):
            raise SavedModelError(f"The tensor {name!r:.80} has an unknown type or shape.")
        n_bytes = _n_bytes(kind, shape)
        if offsets != [end, end + n_bytes] or len(shape) > 8:
            raise SavedModelError(f"The tensor {name!r:.80} is not where its shape says.")
        end += n_bytes
        found.append((name, kind, tuple(shape)))
    if 8 + length + end != size:
        raise SavedModelError(f"The safetensors file should have {8 + length + end} bytes.")
    return found


def _n_bytes(kind, shape):
    return _width(kind) * prod(shape)


def _width(kind):
    return np.dtype(_TYPES[kind]).itemsize


def _aligned(shape, dtype):
    n_bytes = np.dtype(dtype).itemsize * prod(shape)
    memory = np.empty(n_bytes + _ALIGNMENT, dtype=np.uint8)
    start = -memory.ctypes.data % _ALIGNMENT
    return memory[start : start + n_bytes].view(dtype).reshape(shape)


def _as_stored(entry):
    if entry.array.dtype != np.float32 or entry.kind not in _HALF:
        return entry.array
    array = entry.array if entry.array.flags.writeable else entry.array.copy()
    return torch.from_numpy(array).to(_HALF[entry.kind]).view(torch.int16).numpy()


def _read_part(file, part, kind, name):
    """Fill an array from a file, widening what was rounded."""
    raw = np.empty(part.shape, np.int16) if kind in _HALF else part
    if file.readinto(memoryview(raw.view(np.uint8))) != raw.nbytes:
        raise SavedModelError(f"The tensor {name!r:.80} ends before its last byte.")
    if kind in _HALF:
        torch.from_numpy(part).copy_(torch.from_numpy(raw).view(_HALF[kind]))


def _check_range(array, name, half):
    ends = array.min(initial=0.0), array.max(initial=0.0)
    highest = 65504.0 if half == "float16" else 3.38e38
    if not (ends[0] >= -highest and ends[1] <= highest):
        raise SavedModelError(
            f"`{name}` holds {ends[0]:g} or {ends[1]:g}, which {half} has no number for. "
            + ("Save with dtype='bfloat16'." if half == "float16" else "Save without `dtype`.")
        )


def _sample(array):
    flat = array.reshape(-1)
    return flat[:: max(1, flat.size // _SAMPLE)].tobytes()


def _same_bytes(one, other):
    return one is other or np.array_equal(
        one.reshape(-1).view(np.uint8), other.reshape(-1).view(np.uint8)
    )
