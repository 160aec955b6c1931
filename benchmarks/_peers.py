"""Published classifiers that need other versions than ours: each in an environment of its own."""

import json
import os
import shutil
import signal
import subprocess
import tempfile
import time
import weakref
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import scipy.sparse as sp
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from skrr2qc import MultilabelThresholdTuner, TfidfLinearClassifier
from skrr2qc.model_selection import train_holdout_split

from ._environments import environment_python
from ._machine import n_cores

_SCRIPTS = Path(__file__).parent / "peers"
_HELD_OUT = 0.1
_N_LINES = 15  # of what a child said, shown where it failed
_LEAST = np.finfo(np.float32).tiny  # score of a label that was learned, but not among the best


@dataclass(frozen=True)
class Peer:
    """How a peer is installed and run, and its parameters unless others are given."""

    script: str
    requirements: str
    parameters: dict
    pip_options: tuple = ()
    takes_texts: bool = False  # and an encoder, instead of TF-IDF features
    threshold: float | None = None  # its own rule, where none is chosen on held-out rows
    environment: dict = field(default_factory=dict)


# Where the default of a package is another one, it was chosen on the validation parts of arc and
# da20k (docs/decisions/0026). Omikuji and PECOS drop weights below 0.1 by default: among hundreds
# of thousands of features, none has much of it.
PEERS = {
    "omikuji": Peer(
        "run_omikuji.py",
        "omikuji.txt",
        {
            "n_trees": 3,
            "max_depth": 3,
            "min_branch_size": 100,
            "cluster_k": 16,  # 100 in the README, for thousands of labels
            "cluster_balanced": False,
            "linear_c": 1.0,
            "linear_max_iter": 20,
            "linear_weight_threshold": 0.01,
            "beam_size": 50,
            "top_k": 100,
        },
    ),
    "napkinxc": Peer(
        "run_napkinxc.py",
        "napkinxc.txt",
        {
            "ensemble": 3,
            "max_leaves": 100,
            "liblinear_c": 100.0,
            "weights_threshold": 0.1,
            "top_k": 50,
        },
    ),
    "pecos": Peer(
        "run_pecos.py",
        "pecos.txt",
        {
            "nr_splits": 16,
            "max_leaf_size": 100,
            "negative_sampling_scheme": "tfn",
            "Cp": 1.0,
            "Cn": 1.0,
            "threshold": 0.001,
            "beam_size": 50,
            "top_k": 100,
        },
        pip_options=("--no-deps",),
    ),
    "setfit": Peer(
        "run_setfit.py",
        "setfit.txt",
        {
            # The published 20 iterations would be 8,400 steps on arc.
            "max_steps": 200,
            "num_iterations": None,
            "batch_size": 16,
            "body_learning_rate": 2e-5,
            # 1 by default, too stiff a head for hundreds of labels.
            "head_C": 100.0,
        },
        takes_texts=True,
        threshold=0.5,
        environment={"HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"},
    ),
}


class PeerClassifier(ClassifierMixin, BaseEstimator):
    """A classifier from elsewhere, trained and asked in a process of its own environment.

    Parameters
    ----------
    peer : {"omikuji", "napkinxc", "pecos", "setfit"}
        Trees over labels (Bonsai; probabilistic label trees; XR-Linear) get the features of
        `TfidfLinearClassifier`, SetFit gets texts.
    encoder : str, default=None
        Folder of a sentence-transformers encoder; SetFit alone takes and needs one.
    parameters : dict, default=None
        Instead of some of those in ``PEERS[peer].parameters``, which hold all there are.
    random_state : int, RandomState instance or None, default=None
        Chooses the held-out rows and seeds the peer; Omikuji cannot be seeded.

    Attributes
    ----------
    classes_ : ndarray of shape (L,)
    seen_ : ndarray of int
        Labels with a training text. The peer knows of no others: those score 0, below all.
    threshold_ : float
        The best for micro-F1 on a tenth of the rows that a first, equal model did not see; SetFit,
        too slow for two models, keeps 0.5, the rule of its head.
    n_validation_ : int
        Rows that the threshold was chosen on.
    version_ : str
        Name and version of the package.
    costs_ : dict
        "fit_seconds": features, where there are any, and training of the final model.
        "fit_processor_seconds": the same as all threads worked. "fit_memory_mib": the largest
        memory of the process that trained it. After `predict_proba` also "predict_seconds" and
        "predict_processor_seconds", features and scoring. Measured where the work is done: the
        start of processes, the making of the environment, reading, writing, and the choice of the
        threshold are not counted.
    """

    def __init__(self, peer, *, encoder=None, parameters=None, random_state=None):
        self.peer = peer
        self.encoder = encoder
        self.parameters = parameters
        self.random_state = random_state

    def fit(self, X, y):
        """Train on n texts and their CSR indicator of shape (n, L); the environment is made first.

        Raises
        ------
        ValueError
            If a parameter is unknown, or texts and labels do not agree.
        RuntimeError
            If the environment cannot be made, or the peer fails.
        """
        peer, parameters = self._check_parameters()
        X, Y = list(X), sp.csr_matrix(y)
        if len(X) != Y.shape[0] or not Y.nnz:
            raise ValueError(
                f"`y` must have a row for each text and some positive, got {len(X)} texts and "
                f"shape {Y.shape} with {Y.nnz} positives."
            )
        python = make_environment(self.peer)
        rng = check_random_state(self.random_state)
        seed, split_seed = (int(number) for number in rng.randint(2**31 - 1, size=2))
        self.classes_, self.seen_ = np.arange(Y.shape[1]), np.flatnonzero(Y.getnnz(axis=0))
        self.version_ = _version(peer)
        task = {
            "parameters": parameters,
            "n_labels": len(self.seen_),
            "n_threads": n_threads(),
            "seed": seed,
            "encoder": self.encoder,
        }
        inputs, feature_costs = self._fit_inputs(peer, X)
        self._child, self._scored = _Child(self.peer, python, task), None
        self.threshold_, self.n_validation_ = peer.threshold, 0
        if peer.threshold is None:
            self._choose_threshold(inputs, Y, split_seed)
        costs = self._child.fit(inputs, Y[:, self.seen_])
        self.costs_ = _added("fit", feature_costs, costs) | {"fit_memory_mib": costs["memory_mib"]}
        return self

    def predict_proba(self, X):
        """Scores of shape (n, L), float32, in [0, 1]; of labels without training texts, 0."""
        check_is_fitted(self, "costs_")
        X = list(X)
        if self._scored is None or self._scored[0] != X:  # predict asks for the same once more
            clock = _Clock()
            inputs = X if self.vectorizer_ is None else self._features(X)
            feature_costs = clock.read()
            scores, costs = self._child.score(inputs)
            self.costs_ |= _added("predict", feature_costs, costs)
            self._scored = X, self._on_all_labels(scores)
        return self._scored[1].copy()

    def predict(self, X):
        """Labels whose score exceeds `threshold_`; ndarray of shape (n, L), int8, {0, 1}."""
        return (self.predict_proba(X) > self.threshold_).astype(np.int8)

    def _check_parameters(self):
        if self.peer not in PEERS:
            raise ValueError(f"`peer` must be one of {', '.join(PEERS)}, got {self.peer!r}")
        peer, given = PEERS[self.peer], self.parameters or {}
        unknown = sorted(set(given) - set(peer.parameters))
        if unknown:
            raise ValueError(
                f"`parameters` of {self.peer} must be of {', '.join(peer.parameters)}, got "
                f"{', '.join(unknown)}"
            )
        if peer.takes_texts and not (self.encoder and Path(self.encoder).is_dir()):
            raise ValueError(
                f"`encoder` of {self.peer} must be the folder of a sentence-transformers encoder, "
                f"got {self.encoder!r}: try the encoder 'minilm'"
            )
        return peer, peer.parameters | given

    def _fit_inputs(self, peer, X):
        """What the peer trains on, and the seconds to compute it."""
        self.vectorizer_, clock = None, _Clock()
        if peer.takes_texts:
            return X, clock.read()
        self.vectorizer_ = TfidfLinearClassifier().make_vectorizer(X).fit(X)
        inputs = self._features(X)
        return inputs, clock.read()

    def _features(self, X):
        return sp.csr_matrix(self.vectorizer_.transform(X), dtype=np.float32)

    def _choose_threshold(self, inputs, Y, seed):
        """Set `threshold_` on rows that a model of the others, equal to the final one, scores."""
        train, held_out = train_holdout_split(Y, _HELD_OUT, random_state=seed)
        if not Y[held_out].nnz:
            self.threshold_ = 0.5
            return
        self._child.fit(inputs[train], Y[train][:, self.seen_])
        scores = self._on_all_labels(self._child.score(inputs[held_out])[0])
        tuner = MultilabelThresholdTuner(_Scored(), cv="prefit", refit=False)
        self.threshold_ = float(tuner.fit(scores, Y[held_out]).best_threshold_)
        self.n_validation_ = len(held_out)

    def _on_all_labels(self, scores):
        """Scores of all labels: those the peer left out lie above those it never saw."""
        scores = scores.toarray()
        if scores.shape[1] != len(self.seen_) or not np.isfinite(scores).all():
            raise RuntimeError(f"{self.peer} gave scores of shape {scores.shape}, or infinite ones")
        complete = np.zeros((scores.shape[0], len(self.classes_)), dtype=np.float32)
        complete[:, self.seen_] = np.clip(scores, _LEAST, 1.0)
        return complete


class _Clock:
    """Seconds since it was made: on the wall, and of all threads of this process."""

    def __init__(self):
        self._start = time.perf_counter(), time.process_time()

    def read(self):
        wall, processor = self._start
        return {
            "seconds": time.perf_counter() - wall,
            "processor_seconds": time.process_time() - processor,
        }


def _added(job, *costs):
    """Both times of a job, summed over where it was done."""
    names = ("seconds", "processor_seconds")
    return {f"{job}_{name}": sum(cost[name] for cost in costs) for name in names}


class _Scored(BaseEstimator):
    """Scores as they are, for a threshold to be chosen on them."""

    def fit(self, X, y):
        return self

    def predict_proba(self, X):
        return X

    def __sklearn_is_fitted__(self):
        return True


class _Child:
    """Folder of one model, and the processes that work in it; removed with this object."""

    def __init__(self, name, python, task):
        self.name, self.python, self.peer = name, python, PEERS[name]
        self.folder = Path(tempfile.mkdtemp(prefix="skrr2qc-"))
        self._removed = weakref.finalize(self, shutil.rmtree, self.folder, ignore_errors=True)
        (self.folder / "task.json").write_text(json.dumps(task), encoding="utf-8")

    def fit(self, inputs, Y):
        """Train anew; costs in seconds and MiB."""
        shutil.rmtree(self.folder / "model", ignore_errors=True)
        files = [_write(self.folder, "train", inputs), self.folder / "labels.npz"]
        sp.save_npz(files[1], sp.csr_matrix(Y, dtype=np.float32))
        return self._run("fit", files)

    def score(self, inputs):
        """Sparse scores of the labels it was trained on, and costs."""
        costs = self._run("predict", [_write(self.folder, "input", inputs)])
        scores = sp.csr_matrix(sp.load_npz(self.folder / "scores.npz"))
        (self.folder / "scores.npz").unlink()
        return scores, costs

    def _run(self, job, files):
        command = [str(self.python), str(_SCRIPTS / self.peer.script), job, str(self.folder)]
        log = self.folder / "log.txt"
        with log.open("wb") as out:
            status = _wait(command, self._environment(), out)
        said = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
        if status:
            why = f"ended by signal {-status}" if status < 0 else f"exit status {status}"
            raise RuntimeError(
                f"{self.name} failed in {job} ({why}); it said last:\n"
                + ("\n".join(said[-_N_LINES:]) or "nothing; was there enough memory?")
            )
        for file in files:
            file.unlink(missing_ok=True)
        return json.loads((self.folder / "costs.json").read_text(encoding="utf-8"))

    def _environment(self):
        """Variables of this process, less those that would lead the other Python astray."""
        astray = ("PYTHONPATH", "PYTHONHOME", "PYTHONSTARTUP", "VIRTUAL_ENV")
        kept = {name: value for name, value in os.environ.items() if name not in astray}
        quiet = {"PYTHONNOUSERSITE": "1", "PYTHONDONTWRITEBYTECODE": "1"}
        return kept | quiet | self.peer.environment


def make_environment(name):
    """Interpreter of a peer's environment, which is made if need be."""
    peer = PEERS[name]
    return environment_python(name, _SCRIPTS / peer.requirements, options=peer.pip_options)


def n_threads():
    """Threads that torch would use."""
    wanted = os.environ.get("OMP_NUM_THREADS", "").split(",")[0].strip()
    if wanted.isdecimal() and int(wanted):
        return int(wanted)
    return n_cores()


def _version(peer):
    """The first line of the requirements is the package itself."""
    lines = (_SCRIPTS / peer.requirements).read_text(encoding="utf-8").splitlines()
    return next(line for line in lines if line and not line.startswith("#"))


def _write(folder, name, inputs):
    file = folder / f"{name}.{'npz' if sp.issparse(inputs) else 'json'}"
    if sp.issparse(inputs):
        sp.save_npz(file, inputs, compressed=False)
    else:
        file.write_text(json.dumps(inputs), encoding="utf-8")
    return file


def _wait(command, environment, out):
    """Exit status of a process, which is ended with this one, or where waiting is interrupted."""
    process = subprocess.Popen(
        command, env=environment, stdin=subprocess.PIPE, stdout=out, stderr=subprocess.STDOUT,
        start_new_session=True,
    )  # fmt: skip
    try:
        return process.wait()
    finally:
        _end(process)


def _end(process):
    if process.poll() is None:
        if hasattr(os, "killpg"):
            os.killpg(process.pid, signal.SIGKILL)
        else:
            process.kill()
        process.wait()
    process.stdin.close()
