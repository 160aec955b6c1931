"""Estimators of scikit-learn that are not on the list, by skops, where that is installed."""

import io
import zipfile

from ._classes import SavedModelError

_HOMES = ("sklearn.", "numpy.", "scipy.", "builtins.", "collections.")
# Beside what skops trusts itself: arrays, and lists of arrays.
_HARMLESS = {
    *("scipy.sparse._csr.csr_matrix", "scipy.sparse._csr.csr_array"),
    *("scipy.sparse._csc.csc_matrix", "scipy.sparse._csc.csc_array"),
}
_INSTALL = "pip install 'skrr2qc[skops]'"


def dump_foreign(estimator):
    """Bytes of a skops file, of an estimator made of nothing but scikit-learn's parts."""
    skops = _skops("saved")
    content = skops.dumps(estimator)
    types = skops.get_untrusted_types(data=content)
    others = sorted(name for name in types if not name.startswith(_HOMES))
    if others:
        raise SavedModelError(f"it holds {', '.join(others)}, which cannot be saved inside of it.")
    return content


def load_foreign(content, trusted):
    """The estimator of a skops file, if it holds only types that skops or the caller trusts."""
    skops = _skops("loaded")
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        if any(entry.compress_type != zipfile.ZIP_STORED for entry in archive.infolist()):
            raise SavedModelError("A skops part of the model is compressed, which none here is.")
    types = set(skops.get_untrusted_types(data=content))
    others = sorted(types - _HARMLESS - set(trusted))
    if others:
        raise SavedModelError(
            f"A part of the model holds {others}, which can crash or take over a program if the "
            f"file is hostile. If you know where it is from, load it with trusted={others}."
        )
    estimator = skops.loads(content, trusted=sorted(types))
    if not type(estimator).__module__.startswith("sklearn."):
        raise SavedModelError(f"A part of the model is a {type(estimator).__name__}.")
    return estimator


def _skops(done):
    try:
        import skops.io
    except ImportError as error:
        raise SavedModelError(
            f"it can only be {done} with skops, which is not installed: {_INSTALL}."
        ) from error
    return skops.io
