"""The documentation site: complete, and consistent with what it is made of. make docs builds it."""

import ast
import re
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules

import pytest

import skrr2qc

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
EXAMPLES = sorted(DOCS.glob("gallery/plot_*.py"))
MODULE = re.compile(r"^\.\. (?:current)?module:: (\S+)$")
ENTRY = re.compile(r"^   (\w+)$")
INCLUDE = re.compile(r"^:(?:start-after|end-before): \"(.+)\"$", re.MULTILINE)


def documented_names():
    """Names in the tables of docs/api, with the module that they are listed under."""
    names = []
    for page in sorted(DOCS.glob("api/*.rst")):
        module = None
        for line in page.read_text("utf-8").splitlines():
            if found := MODULE.match(line):
                module = found[1]
            elif found := ENTRY.match(line):
                names.append((module, found[1]))
    return names


def public_names():
    modules = [name for _, name, _ in iter_modules(skrr2qc.__path__) if not name.startswith("_")]
    paths = ["skrr2qc", *(f"skrr2qc.{name}" for name in modules)]
    return [(path, name) for path in paths for name in import_module(path).__all__]


# Modules are listed by what is in them.
@pytest.mark.parametrize(
    ("module", "name"), [pair for pair in public_names() if pair[1] != "scorers"]
)
def test_api_lists_every_public_name(module, name):
    described = [getattr(import_module(home), entry) for home, entry in documented_names()]
    value = getattr(import_module(module), name)
    n_pages = sum(value is other for other in described)
    assert n_pages == 1, f"{module}.{name} is {n_pages} times in the tables of docs/api/*.rst"


def test_api_names_every_scorer():
    scorers = [name for name in vars(skrr2qc.metrics.scorers) if name.endswith("_scorer")]
    text = (DOCS / "api" / "metrics.rst").read_text("utf-8")
    assert len(scorers) > 4
    assert not [name for name in scorers if name not in text]


def test_api_lists_nothing_else():
    known = {id(getattr(import_module(module), name)) for module, name in public_names()}
    others = [
        f"{module}.{name}"
        for module, name in documented_names()
        if id(getattr(import_module(module), name)) not in known
        and module != "skrr2qc.metrics.scorers"
    ]
    assert not others


def test_there_are_examples():
    assert len(EXAMPLES) >= 6


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_example_is_a_page_with_a_picture(path):
    """What a build would stumble over, without running it: syntax, title, imports, a figure."""
    tree = ast.parse(path.read_text("utf-8"), filename=str(path))
    title, line = ast.get_docstring(tree).splitlines()[:2]
    assert set(line) == {"="}
    assert len(line) == len(title)
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module.split(".")[0] == "skrr2qc":
            home = import_module(node.module)
            missing = [alias.name for alias in node.names if not hasattr(home, alias.name)]
            assert not missing, f"{node.module} has no {missing}"
    calls = [ast.unparse(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)]
    assert "plt.subplots" in calls


def test_start_page_takes_parts_of_the_readme_that_are_there():
    marks = INCLUDE.findall((DOCS / "index.md").read_text("utf-8"))
    readme = (ROOT / "README.md").read_text("utf-8")
    assert len(marks) == 4
    assert {mark: readme.count(mark) for mark in marks} == dict.fromkeys(marks, 1)


def test_llms_txt_shows_the_ten_lines_and_every_page_of_the_guide():
    text = (DOCS / "llms.txt").read_text("utf-8")
    readme = (ROOT / "README.md").read_text("utf-8")
    ten_lines = readme[readme.index("```python") :].split("```")[1]
    assert ten_lines in text
    linked = set(re.findall(r"\]\(([\w/]+)\.html\)", text))
    pages = {f"guide/{path.stem}" for path in DOCS.glob("guide/*.md")}
    assert pages - linked <= {"guide/index"}
    sources = [f"{page}{suffix}" for page in linked for suffix in (".md", ".rst")]
    missing = linked - {name.rsplit(".", 1)[0] for name in sources if (DOCS / name).exists()}
    assert missing <= {"auto_gallery/index"}  # made by the build
