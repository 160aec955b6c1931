"""Long fits that are killed, interrupted, or run out of disk: the next one has the same result."""

import os
import re
import shlex
import shutil
import signal
import subprocess
import tempfile
import time
import traceback
import warnings
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from sklearn.metrics import label_ranking_average_precision_score
from sklearn.model_selection import GridSearchCV

from skrr2qc import (
    ClassCenterHead,
    LabelSpace,
    MetaLabelReranker,
    RetrievalRerankClassifier,
)
from skrr2qc._checkpoint import Checkpoint
from skrr2qc._training import TextNet
from skrr2qc.persistence import load_model
from skrr2qc.testing import make_tiny_texts, tiny_encoder
from tests.reference.forked_server import Server, serve_jobs, wait_for_signal

pwd, resource = (pytest.importorskip(name) for name in ("pwd", "resource"))  # and fork, SIGKILL
NAMES = ["circle", "triangle", "equation", "sample"]
META = {"circle": ["round"], "triangle": ["angular", "flat"], "sample": ["flat"]}
STEPS = {"checkpoint_steps": 2}
GRID = {"head__n_epochs": [1, 2]}


def data():
    return make_tiny_texts(120)


def make_classifier(folder=None, memory=None):
    """Everything that is trained: encoder, head, and a classifier of meta-labels, all twice."""
    return RetrievalRerankClassifier(
        tiny_encoder(n_epochs=2, label_epochs=2, random_state=None, **STEPS),
        ClassCenterHead(n_epochs=2, validation_fraction=0.2, ema_decay=0.5, **STEPS),
        MetaLabelReranker(ClassCenterHead(n_epochs=1, **STEPS), combine="learned"),
        labels=LabelSpace(NAMES, meta_labels=META),
        validation_fraction=0.2,
        checkpoint_dir=folder,
        memory=memory,
        random_state=0,
    )


def precision(classifier, X, Y):
    return label_ranking_average_precision_score(Y, classifier.predict_proba(X))


# ---------------------------------------------------------------------------- what processes do


def fit(folder=None, memory=None):
    """Scores of a fit."""
    classifier = make_classifier(folder, memory).fit(*data())
    assert classifier.head_.checkpoint_dir is None
    return {"scores": classifier.predict_proba(data()[0]), "threshold": classifier.threshold_}


def search(folder=None, memory=None):
    """Scores of a grid search: of each candidate in each fold, and of the best."""
    grid = GridSearchCV(make_classifier(folder, memory), GRID, scoring=precision, cv=2)
    grid.fit(*data())
    splits = [grid.cv_results_[f"split{fold}_test_score"] for fold in range(2)]
    return {"splits": np.array(splits), "scores": grid.predict_proba(data()[0])}


def run(job, out, stop=None, **params):
    """Do a job, and write what came of it; `stop` says in which update to wait for a signal."""
    os.fsync = lambda descriptor: None  # no test cuts the power
    signal.signal(signal.SIGINT, signal.default_int_handler)  # jobs in the background ignore it
    steps = count_updates(stop)
    start = time.perf_counter()
    try:
        result = JOBS[job](**params)
    except KeyboardInterrupt:
        Path(f"{out}.txt").write_text(traceback.format_exc())
        raise
    seconds = time.perf_counter() - start
    np.savez(out, **result, n_updates=len(steps), seconds=seconds)


def count_updates(stop=None):
    """List of what will be updated; at one of a certain title and number, wait for good."""
    titles, train_step = [], TextNet.train_step

    def counted(self, *args, **kwargs):
        titles.append(self.title)
        if stop is not None and stop == [self.title, titles.count(self.title)]:
            wait_for_signal(len(titles) - 1)
        return train_step(self, *args, **kwargs)

    TextNet.train_step = counted
    return titles


# Jobs on a disk that is of no use for a while.


@contextmanager
def unusable(disk, folder):
    """No room for files of any size, or nothing of a folder can be changed."""
    if disk == "limit":
        limits = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1024, limits[1]))
        yield
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    elif disk == "tmpfs":
        with open(folder / "filler", "wb", buffering=0) as file, suppress(OSError):
            while True:
                file.write(bytes(1024))
        yield
        (folder / "filler").unlink()
    else:
        for path in (folder, *(path for path in folder.rglob("*") if path.is_dir())):
            path.chmod(0o555)
        yield
        for path in (folder, *(path for path in folder.rglob("*") if path.is_dir())):
            path.chmod(0o755)


def prepare(folder, disk):
    if disk == "read-only" and os.geteuid() == 0:  # whom no mode binds
        nobody = pwd.getpwnam("nobody")
        os.setgroups([])
        os.setgid(nobody.pw_gid)
        os.setuid(nobody.pw_uid)
    folder = Path(folder) / "own"  # whose mode its user may change
    folder.mkdir()
    return folder


def message_of(error):
    return np.array(f"{type(error).__name__}: {error}")


def checkpoint_without_room(folder, disk):
    """Error of a fit whose disk fails after the sixth checkpoint of the head."""
    folder, save, saved = prepare(folder, disk), Checkpoint.save, []

    def save_and_fail(self, *args):
        save(self, *args)
        saved.append(self.folder.name.startswith("head"))
        if sum(saved) == 6:
            stack.enter_context(unusable(disk, folder))

    Checkpoint.save = save_and_fail
    with ExitStack() as stack:
        try:
            fit(folder / "run")
        except OSError as error:
            return {"message": message_of(error)}


def memory_without_room(folder, disk):
    """Scores and warnings of a fit that cannot be remembered; updates of one that was."""
    folder = prepare(folder, disk)
    before = fit(memory=str(folder / "memory"))
    changed = make_classifier(memory=str(folder / "memory")).set_params(head__n_epochs=3)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        with unusable(disk, folder):
            scores = changed.fit(*data()).predict_proba(data()[0])
    titles = count_updates()
    again = fit(memory=str(folder / "memory"))
    remembered = len(titles)
    expected = changed.set_params(memory=None).fit(*data()).predict_proba(data()[0])
    warned = "\n".join(str(warning.message) for warning in caught)
    return {
        "scores": scores, "expected": expected, "warned": np.array(warned),
        "before": before["scores"], "again": again["scores"], "remembered": remembered,
    }  # fmt: skip


def save_without_room(folder, disk):
    """Error of a model that cannot be saved, and scores of the one that was there."""
    folder, (X, Y) = prepare(folder, disk), data()
    first, second = (tiny_encoder(random_state=seed).fit(X, Y) for seed in range(2))
    first.save(folder / "model")
    with unusable(disk, folder):
        try:
            second.save(folder / "model", overwrite=True)
        except OSError as error:
            message = message_of(error)
    loaded = load_model(folder / "model").transform(X)
    names = [path.name for path in folder.iterdir()]
    return {
        "message": message, "before": first.transform(X), "after": loaded, "names": np.array(names)
    }  # fmt: skip


def fit_without_place(folder, place):
    """Error of a fit that is given a folder in which nothing can be made."""
    folder = prepare(folder, "read-only")
    with unusable("read-only", folder):
        try:
            make_classifier().set_params(**{place: str(folder / "new")}).fit(*data())
        except ValueError as error:
            return {"message": message_of(error)}


JOBS = {
    "fit": fit,
    "search": search,
    "checkpoint_without_room": checkpoint_without_room,
    "memory_without_room": memory_without_room,
    "save_without_room": save_without_room,
    "fit_without_place": fit_without_place,
}


def serve():
    warnings.simplefilter("ignore")
    make_classifier().fit(*data())  # what a first fit loads is loaded once
    serve_jobs({job: partial(run, job) for job in JOBS})


def interrupt(server, job, out, stop, **params):
    """What a job says that gets a SIGINT within an update, and the updates before."""
    (n_updates,), end = server.send(signal.SIGINT, job, out, stop=stop, **params)
    assert end == "ended 1"
    return Path(f"{out}.txt").read_text(), int(n_updates)


@pytest.fixture(scope="module")
def server():
    with Server("tests.test_interrupted") as server:
        yield server


@pytest.fixture(scope="module")
def whole(server, tmp_path_factory):
    """Results of jobs that nothing interrupts and nothing saves."""
    path = tmp_path_factory.mktemp("whole")
    return {job: server.do(job, path / job) for job in ("fit", "search")}


def assert_same(result, expected):
    for name in expected.keys() - {"n_updates", "seconds"}:
        assert_array_equal(result[name], expected[name], err_msg=name)


# ------------------------------------------------------------------------------ random moments


def survive_kills(server, whole, job, n_kills, path, **places):
    """Kill a job at random moments, spread over its length; each rerun has the same result.

    Returns
    -------
    n_updates : int
        That were done in reruns.
    """
    rng, killed, n_updates = np.random.default_rng(0), 0, 0
    saving = {name: path / "timed" / name for name in places}
    seconds = float(server.do(job, path / "timed-out", **saving)["seconds"])
    for attempt in range(3 * n_kills):
        if killed == n_kills:
            break
        out = path / f"out-{attempt}"
        run = {name: path / f"run-{attempt}" / name for name in places}
        was_killed = server.kill(job, out, seconds * (killed + rng.random()) / n_kills, **run)
        killed += was_killed
        assert Path(f"{out}.npz").exists() != was_killed
        if not was_killed:  # the machine has become faster
            with np.load(f"{out}.npz") as arrays:
                seconds = 0.9 * float(arrays["seconds"])
        result = server.do(job, out, **run)
        assert_same(result, whole[job])
        n_updates += int(result["n_updates"]) if was_killed else 0
        shutil.rmtree(path / f"run-{attempt}", ignore_errors=True)
    assert killed == n_kills
    return n_updates


SLOW = pytest.mark.slow


@pytest.mark.parametrize("n_kills", [4, pytest.param(20, marks=SLOW)])
def test_fit_that_is_killed(server, whole, tmp_path, n_kills):
    n_updates = survive_kills(server, whole, "fit", n_kills, tmp_path, folder=True)
    assert n_updates < n_kills * whole["fit"]["n_updates"]


@pytest.mark.parametrize("n_kills", [2, pytest.param(20, marks=SLOW)])
def test_grid_search_that_is_killed(server, whole, tmp_path, n_kills):
    places = {"folder": True, "memory": True}
    n_updates = survive_kills(server, whole, "search", n_kills, tmp_path, **places)
    assert n_updates < n_kills * whole["search"]["n_updates"]


def test_killed_again_and_again(server, whole, tmp_path):
    """A machine that never runs for half as long as a fit takes."""
    seconds = float(whole["fit"]["seconds"])
    for count in range(1, 60):
        delay = seconds * (0.4 + 0.05 * count)  # more and more, as the machine may be busy
        if not server.kill("fit", tmp_path / "out", delay, folder=tmp_path / "run"):
            break
    assert count > 1
    assert_same(server.do("fit", tmp_path / "out", folder=tmp_path / "run"), whole["fit"])


def test_grid_search_goes_on_where_it_was_killed(server, whole, tmp_path):
    """Without `memory`, too: what is done trains nothing, in whatever candidate it comes again."""
    first = server.do("search", tmp_path / "out", folder=tmp_path / "run")
    assert_same(first, whole["search"])
    assert first["n_updates"] < whole["search"]["n_updates"]  # one encoder a fold, not a candidate
    again = server.do("search", tmp_path / "out", folder=tmp_path / "run")
    assert_same(again, whole["search"])
    assert again["n_updates"] == 0
    kinds = {path.name.rsplit("-", 1)[0] for path in (tmp_path / "run").iterdir()}
    assert kinds == {"encoder", "head"}


# ------------------------------------------------------------------------------------- Ctrl-C


@pytest.mark.parametrize(
    ("part", "kind", "title", "number"),
    [
        ("encoder", "RCPTEncoder", "pre-training", 3),
        ("head", "ClassCenterHead", "4 labels", 5),
        ("reranker", "ClassCenterHead", "3 labels", 2),
    ],
)
def test_ctrl_c(server, whole, tmp_path, part, kind, title, number):
    """What was interrupted, where, and that the same fit goes on; and it does."""
    folder = tmp_path / "run"
    said, n_before = interrupt(server, "fit", tmp_path / "out", [title, number], folder=folder)
    *_, error, training, fitting, composite = said.splitlines()
    assert error == "KeyboardInterrupt"
    assert re.fullmatch(
        rf"{title}: interrupted in epoch \d of \d, step {number} of \d+\.", training
    )
    kept = rf"{kind}: the state after step {number - 1} is kept in {re.escape(str(folder))}/.*; "
    assert re.fullmatch(kept + r"the same fit goes on from it\.", fitting)
    assert composite.startswith(f"RetrievalRerankClassifier: interrupted while `{part}` was fitted")
    result = server.do("fit", tmp_path / "out", folder=folder)
    assert_same(result, whole["fit"])
    assert result["n_updates"] == whole["fit"]["n_updates"] - n_before  # none is done twice


def test_ctrl_c_without_a_checkpoint(server, tmp_path):
    said, _ = interrupt(server, "fit", tmp_path / "out", ["pre-training", 3])
    assert "pre-training: interrupted in epoch 1 of 2, step 3 of " in said
    assert (
        "RCPTEncoder: nothing of this fit is kept. With `checkpoint_dir` set, the same fit would "
        "go on where it was interrupted."
    ) in said


def test_ctrl_c_before_anything_is_to_be_saved(server, whole, tmp_path):
    """Label texts are learned first, and begin anew."""
    stop = ["label texts", 2]
    said, _ = interrupt(server, "fit", tmp_path / "out", stop, folder=tmp_path / "run")
    assert "label texts: interrupted in epoch 2 of 2, step 2 of 2." in said
    assert "RCPTEncoder: nothing was to be kept yet in " in said
    assert_same(server.do("fit", tmp_path / "out", folder=tmp_path / "run"), whole["fit"])


# ------------------------------------------------------------------- full disks, read-only folders


@pytest.fixture
def open_folder():
    """A folder that others may write to, with "disk" in it; pytest's belong to its user alone."""
    folder = Path(tempfile.mkdtemp())
    (folder / "disk").mkdir()
    for path in (folder, folder / "disk"):
        path.chmod(0o777)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def disk_server(server, disk, open_folder):
    """The server; for "tmpfs", one that has a small disk of its own in "disk"."""
    if disk != "tmpfs":
        yield server
        return
    mount = f"mount -t tmpfs -o size=4m none {shlex.quote(str(open_folder / 'disk'))} && "
    if (
        shutil.which("unshare") is None
        or subprocess.run(
            ["unshare", "-rm", "sh", "-c", mount + "true"], check=False, capture_output=True
        ).returncode
    ):
        pytest.skip("no file systems can be mounted here")
    with Server(
        "tests.test_interrupted", "unshare", "-rm", "sh", "-c", mount + 'exec "$@"', "sh"
    ) as small:
        yield small


DISKS = ["limit", "read-only", pytest.param("tmpfs", marks=SLOW)]


@pytest.mark.parametrize("disk", DISKS)
def test_checkpoint_on_a_disk_that_fails(disk, disk_server, whole, open_folder):
    folder, out = open_folder / "disk", open_folder / "out"
    result = disk_server.do("checkpoint_without_room", out, folder=folder, disk=disk)
    message, place = str(result["message"]), re.escape(str(folder / "own" / "run"))
    assert re.search(
        rf"^OSError: The checkpoint of step \d+ could not be .* {place}/head-", message
    )
    assert re.search(r"That of step \d+ is still whole\. Make room on the disk, and fit", message)
    resumed = disk_server.do("fit", out, folder=folder / "own" / "run")
    assert_same(resumed, whole["fit"])
    assert resumed["n_updates"] < whole["fit"]["n_updates"] - 6


@pytest.mark.parametrize("disk", DISKS)
def test_memory_on_a_disk_that_fails(disk, disk_server, whole, open_folder):
    """A cache that cannot be written to is no reason to lose a fit; what was in it stays."""
    folder, out = open_folder / "disk", open_folder / "out"
    result = disk_server.do("memory_without_room", out, folder=folder, disk=disk)
    assert_array_equal(result["scores"], result["expected"])
    assert "Unable to cache to disk" in str(result["warned"])
    assert_array_equal(result["before"], whole["fit"]["scores"])
    assert_array_equal(result["again"], whole["fit"]["scores"])
    assert result["remembered"] == 0


@pytest.mark.parametrize("disk", DISKS)
def test_model_on_a_disk_that_fails(disk, disk_server, open_folder):
    folder, out = open_folder / "disk", open_folder / "out"
    result = disk_server.do("save_without_room", out, folder=folder, disk=disk)
    message = str(result["message"])
    assert str(folder / "own" / "model") in message
    if disk == "read-only":
        assert message.endswith("must not be written to, and is left as it is.")
    else:
        assert "The model that was there is still whole. Make room on the disk" in message
    assert_array_equal(result["after"], result["before"])
    assert result["names"].tolist() == ["model"]


@pytest.mark.parametrize("place", ["checkpoint_dir", "memory"])
def test_place_that_cannot_be_written_to(server, open_folder, place):
    """Told before anything is trained."""
    folder, out = open_folder / "disk", open_folder / "out"
    result = server.do("fit_without_place", out, folder=folder, place=place)
    message = f"ValueError: `{place}` {folder / 'own' / 'new'} cannot be written to "
    assert str(result["message"]).startswith(message)
    assert re.search(r"Give another folder, or None to (train|remember)", str(result["message"]))
    assert result["n_updates"] == 0
