"""What README and the pages of docs show runs as it stands; what they link to is there."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
BLOCK = re.compile(r"^```python\n(.*?)^```$", re.DOTALL | re.MULTILINE)
LINK = re.compile(r"\]\((?!https?://)([^)#]+)[^)]*\)")
GENERATED = {"_build", "auto_gallery", "generated"}  # by make docs, in folders that git ignores


def written_pages():
    found = [path.relative_to(ROOT) for path in sorted(ROOT.glob("docs/**/*.md"))]
    pages = [path.as_posix() for path in found if not GENERATED & set(path.parts)]
    return ["README.md", *pages]


def pages_with_code():
    return [page for page in written_pages() if BLOCK.search((ROOT / page).read_text("utf-8"))]


def links():
    return [
        (page, link)
        for page in written_pages()
        for link in LINK.findall((ROOT / page).read_text("utf-8"))
    ]


def source_of(page, link):
    """File behind a link; pages of the gallery are made of its scripts."""
    target = (ROOT / page).parent / link
    if target.parent.name != "auto_gallery":
        return target
    name = "GALLERY_HEADER.rst" if target.stem == "index" else f"{target.stem}.py"
    return target.parent.with_name("gallery") / name


@pytest.fixture
def quick(monkeypatch, tmp_path):
    """One epoch in place of the default number: the code is what is tested, not the quality."""
    from skrr2qc.modules import CompactBackbone

    monkeypatch.setattr(CompactBackbone, "n_epochs", 1)
    monkeypatch.setattr(CompactBackbone, "pretraining_epochs", 1)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.chdir(tmp_path)


@pytest.mark.filterwarnings("ignore::UserWarning")  # sets this small lack labels
@pytest.mark.parametrize("page", pages_with_code())
def test_python_blocks_run_from_top_to_bottom(page, quick):
    text = (ROOT / page).read_text("utf-8")
    namespace = {"__name__": page}
    for block in BLOCK.finditer(text):
        line = text[: block.start(1)].count("\n")
        source = "\n" * line + block.group(1)  # so that a traceback shows the line of the page
        exec(compile(source, page, "exec"), namespace)


@pytest.mark.parametrize(("page", "link"), links())
def test_links_lead_somewhere(page, link):
    assert source_of(page, link).exists(), f"{page} links to {link}"


def test_guide_and_comparisons_have_code_that_runs():
    pages = {*ROOT.glob("docs/guide/*.md"), *ROOT.glob("docs/coming_from/*.md")}
    silent = pages - {ROOT / page for page in pages_with_code()}
    assert {path.name for path in silent} == {"index.md"}


def test_readme_fits_a_screen_or_two():
    lines = (ROOT / "README.md").read_text("utf-8").splitlines()
    assert len(lines) <= 100


@pytest.mark.parametrize(
    ("text", "blocks"),
    [
        ("```python\nx = 1\n```\n", ["x = 1\n"]),
        ("```\nmake\n```\n", []),
        ("a\n```python\n\n```", ["\n"]),
    ],
)
def test_the_finder_itself(text, blocks):
    assert BLOCK.findall(text) == blocks
