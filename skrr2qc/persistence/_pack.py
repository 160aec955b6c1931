"""A fitted estimator as JSON and arrays, part by part; or a reason why not, with its place."""

import math

import numpy as np
import scipy.sparse as sp
import torch

from ..label_space import LabelSpace
from ._classes import (
    LEFT_OUT,
    NUMBER_TYPES,
    PLACES,
    TEXT_VECTORIZERS,
    TRAINING_TEXTS,
    SavedModelError,
    is_attribute,
    name_of,
    record_fields,
)
from ._foreign import dump_foreign
from ._modules import describe_module
from ._tensors import TensorWriter

SPARSE = {
    kind.__name__: kind for kind in (sp.csr_matrix, sp.csc_matrix, sp.csr_array, sp.csc_array)
}
_MANY = 100  # strings that are better kept as bytes than as JSON
_DEEPEST = 60


class Packer:
    """Parts of a model as they go into files. Nothing is written here.

    Parameters
    ----------
    half : {"float16", "bfloat16"} or None
    keep_texts : bool
        Whether the texts that a classifier was trained on, which it quotes, are kept.

    Attributes
    ----------
    objects : list of dict
        Class and attributes of each part, after the parts that it refers to.
    label_spaces : list of dict
    tensors : TensorWriter
    files : dict of str to bytes
    """

    def __init__(self, half=None, keep_texts=True):
        self.objects, self.label_spaces, self.files = [], [], {}
        self.tensors = TensorWriter(half)
        self._keep_texts = keep_texts
        self._known = {}  # id -> what stands for the object, and the object, so that it lives on
        self._open = []

    def pack(self, value, path):
        """What stands for a value in JSON; `path` is where it was found, for messages."""
        if value is None or type(value) in (bool, int, str):
            return value
        if path.count(".") + path.count("[") > _DEEPEST:
            raise SavedModelError(f"`{path[:200]}...` is nested too deeply to be saved.")
        if isinstance(value, np.generic):
            return self._number(value, path)
        for kind, method in self._METHODS:
            if type(value) is kind:
                return method(self, value, path)
        if sp.issparse(value):
            return self._sparse(value, path)
        is_type = isinstance(value, type) and issubclass(value, np.generic)
        if is_type or isinstance(value, np.dtype):
            return self._dtype(value, path)
        return self._shared(value, path, self._object)

    def _float(self, value, path):
        return value if math.isfinite(value) else {"$": "float", "value": str(value)}

    def _number(self, value, path):
        if isinstance(value, np.str_):
            return str(value)
        name = value.dtype.name
        if name not in NUMBER_TYPES:
            raise _refusal(path, f"is a NumPy scalar of type {name}")
        return {"$": "number", "dtype": name, "value": self.pack(value.item(), path)}

    def _dtype(self, value, path):
        name = np.dtype(value).name
        if name not in NUMBER_TYPES:
            raise _refusal(path, f"is the type {name}")
        return {"$": "type" if isinstance(value, type) else "dtype", "name": name}

    def _list(self, value, path):
        if len(value) >= _MANY and all(type(item) is str for item in value):
            return {"$": "texts", **self._bytes(value, path)}
        return [self.pack(item, f"{path}[{i}]") for i, item in enumerate(value)]

    def _tuple(self, value, path):
        return {"$": "tuple", "items": self._list(list(value), path)}

    def _set(self, value, path):
        items = sorted(value, key=lambda item: (type(item).__name__, item))
        return {"$": type(value).__name__, "items": self._list(items, path)}

    def _dict(self, value, path):
        if len(value) >= _MANY and _is_numbering(value):
            return {"$": "numbering", **self._bytes(sorted(value, key=value.get), path)}
        pairs = [[self.pack(k, path), self.pack(v, f"{path}[{k!r}]")] for k, v in value.items()]
        if all(type(key) is str for key, _ in pairs):
            return {"$": "dict", "items": dict(pairs)}
        return {"$": "dict", "pairs": pairs}

    def _bytes(self, texts, path):
        """Strings one after the other, and where each ends."""
        encoded = [text.encode("utf-8", "surrogatepass") for text in texts]
        ends = np.cumsum([len(text) for text in encoded], dtype=np.int64)
        joined = np.frombuffer(b"".join(encoded), dtype=np.uint8)
        if not ends.size or ends[-1] < 2**31:
            ends = ends.astype(np.int32)
        names = self.tensors.add(joined, f"{path}.utf8"), self.tensors.add(ends, f"{path}.ends")
        return {"utf8": names[0], "ends": names[1]}

    def _array(self, value, path):
        if value.dtype.kind in "UO":
            items = self.pack(value.ravel().tolist(), path)
            kind = "str" if value.dtype.kind == "U" else "object"
            return {"$": "strings", "dtype": kind, "shape": list(value.shape), "items": items}
        if value.dtype.name not in NUMBER_TYPES:
            raise _refusal(path, f"is an array of type {value.dtype}")
        value = value.astype(value.dtype.newbyteorder("="), copy=False)
        node = {"$": "array"}
        if value.dtype == np.float16:  # that type in a file stands for what was rounded
            node["dtype"], value = "float16", value.astype(np.float32)
        if value.flags.f_contiguous and not value.flags.c_contiguous:
            node["order"], value = "F", value.T  # products round by it
        array = np.ascontiguousarray(value).reshape(value.shape)
        is_weight = "dtype" not in node
        return node | {"tensor": self.tensors.add(array, path, is_weight=is_weight)}

    def _tensor(self, value, path):
        node = self._array(value.detach().cpu().numpy(), path)
        return {"$": "torch", "array": node}

    def _sparse(self, value, path):
        if type(value).__name__ not in SPARSE:
            raise _refusal(path, f"is a {type(value).__name__}", "Convert it with .tocsr().")
        parts = {n: self._array(getattr(value, n), f"{path}.{n}") for n in ("data", "indices")}
        parts["indptr"] = self._array(value.indptr, f"{path}.indptr")
        return {"$": "sparse", "type": type(value).__name__, "shape": list(value.shape), **parts}

    def _labels(self, value, path):
        def write(value, path):
            self.label_spaces.append(value.to_dict())
            return {"$": "labels", "index": len(self.label_spaces) - 1}

        return self._shared(value, path, write)

    def _random_state(self, value, path):
        _, *state = value.get_state(legacy=True)
        return {"$": "random_state", "state": self.pack(state, path)}

    def _shared(self, value, path, write):
        """Write an object once; later only say which it was."""
        if id(value) not in self._known:
            if any(value is waiting for waiting in self._open):
                raise _refusal(path, "refers back to what it is part of")
            self._open.append(value)
            self._known[id(value)] = write(value, path), value
            self._open.pop()
        return self._known[id(value)][0]

    def _object(self, value, path):
        value = value.without_memory() if hasattr(type(value), "without_memory") else value
        kind, name = type(value), name_of(type(value))
        if name is None:
            return {"$": "skops", "file": self._foreign(value, path)}
        fields = record_fields(kind)
        if kind.__name__ == "TextTokenizer":
            attributes = self._tokenizer(value, path)
        elif fields is not None:
            attributes = {f: self.pack(getattr(value, f), f"{path}.{f}") for f in fields}
        else:
            attributes = self._attributes(value, name, path)
        self.objects.append({"class": name, "attributes": attributes})
        return {"$": "object", "index": len(self.objects) - 1}

    def _tokenizer(self, value, path):
        file = self._new_file("tokenizer", ".json", value.definition.encode())
        numbers = {f: getattr(value, f) for f in ("max_length", "pad_id", "mask_id")}
        return {"definition": {"$": "file", "name": file}} | {
            field: self.pack(number, f"{path}.{field}") for field, number in numbers.items()
        }

    def _attributes(self, value, name, path):
        packed, modules = {}, getattr(type(value), "_module_names", ())
        for key, content in vars(value).items():
            where = f"{path}.{key}" if path else key
            if key in LEFT_OUT:
                continue
            if not is_attribute(type(value), key):
                raise _refusal(where, f"is no parameter and no fitted attribute of {name}")
            if key in PLACES:
                content = PLACES[key]
            elif key in TRAINING_TEXTS and not self._keep_texts:
                content = content[:0]
            if key in modules and isinstance(content, torch.nn.Module):
                packed[key] = self._module(content, where)
            elif name in TEXT_VECTORIZERS and key == "input" and content != "content":
                raise _refusal(where, f"is {content!r}: it would let texts name files to be read")
            else:
                packed[key] = self.pack(content, where)
        return packed

    def _module(self, module, path):
        init_args, arrays = describe_module(module)
        names = {
            name: self.tensors.add(array, f"{path}.{name}", is_weight=True)
            for name, array in arrays.items()
        }
        return {"$": "module", "init_args": self.pack(init_args, path), "tensors": names}

    def _foreign(self, value, path):
        kind = type(value)
        if not kind.__module__.startswith("sklearn.") or not hasattr(value, "get_params"):
            named = getattr(value, "__qualname__", None)  # of functions and classes
            what = f"of the type {kind.__module__}.{kind.__qualname__}"
            raise _refusal(path, f"is {what}" if named is None else f"is code ({named})")
        try:
            return self._new_file("part", ".skops", dump_foreign(value))
        except SavedModelError as error:
            raise _refusal(path, f"is a {kind.__name__}: {error}", "") from error

    def _new_file(self, stem, suffix, content):
        taken = sum(name.startswith(stem) for name in self.files)
        name = f"{stem}_{taken}{suffix}" if taken else f"{stem}{suffix}"
        self.files[name] = content
        return name

    _METHODS = (
        (float, _float),
        (list, _list),
        (tuple, _tuple),
        (set, _set),
        (frozenset, _set),
        (dict, _dict),
        (np.ndarray, _array),
        (np.memmap, _array),
        (torch.Tensor, _tensor),
        (LabelSpace, _labels),
        (np.random.RandomState, _random_state),
    )


def _is_numbering(value):
    """Whether strings are numbered from 0 on, as the vocabulary of a vectorizer is."""
    if not all(type(key) is str for key in value):
        return False
    numbers = value.values()
    if not all(isinstance(n, (int, np.integer)) and not isinstance(n, bool) for n in numbers):
        return False
    return set(map(int, numbers)) == set(range(len(value)))


def _refusal(path, what, way_out=None):
    if way_out is None:
        way_out = (
            "If only fit needs it, set it to None there before saving; otherwise replace it by an "
            "estimator of skrr2qc or scikit-learn."
        )
    return SavedModelError(f"`{path}` {what}, which cannot be saved. {way_out}".strip())
