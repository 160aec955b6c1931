"""Saved models: a folder of JSON, safetensors and tokenizer files, written and read as a whole."""

import json
import os
import platform
import warnings
from collections.abc import Mapping
from contextlib import ExitStack
from importlib.metadata import PackageNotFoundError, version
from numbers import Integral, Real

import numpy as np
from sklearn.exceptions import NotFittedError
from sklearn.utils.validation import check_is_fitted

from .. import __version__
from ._card import changed_parameters, model_card, parameters_of, training_summary
from ._classes import SavedModelError, is_stable, name_of
from ._disk import (
    CARD,
    CONFIG,
    FORMAT,
    HashedFile,
    checksum,
    existing_folder,
    is_file_name,
    open_inside,
    read_json,
    replacing,
    write_file,
)
from ._pack import Packer
from ._tensors import TensorReader
from ._unpack import Unpacker

FORMAT_VERSION = 1
WEIGHTS = "model.safetensors"
_PACKAGES = ("numpy", "scipy", "scikit-learn", "torch", "transformers", "tokenizers", "skops")


def save_model(
    estimator, folder, *, overwrite=False, dtype=None, include_training_texts=True, metrics=None
):
    """Write a fitted estimator to a folder that `load_model` reads; nothing is pickled.

    Parameters
    ----------
    estimator : estimator
        Any of this package, or a scikit-learn Pipeline that ends in one or starts with one.
    folder : str or path
        Made, or replaced once all is written: a crash leaves the old model or the new one.
    overwrite : bool, default=False
        Whether a model in `folder` may be replaced. Nothing else ever is.
    dtype : {"float16", "bfloat16"}, default=None
        Half the precision for weights, in half the space. Scores change in the third digit;
        they are computed in float32 as before.
    include_training_texts : bool, default=True
        Whether to write the training texts that ``explain`` quotes. Without them it quotes none.
    metrics : dict of str to number, default=None
        What the model reached, for config.json and the model card.

    Returns
    -------
    folder : path
        As given.

    Raises
    ------
    SavedModelError
        A ValueError, before anything is written: if a part cannot be saved, with its place.
    NotFittedError
        If the estimator is not fitted.
    FileExistsError
        If there is something in `folder` that must not be replaced.
    OSError
        If the disk is full, say. What was in `folder` is then still whole.

    See Also
    --------
    load_model : Reads it.

    Examples
    --------
    >>> import tempfile
    >>> from skrr2qc import TfidfLinearClassifier
    >>> from skrr2qc.persistence import load_model, save_model
    >>> texts, Y = ["area of a circle", "mean of a sample"] * 4, [[1, 0], [0, 1]] * 4
    >>> classifier = TfidfLinearClassifier(random_state=0).fit(texts, Y)
    >>> folder = save_model(classifier, tempfile.mkdtemp())
    >>> bool((load_model(folder).predict(texts) == Y).all())
    True
    """
    if dtype not in (None, "float32", "float16", "bfloat16"):
        raise ValueError(f"`dtype` must be 'float16', 'bfloat16' or None, got {dtype!r}.")
    metrics = None if metrics is None else _checked_metrics(metrics)
    name = name_of(type(estimator))
    if name is None or not hasattr(estimator, "get_params"):
        raise SavedModelError(
            f"{type(estimator).__name__} cannot be saved by itself. Save a fitted estimator of "
            "skrr2qc, or a scikit-learn Pipeline of such."
        )
    _check_fitted(estimator)
    packer = Packer(None if dtype == "float32" else dtype, include_training_texts)
    packer.pack(estimator, "")
    config = {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "class": name,
        "parameters": parameters_of(estimator),
        "versions": _versions(),
        "training": training_summary(estimator, include_training_texts),
        "metrics": metrics,
        "dtype": dtype or "float32",
        "label_spaces": packer.label_spaces,
        "objects": packer.objects,
    }
    with replacing(folder, overwrite) as temporary:
        files = {WEIGHTS: write_file(temporary, WEIGHTS, packer.tensors.write)}
        for file, content in packer.files.items():
            files[file] = write_file(temporary, file, lambda out, data=content: out.write(data))
        config["files"] = files
        config["checksum"] = checksum(config)
        content = json.dumps(config, indent=1, allow_nan=False).encode()
        write_file(temporary, CONFIG, lambda out: out.write(content))
        card = model_card(config, changed_parameters(estimator)).encode("utf-8", "replace")
        write_file(temporary, CARD, lambda out: out.write(card))
    return folder


def load_model(folder, *, device="auto", trusted=()):
    """Read a model that `save_model` has written, in this version or an earlier one.

    Parameters
    ----------
    folder : str or path
        Nothing outside of it is read, and nothing asked over a network.
    device : str or None, default="auto"
        Where parts are to compute from now on; None leaves it as it was saved.
    trusted : sequence of str, default=()
        Patterns of vectorizers, and types within scikit-learn, that are accepted although they
        are not on the list of what is harmless. The error without them names them.

    Returns
    -------
    estimator : estimator
        Whose scores are those of the one that was saved, bit by bit on the same machine.

    Raises
    ------
    SavedModelError
        A ValueError: if files are missing, damaged, written by a later version, or ask for
        something that is not on the fixed list of classes.

    Warns
    -----
    UserWarning
        If parts of scikit-learn were fitted in another version of it.
    """
    if isinstance(trusted, str):
        raise TypeError(f"`trusted` must be a sequence of str, got the str {trusted!r}.")
    folder = existing_folder(folder)
    config = read_json(folder)
    _check_format(config, folder)
    try:
        _warn_of_versions(config)
        tensors, files = _read_files(config, folder)
        estimator = Unpacker(config, tensors, files, device, trusted).unpack()
        if name_of(type(estimator)) != config["class"]:
            raise SavedModelError("`class` is not that of the last object.")
    except SavedModelError as error:
        raise SavedModelError(f"The model in {folder} cannot be loaded. {error}") from error
    except Exception as error:  # whatever a file makes Python or a library say
        raise SavedModelError(
            f"The model in {folder} cannot be loaded: its content makes no sense "
            f"({type(error).__name__}: {error!s:.300})."
        ) from error
    return estimator


def _check_format(config, folder):
    if config.get("format") != FORMAT:
        raise SavedModelError(f"{folder / CONFIG} is not that of a saved skrr2qc model.")
    found = config.get("format_version")
    if type(found) is not int or not 1 <= found <= FORMAT_VERSION:
        writer = config["versions"] if isinstance(config.get("versions"), dict) else {}
        raise SavedModelError(
            f"The model in {folder} has format version {found!r:.40}, written by skrr2qc "
            f"{writer.get('skrr2qc')!r:.40}; skrr2qc {__version__} reads versions up to "
            f"{FORMAT_VERSION}. Update skrr2qc."
        )
    if config.get("checksum") != checksum(config):
        raise SavedModelError(
            f"{folder / CONFIG} is damaged: it does not say what was written to it. Put back the "
            "folder, or save the model again."
        )


def _read_files(config, folder):
    """The tensors, and the content of other files; each as long, and the same, as was written."""
    listed = config["files"]
    if WEIGHTS not in listed or not all(is_file_name(name) for name in listed):
        raise SavedModelError(f"Files of such names do not belong to a model: {list(listed)[:5]}.")
    contents = {}
    with ExitStack() as stack:  # all are opened first: a save may replace the folder
        opened = {name: stack.enter_context(open_inside(folder, name)) for name in listed}
        for name, file in opened.items():
            size, expected = os.fstat(file.fileno()).st_size, listed[name]
            if size != expected["size"]:
                raise SavedModelError(f"{name} has {size} bytes instead of {expected['size']}.")
            hashed = HashedFile(file)
            if name == WEIGHTS:
                contents[name] = _read_tensors(hashed, size)
            else:
                contents[name] = hashed.read(size)
            if (hashed.size, hashed.digest) != (size, expected["sha256"]):
                raise SavedModelError(f"{name} is damaged: it does not hold what was written.")
    return contents.pop(WEIGHTS), contents


def _read_tensors(file, size):
    try:
        return TensorReader(file, size)
    except SavedModelError:
        raise
    except Exception as error:
        raise SavedModelError(f"The safetensors file is damaged ({error!s:.200}).") from error


def _warn_of_versions(config):
    then, now = config["versions"].get("scikit-learn"), _version("scikit-learn")
    names = sorted({entry["class"] for entry in config["objects"]})
    names = [name for name in names if not is_stable(name)]
    if names and then != now:
        warnings.warn(
            f"{', '.join(names)} of this model were fitted in scikit-learn {then}; this is {now}, "
            "where they may differ. Compare its scores with those it had.",
            UserWarning,
            stacklevel=4,
        )


def _check_fitted(estimator):
    try:
        check_is_fitted(estimator)
    except NotFittedError as error:
        raise NotFittedError(
            f"This {type(estimator).__name__} is not fitted: there is nothing to save yet. Call "
            "fit first. Parameters alone are given by get_params()."
        ) from error


def _checked_metrics(metrics):
    if not isinstance(metrics, Mapping):
        raise TypeError(f"`metrics` must be a dict of numbers, got {metrics!r:.80}.")
    checked = {}
    for name, value in metrics.items():
        is_number = isinstance(value, Real) and np.isfinite(value)
        if not isinstance(name, str) or not (is_number or isinstance(value, str)):
            raise TypeError(f"`metrics` must map names to finite numbers, got {name!r}: {value!r}.")
        if is_number:
            value = int(value) if isinstance(value, Integral) else float(value)
        checked[name] = value
    return checked


def _versions():
    found = {"skrr2qc": __version__, "python": platform.python_version()}
    return found | {name: _version(name) for name in _PACKAGES if _version(name)}


def _version(package):
    try:
        return version(package)
    except PackageNotFoundError:
        return None
