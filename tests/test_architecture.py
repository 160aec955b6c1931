"""The rules of docs/contributing.md that a machine can check: imports, sizes, what is never called.

A module may import the standard library, numpy, its own folder, and what its line of RULES names.
The lines follow the table of the style guide; where one says more than the table, it says why.
"""

import ast
import io
import json
import re
import subprocess
import sys
import tokenize
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = "skrr2qc"
MAX_LINES_PER_FILE = 400
MAX_LINES_PER_FUNCTION = 40

# Files or "file::function" that may be longer, with the number of lines and the reason beside it.
LONGER_FILES: dict[str, int] = {}
LONGER_FUNCTIONS: dict[str, int] = {}


@dataclass(frozen=True)
class Rule:
    """What the modules of one folder may import; every part is a blank-separated list."""

    third_party: str = ""
    internal: str = ""
    lazy: str = ""  # only inside functions; "*" stands for any package

    def allows(self, edge: "Edge") -> bool:
        always = self.third_party if edge.is_external else self.internal
        if edge.target in always.split():
            return True
        return (
            edge.is_lazy and edge.is_external and bool({edge.target, "*"} & set(self.lazy.split()))
        )


LEAVES = "label_space hierarchy metrics datasets losses modules text model_selection"
PRIVATE = "_validation _state _training _memory _thresholds _platt _checkpoint _runs persistence"
LEARNING = "scipy sklearn joblib torch skorch tokenizers tqdm safetensors filelock"
PRETRAINED = "transformers sentence_transformers"

RULES = {
    "label_space": Rule("scipy", internal="hierarchy"),  # ancestor closures have one home
    "hierarchy": Rule("scipy"),
    "metrics": Rule("scipy"),
    "datasets": Rule("scipy", internal="label_space", lazy="pandas sklearn"),  # Bunch
    "model_selection": Rule("scipy sklearn"),
    "losses": Rule("torch"),
    "modules": Rule("torch", lazy="transformers"),
    "text": Rule("torch tokenizers"),
    "_validation": Rule("scipy sklearn"),  # CSR targets
    "_thresholds": Rule("scipy", internal="metrics"),  # labels are ranked in one place
    "_platt": Rule("scipy"),
    "_state": Rule("torch"),
    "_training": Rule("torch skorch sklearn tqdm", internal="_resume"),  # random states, the bar
    "_resume": Rule("torch skorch"),
    "_checkpoint": Rule("torch safetensors"),
    "_runs": Rule(internal="_checkpoint _locks"),
    "_locks": Rule("filelock"),
    "_vectors": Rule("joblib sklearn", internal="_locks"),
    "_memory": Rule("joblib sklearn", internal="_locks _vectors"),
    # Estimators import it; it finds them by name, and only when one is saved or loaded.
    "persistence": Rule("scipy sklearn torch", "label_space", "transformers huggingface_hub skops"),
    "encoders": Rule(LEARNING, f"{LEAVES} {PRIVATE}", PRETRAINED),
    "classifiers": Rule(  # the lexical channel is a baseline
        LEARNING, f"{LEAVES} {PRIVATE} encoders baselines meta_labels", f"{PRETRAINED} pandas"
    ),
    "baselines": Rule(LEARNING, f"{LEAVES} {PRIVATE} encoders", PRETRAINED),
    # Without a model: numpy, scipy, label_space. The rest is for the decomposer that asks one.
    "meta_labels": Rule("scipy sklearn", "label_space llm _validation", "tqdm"),
    "llm": Rule("sklearn", "_validation _training", "*"),  # parameters; seeds of a local model
    "weak": Rule(LEARNING, f"{LEAVES} {PRIVATE} encoders classifiers baselines llm", PRETRAINED),
    "augmentation": Rule("scipy sklearn", "_validation label_space llm"),
    "plotting": Rule(internal="metrics", lazy="matplotlib sklearn"),  # t-SNE
    "testing": Rule(
        LEARNING,
        f"{LEAVES} {PRIVATE} encoders classifiers baselines llm weak plotting",
        f"{PRETRAINED} pandas pytest",
    ),
    "__init__": Rule(),  # public names are loaded by name, in __getattr__
}


@dataclass(frozen=True)
class Edge:
    """One import: who, what (a distribution's package, or a part of ours), where and when."""

    source: str
    target: str
    is_external: bool
    is_lazy: bool
    path: str
    line: int
    names: tuple[str, ...] = ()

    def __str__(self) -> str:
        kind = "inside a function" if self.is_lazy else "at import"
        return f"{self.path}:{self.line}: {self.source} imports {self.target} {kind}"


def python_files(folder: str) -> list[Path]:
    return sorted((ROOT / folder).rglob("*.py"))


def part_of_file(path: Path) -> str:
    return path.relative_to(ROOT / PACKAGE).with_suffix("").parts[0]


def relative(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@cache
def parse(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))


def walk_with_functions(node: ast.AST, inside: tuple[str, ...] = ()) -> Iterator[tuple]:
    """Every node that runs, with the names of the functions around it; no TYPE_CHECKING block."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
            continue
        yield child, inside
        is_function = isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef))
        yield from walk_with_functions(child, (*inside, child.name) if is_function else inside)


def imported_modules(node: ast.AST, package: tuple[str, ...]) -> list[tuple[str, tuple[str, ...]]]:
    """Absolute dotted names that a statement imports, each with the names taken from it."""
    if isinstance(node, ast.Import):
        return [(alias.name, ()) for alias in node.names]
    if not isinstance(node, ast.ImportFrom):
        return []
    names = tuple(alias.name for alias in node.names)
    base = package[: len(package) - node.level + 1] if node.level else ()
    module = ".".join((*base, *filter(None, [node.module])))
    if module == PACKAGE:  # from skrr2qc import losses: the part is the name
        return [(f"{module}.{name}", (name,)) for name in names]
    return [(module, names)]


def edges_of(path: Path, tree: ast.Module | None = None) -> list[Edge]:
    parts = path.relative_to(ROOT).with_suffix("").parts
    source = parts[1] if parts[0] == PACKAGE else parts[0]
    edges = []
    for node, functions in walk_with_functions(tree or parse(path)):
        for module, names in imported_modules(node, parts[:-1]):
            top, *rest = module.split(".")
            is_external = top != PACKAGE
            target = top if is_external else ".".join(rest)
            if is_external and (top in sys.stdlib_module_names or top == "numpy"):
                continue
            edges.append(
                Edge(
                    source, target, is_external, bool(functions), relative(path), node.lineno, names
                )
            )
    return edges


def part_of(edge: Edge) -> str:
    return edge.target.split(".")[0]


def broken_rules(edges: list[Edge]) -> list[Edge]:
    wrong = []
    for edge in edges:
        part = edge.target if edge.is_external else part_of(edge)
        if not edge.is_external and part in ("", "__version__", edge.source):
            continue
        if not RULES.get(edge.source, Rule()).allows(Edge(**{**vars(edge), "target": part})):
            wrong.append(edge)
    return wrong


def report(items: list) -> str:
    return "\n" + "\n".join(str(item) for item in items)


# ---------------------------------------------------------------------------------- imports


def test_every_part_of_the_package_has_a_rule():
    parts = {path.relative_to(ROOT / PACKAGE).parts[0] for path in python_files(PACKAGE)}
    unknown = {part.removesuffix(".py") for part in parts} - set(RULES)
    assert not unknown, f"add a line to RULES, and to the style guide, for {sorted(unknown)}"


def test_rules_have_no_cycle():
    """Importable in one order, so that each folder can be read without the later ones."""
    seen: set[str] = set()
    waiting = {name: set(rule.internal.split()) for name, rule in RULES.items()}
    while waiting:
        ready = {name for name, needs in waiting.items() if needs <= seen}
        assert ready, f"cycle among {sorted(waiting)}"
        seen |= ready
        waiting = {name: needs for name, needs in waiting.items() if name not in ready}


@pytest.mark.parametrize("part", sorted(RULES))
def test_imports(part):
    files = [p for p in python_files(PACKAGE) if part_of_file(p) == part]
    wrong = broken_rules([edge for path in files for edge in edges_of(path)])
    assert not wrong, report(wrong)


@pytest.mark.parametrize(
    ("path", "code", "n_wrong"),
    [
        ("losses/_x.py", "import numpy, math\nfrom torch import Tensor", 0),
        ("losses/_x.py", "from ..modules import LabelHead", 1),
        ("modules/_x.py", "from skrr2qc.losses import class_center_loss", 1),
        ("modules/_x.py", "from .. import losses", 1),
        ("modules/_x.py", "import transformers", 1),
        ("modules/_x.py", "def load():\n    import transformers", 0),
        ("modules/_x.py", "class A:\n    import transformers", 1),
        ("baselines/_x.py", "def fit():\n    from ..classifiers import ClassCenterHead", 1),
        ("classifiers/_x.py", "from ..testing import tiny_encoder", 1),
        ("classifiers/_x.py", "from .._training import TextNet\nfrom ._y import z", 0),
        (
            "metrics/_x.py",
            "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import torch",
            0,
        ),
        ("metrics/_x.py", "try:\n    import torch\nexcept ImportError:\n    torch = None", 1),
        ("plotting/_x.py", "import matplotlib.pyplot as plt", 1),
        ("llm/_x.py", "def ask():\n    import some_client", 0),
        ("llm/_x.py", "import some_client", 1),
        ("hierarchy.py", "from .label_space import LabelSpace", 1),
        ("_memory.py", "from . import __version__", 0),
    ],
)
def test_the_checker_itself(path, code, n_wrong):
    assert len(broken_rules(edges_of(ROOT / PACKAGE / path, ast.parse(code)))) == n_wrong


def test_benchmarks_use_public_names_only():
    edges = [edge for path in python_files("benchmarks") for edge in edges_of(path)]
    private = [
        edge
        for edge in edges
        if not edge.is_external
        and any(
            name.startswith("_") and name != "__version__"
            for name in (*edge.target.split("."), *edge.names)
        )
    ]
    assert not private, report(private)


def test_only_tests_import_testing():
    edges = [e for f in (PACKAGE, "benchmarks") for p in python_files(f) for e in edges_of(p)]
    wrong = [e for e in edges if not e.is_external and part_of(e) == "testing" != e.source]
    assert not wrong, report(wrong)


# ----------------------------------------------------------------------- what an import loads

HEAVY = "torch transformers sentence_transformers skorch tokenizers pandas matplotlib"
LOADED_BY = {  # import -> packages that it must not load
    PACKAGE: f"{HEAVY} sklearn scipy joblib",
    f"{PACKAGE}.hierarchy": f"{HEAVY} sklearn joblib",
    f"{PACKAGE}.label_space": f"{HEAVY} sklearn joblib",
    f"{PACKAGE}.metrics": f"{HEAVY} sklearn joblib",
    f"{PACKAGE}.datasets": f"{HEAVY} sklearn joblib",
    f"{PACKAGE}.model_selection": HEAVY.replace("pandas", ""),  # scikit-learn loads it itself
}
MAX_MODULES_OF_PACKAGE_IMPORT = 20  # of ours, numpy's and everybody's; the standard library is free


def exists(module: str) -> bool:
    base = ROOT.joinpath(*module.split("."))
    return base.is_dir() or base.with_suffix(".py").exists()


def modules_loaded_by(module: str) -> set[str]:
    code = f"import json, sys; import {module}; print(json.dumps(sorted(sys.modules)))"
    run = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr
    return set(json.loads(run.stdout))


@pytest.mark.parametrize("module", LOADED_BY)
def test_light_imports(module):
    if not exists(module):
        pytest.skip(f"{module} is not written yet")
    loaded = {name.split(".")[0] for name in modules_loaded_by(module)}
    unwanted = loaded & set(LOADED_BY[module].split())
    assert not unwanted, f"import {module} loads {sorted(unwanted)}"


def test_importing_the_package_is_light():
    """Modules are counted rather than seconds: a number that does not depend on the machine."""
    started = modules_loaded_by("sys")
    loaded = modules_loaded_by(PACKAGE) - started
    foreign = {name for name in loaded if name.split(".")[0] not in sys.stdlib_module_names}
    assert PACKAGE in foreign
    assert len(foreign) <= MAX_MODULES_OF_PACKAGE_IMPORT, sorted(foreign)


# ------------------------------------------------------------------------------------- sizes


def code_lines(path: Path) -> set[int]:
    """Numbers of the lines that hold code: no blank line, comment or docstring."""
    source = path.read_text(encoding="utf-8")
    layout = (tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT)
    lines: set[int] = set()
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type not in (*layout, tokenize.ENDMARKER):
            lines.update(range(token.start[0], token.end[0] + 1))
    for node in ast.walk(parse(path)):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
            first = node.body[0] if node.body else None
            if isinstance(first, ast.Expr) and isinstance(getattr(first.value, "value", None), str):
                lines.difference_update(range(first.lineno, first.end_lineno + 1))
    return lines


def sized_files() -> list[Path]:
    return [*python_files(PACKAGE), *python_files("benchmarks")]


def test_file_sizes():
    sizes = {relative(path): len(code_lines(path)) for path in sized_files()}
    too_long = {
        name: size
        for name, size in sizes.items()
        if size > LONGER_FILES.get(name, MAX_LINES_PER_FILE)
    }
    assert not too_long, f"lines of code, at most {MAX_LINES_PER_FILE}: {too_long}"


def test_function_sizes():
    """The body counts, not the signature: a parameter list is no complexity."""
    too_long = {}
    for path in sized_files():
        lines = code_lines(path)
        for node, _ in walk_with_functions(parse(path)):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                name = f"{relative(path)}::{node.name}"
                size = len(lines & set(range(node.body[0].lineno, node.end_lineno + 1)))
                if size > LONGER_FUNCTIONS.get(name, MAX_LINES_PER_FUNCTION):
                    too_long[name] = size
    assert not too_long, f"lines of code, at most {MAX_LINES_PER_FUNCTION}: {too_long}"


def test_exceptions_are_still_needed():
    known = {relative(path) for path in sized_files()}
    assert {name.split("::")[0] for name in (*LONGER_FILES, *LONGER_FUNCTIONS)} <= known


def test_code_lines_skips_comments_and_docstrings(tmp_path):
    path = tmp_path / "x.py"
    path.write_text('"""Doc\n\nstring."""\n\n# why\nx = (\n    1,  # one\n)\ny = """a\nb"""\n')
    assert code_lines(path) == {6, 7, 8, 9, 10}


# ------------------------------------------------------------------------------ never called

# call -> the "file::function" prefixes where it is right.
FORBIDDEN_CALLS = {
    "pickle.load": (),  # runs code from the file
    "pickle.loads": (f"{PACKAGE}/testing.py",),  # round trips of what the same process wrote
    "joblib.load": (),
    "torch.load": (),
    "random.seed": (),
    "np.random.seed": (f"{PACKAGE}/_training.py::seeded",),
    "np.random.set_state": (f"{PACKAGE}/_training.py::seeded",),
    "torch.manual_seed": (f"{PACKAGE}/_training.py::seeded",),
    "torch.seed": (),
    "torch.cuda.manual_seed": (f"{PACKAGE}/_training.py::seeded",),
    "torch.cuda.manual_seed_all": (f"{PACKAGE}/_training.py::seeded",),
    "torch.set_rng_state": (  # a resumed run, always within seeded
        f"{PACKAGE}/_training.py::seeded",
        f"{PACKAGE}/_resume.py::_set_random_states",
    ),
}


def calls(path: Path, tree: ast.Module | None = None) -> list[tuple[str, str, int]]:
    """(call, "file::function", line) of every forbidden call."""
    aliases = {"numpy.random": "np.random", "numpy": "np"}
    tree = tree or parse(path)
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and not node.level:
            aliases.update((a.asname or a.name, f"{node.module}.{a.name}") for a in node.names)
        elif isinstance(node, ast.Import):
            aliases.update((a.asname, aliases.get(a.name, a.name)) for a in node.names if a.asname)
    found = []
    for node, functions in walk_with_functions(tree):
        if isinstance(node, ast.Call):
            first, *rest = ast.unparse(node.func).split(".")
            name = ".".join([aliases.get(first, first), *rest]).replace("numpy.random", "np.random")
            if name in FORBIDDEN_CALLS:
                place = "::".join([relative(path), *functions[:1]])
                found.append((name, place, node.lineno))
    return found


def test_nothing_unpickles_or_seeds_global_state():
    wrong = [
        f"{place}:{line}: {name}"
        for path in sized_files()
        for name, place, line in calls(path)
        if not any(place.startswith(right) for right in FORBIDDEN_CALLS[name])
    ]
    assert not wrong, report(wrong)


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("import pickle\npickle.load(f)", ["pickle.load"]),
        ("from pickle import load as read\nread(f)", ["pickle.load"]),
        ("import numpy\nnumpy.random.seed(0)", ["np.random.seed"]),
        ("import numpy as np\nnp.random.seed(0)", ["np.random.seed"]),
        ("import torch as t\nt.manual_seed(0)", ["torch.manual_seed"]),
        ("import torch\ngenerator.manual_seed(0)", []),
    ],
)
def test_the_call_checker_itself(code, expected):
    assert [name for name, *_ in calls(ROOT / PACKAGE / "x.py", ast.parse(code))] == expected


# ------------------------------------------------------------------------------- machine paths

HOMES = "|".join(["home", "root", "Users", "work", "opt", "mnt", "media", "srv"])
MACHINE_PATH = re.compile(rf"(?<![\w./:<>)\]}}-])/(?:{HOMES})/\w|\b[A-Z]:\\Users")
TEXT_SUFFIXES = {".py", ".md", ".toml", ".yml", ".yaml", ".txt", ".json", ".cfg", ".sh", ""}


def tracked_files() -> list[Path]:
    listing = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if listing.returncode:
        pytest.skip("not a git checkout")
    files = [ROOT / name for name in listing.stdout.split("\0") if name]
    return [path for path in files if path.is_file() and path.suffix in TEXT_SUFFIXES]


def test_no_paths_of_somebodys_machine():
    found = [
        f"{relative(path)}:{number}: {line.strip()[:80]}"
        for path in tracked_files()
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1)
        if MACHINE_PATH.search(line)
    ]
    assert not found, report(found)


@pytest.mark.parametrize(
    ("line", "is_path"),
    [
        ("data = '/" + "home/ann/data'", True),
        ("see C:" + "\\Users", True),
        ("--out=/" + "mnt/disk", True),
        ("https://example.org/" + "home/page", False),
        ("../shared/data and $HOME/" + "work/x", False),
    ],
)
def test_the_path_checker_itself(line, is_path):
    assert bool(MACHINE_PATH.search(line)) == is_path
