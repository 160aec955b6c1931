"""The safetensors file: what others read, what is refused, how much memory it takes."""

import io
import json

import numpy as np
import pytest
import safetensors.numpy
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.testing import assert_array_equal

from skrr2qc.persistence import SavedModelError
from skrr2qc.persistence._tensors import TensorReader, TensorWriter

DTYPES = [
    *("bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"),
    *("float32", "float64"),
]


def written(arrays, half=None):
    writer, file = TensorWriter(half), io.BytesIO()
    names = [writer.add(array, name, is_weight=True) for name, array in arrays.items()]
    writer.write(file)
    return file.getvalue(), names


def read(data):
    return TensorReader(io.BytesIO(data), len(data))


@settings(max_examples=50, deadline=None)
@given(
    st.lists(
        st.sampled_from(DTYPES).flatmap(
            lambda d: hnp.arrays(d, hnp.array_shapes(min_dims=0, min_side=0, max_side=4))
        ),
        max_size=4,
    )
)
def test_round_trip(arrays):
    data, names = written({f"a{i}": array for i, array in enumerate(arrays)})
    reader = read(data)
    for name, array in zip(names, arrays, strict=True):
        found = reader.take(name)
        assert found.dtype == array.dtype
        assert found.shape == array.shape
        assert found.tobytes() == array.tobytes()  # signs of zero and kinds of NaN, too
    assert reader.unused() == []


def test_the_library_reads_the_same():
    arrays = {
        "weight": np.arange(6, dtype=np.float32).reshape(2, 3),
        "ids": np.arange(3),
        "flags": np.array([True, False]),
        "number": np.array(2.5),
    }
    found = safetensors.numpy.load(written(arrays)[0])
    assert found.keys() == arrays.keys()
    for name, array in arrays.items():
        assert_array_equal(found[name], array, strict=True)


def test_a_file_of_the_library_is_read():
    arrays = {"a": np.ones(3, np.float32), "b": np.arange(4, dtype=np.int16)}
    data = safetensors.numpy.save(arrays, metadata={"made": "elsewhere"})
    reader = read(data)
    for name, array in arrays.items():
        assert_array_equal(reader.take(name), array, strict=True)


@pytest.mark.parametrize("half", ["float16", "bfloat16"])
def test_half_precision(half):
    weight = np.random.default_rng(0).normal(size=(300, 40)).astype(np.float32)
    arrays = {"weight": weight, "bias": weight[0].copy(), "double": np.full((2, 2), 0.1)}
    data, _ = written(arrays, half)
    reader = read(data)
    expected = torch.from_numpy(weight).to(getattr(torch, half)).float().numpy()
    assert_array_equal(reader.take("weight"), expected, strict=True)
    assert_array_equal(reader.take("bias"), arrays["bias"], strict=True)  # as good as free
    assert_array_equal(reader.take("double"), arrays["double"], strict=True)
    assert len(data) < 0.55 * weight.nbytes


def test_half_precision_has_no_number_for_it():
    large = np.full((2, 2), 1e6, np.float32)
    with pytest.raises(SavedModelError, match=r"`w` holds .* Save with dtype='bfloat16'"):
        written({"w": large}, "float16")
    assert_array_equal(read(written({"w": large}, "bfloat16")[0]).take("w"), 999424)
    with pytest.raises(SavedModelError, match="`w` holds nan"):
        written({"w": np.full((2, 2), np.nan, np.float32)}, "bfloat16")


def test_equal_content_is_written_once_and_read_apart():
    array = np.arange(1000.0)
    data, names = written({"a": array, "b": array.copy(), "c": array.copy()})
    assert names == ["a", "a", "c"]  # never more than two uses: memory stays within twice the file
    assert len(data) < 2.1 * array.nbytes
    reader = read(data)
    one, other = reader.take("a"), reader.take("a")
    one[0] = -1
    assert other[0] == 0
    with pytest.raises(SavedModelError, match="no tensor 'a' in the file, or no more of it"):
        reader.take("a")


def test_names_that_collide_are_told_apart():
    data, names = written({"a": np.zeros(2)})
    writer = TensorWriter()
    names = [writer.add(np.array([float(i)]), "a") for i in range(3)]
    assert len(set(names)) == 3


def test_arrays_are_aligned_as_in_torch():
    """Some kernels round otherwise where memory begins elsewhere."""
    data, _ = written({f"a{i}": np.ones(i + 1, np.float32) for i in range(5)})
    reader = read(data)
    for i in range(5):
        assert reader.take(f"a{i}").ctypes.data % 64 == 0


def header(entries, n_bytes=0, length=None):
    content = entries if isinstance(entries, bytes) else json.dumps(entries).encode()
    length = len(content) if length is None else length
    return length.to_bytes(8, "little") + content + bytes(n_bytes)


def entry(dtype="F32", shape=(2,), offsets=(0, 8)):
    return {"dtype": dtype, "shape": list(shape), "data_offsets": list(offsets)}


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "no header"),
        (b"\x10\0\0", "no header"),
        (header({}, length=2**60), "no header"),
        (header([]), "is no object"),
        (header({"a": entry(shape=(10**15,))}, 8), "not where its shape says"),
        (header({"a": entry(shape=(2, 10**30))}, 8), "not where its shape says"),
        (header({"a": entry(shape=(-2,))}, 8), "unknown type or shape"),
        (header({"a": entry(shape=(2.0,))}, 8), "unknown type or shape"),
        (header({"a": entry(dtype="PICKLE")}, 8), "unknown type or shape"),
        (header({"a": entry(offsets=(4, 12))}, 12), "not where its shape says"),
        (header({"a": entry(), "b": entry()}, 8), "not where its shape says"),
        (header({"a": entry()}, 4), "should have"),
        (header({"a": entry()}, 12), "should have"),
    ],
)
def test_files_that_lie(data, message):
    with pytest.raises(SavedModelError, match=message):
        read(data)


def test_a_file_that_became_shorter():
    data, _ = written({"a": np.arange(100.0)})
    with pytest.raises(SavedModelError, match="ends before its last byte"):
        TensorReader(io.BytesIO(data[:-8]), len(data))
