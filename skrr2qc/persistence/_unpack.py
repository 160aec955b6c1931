"""JSON and arrays as the estimator that they were; only of what is on the list."""

from math import prod

import numpy as np
import torch

from ..label_space import LabelSpace
from ._classes import (
    ADDED_SINCE,
    KNOWN_PATTERNS,
    NUMBER_TYPES,
    TEXT_VECTORIZERS,
    SavedModelError,
    default_attributes,
    find_class,
    is_attribute,
    record_fields,
)
from ._foreign import load_foreign
from ._modules import restore_module
from ._pack import SPARSE


class Unpacker:
    """Parts of a model from what its files hold.

    Parameters
    ----------
    config : dict
        Its "objects" and "label_spaces" are read.
    tensors : TensorReader
    files : dict of str to bytes
    device : str or None
        Set on every part that has a device.
    trusted : collection of str
        Patterns and types that the caller accepts, beside those that are known.
    """

    def __init__(self, config, tensors, files, device=None, trusted=()):
        self._config, self._tensors, self._files = config, tensors, files
        self._device, self._trusted = device, set(trusted)
        self._objects, self._spaces = [], []

    def unpack(self):
        """The estimator: the last object, which refers to those before it."""
        self._spaces = [LabelSpace.from_dict(space) for space in self._config["label_spaces"]]
        for entry in self._config["objects"]:
            self._objects.append(self._object(entry["class"], entry["attributes"]))
        if self._tensors.unused():
            raise SavedModelError(f"Nothing refers to the tensors {self._tensors.unused()[:3]}.")
        return self._objects[-1]

    def _value(self, node):
        if isinstance(node, list):
            return [self._value(item) for item in node]
        if not isinstance(node, dict):
            return node
        kind = node.get("$")
        if kind not in self._METHODS:
            raise SavedModelError(f"Values of the kind {kind!r:.40} are not known.")
        return self._METHODS[kind](self, node)

    def _float(self, node):
        return float(node["value"])

    def _number(self, node):
        return NUMBER_TYPES[node["dtype"]].type(self._value(node["value"]))

    def _type(self, node):
        return NUMBER_TYPES[node["name"]].type

    def _dtype(self, node):
        return NUMBER_TYPES[node["name"]]

    def _tuple(self, node):
        return tuple(self._value(node["items"]))

    def _set(self, node):
        return set(self._value(node["items"]))

    def _frozenset(self, node):
        return frozenset(self._value(node["items"]))

    def _dict(self, node):
        if "items" in node:
            return {key: self._value(value) for key, value in node["items"].items()}
        return {self._value(key): self._value(value) for key, value in node["pairs"]}

    def _texts(self, node):
        joined, ends = self._tensors.take(node["utf8"]), self._tensors.take(node["ends"])
        starts = np.concatenate([[0], ends[:-1]]) if ends.size else ends
        if (ends < starts).any() or (ends[-1] if ends.size else 0) != joined.size:
            raise SavedModelError("Texts do not end where they should.")
        content = joined.tobytes()
        bounds = zip(starts.tolist(), ends.tolist(), strict=True)
        return [content[start:end].decode("utf-8", "surrogatepass") for start, end in bounds]

    def _numbering(self, node):
        return {text: i for i, text in enumerate(self._texts(node))}

    def _array(self, node):
        array = self._tensors.take(node["tensor"])
        if node.get("dtype") == "float16":
            array = array.astype(np.float16)
        return array.T if node.get("order") == "F" else array

    def _strings(self, node):
        items, shape = self._value(node["items"]), node["shape"]
        if len(items) != prod(shape) or not all(type(n) is int and n >= 0 for n in shape):
            raise SavedModelError(f"{len(items)} strings have no shape {shape!r:.40}.")
        if node["dtype"] == "str":
            return np.array(items, dtype=str).reshape(shape)
        array = np.empty(len(items), dtype=object)
        array[:] = items
        return array.reshape(shape)

    def _torch(self, node):
        return torch.from_numpy(self._array(node["array"]))

    def _sparse(self, node):
        parts = tuple(self._array(node[name]) for name in ("data", "indices", "indptr"))
        shape = tuple(node["shape"])
        if len(shape) != 2 or not all(type(n) is int and 0 <= n < 2**62 for n in shape):
            raise SavedModelError(f"A sparse matrix has no shape {shape!r:.40}.")
        matrix = SPARSE[node["type"]](parts, shape=shape)
        matrix.check_format(full_check=True)
        return matrix

    def _labels(self, node):
        return self._spaces[_index(node)]

    def _reference(self, node):
        return self._objects[_index(node)]

    def _random_state(self, node):
        random_state = np.random.RandomState()
        random_state.set_state(("MT19937", *self._value(node["state"])))
        return random_state

    def _skops(self, node):
        return load_foreign(self._files[node["file"]], self._trusted)

    def _file(self, node):
        return self._files[node["name"]].decode()

    def _object(self, name, attributes):
        kind, fields = find_class(name), record_fields(find_class(name))
        if fields is not None:
            added = ADDED_SINCE.get(name, {})
            if set(attributes) | set(added) != set(fields):
                raise SavedModelError(f"A {name} has no fields {sorted(attributes)!r:.80}.")
            given = {k: self._value(v) for k, v in attributes.items()}
            return self._record(kind, added | given)
        wrong = [key for key in attributes if not is_attribute(kind, key)]
        if wrong:
            raise SavedModelError(
                f"{name} has no attributes {wrong[:3]} in this version of skrr2qc or scikit-learn."
            )
        if name in TEXT_VECTORIZERS:
            self._check_vectorizer(attributes)
        made = kind.__new__(kind)
        vars(made).update(dict.fromkeys(attributes))  # in the order they had
        missing = {**default_attributes(kind), **ADDED_SINCE.get(name, {})}
        vars(made).update({k: v for k, v in missing.items() if k not in attributes})
        modules = {k: v for k, v in attributes.items() if _is_module(v)}
        for key, node in attributes.items():
            if key not in modules:
                vars(made)[key] = self._value(node)
        if self._device is not None and "device" in attributes:
            made.device = self._device
        for key, node in modules.items():  # they may need the encoder beside them
            vars(made)[key] = self._module(made, key, node)
        return made

    def _record(self, kind, fields):
        if kind.__name__ != "TextTokenizer":
            return kind(**fields)
        try:
            return kind(**fields)
        except BaseException as error:  # what the tokenizer's own code raises is no Exception
            if isinstance(error, Exception) or type(error).__name__ == "PanicException":
                raise SavedModelError(f"A tokenizer cannot be read: {error}") from error
            raise

    def _check_vectorizer(self, attributes):
        if attributes.get("input") != "content":
            raise SavedModelError("A vectorizer would read files that texts name.")
        pattern = attributes.get("token_pattern")
        if pattern is not None and pattern not in KNOWN_PATTERNS | self._trusted:
            raise SavedModelError(
                f"A vectorizer splits texts by the pattern {pattern!r:.200}, and a hostile pattern "
                "can take forever. If you know where the model is from, load it with "
                f"trusted=[{pattern!r}]."
            )

    def _module(self, owner, name, node):
        if name not in getattr(owner, "_module_names", ()):
            raise SavedModelError(f"{type(owner).__name__} has no network `{name}`.")
        arrays = {key: self._tensors.take(tensor) for key, tensor in node["tensors"].items()}
        return restore_module(owner, name, self._value(node["init_args"]), arrays)

    _METHODS = {
        "float": _float,
        "number": _number,
        "type": _type,
        "dtype": _dtype,
        "tuple": _tuple,
        "set": _set,
        "frozenset": _frozenset,
        "dict": _dict,
        "texts": _texts,
        "numbering": _numbering,
        "array": _array,
        "strings": _strings,
        "torch": _torch,
        "sparse": _sparse,
        "labels": _labels,
        "object": _reference,
        "random_state": _random_state,
        "skops": _skops,
        "file": _file,
    }


def _is_module(node):
    return isinstance(node, dict) and node.get("$") == "module"


def _index(node):
    index = node["index"]
    if type(index) is not int or index < 0:
        raise SavedModelError(f"{index!r:.40} is no number of a part.")
    return index
