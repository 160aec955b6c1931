"""What README and guide show runs as it stands; what they link to is there."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PAGES = ["README.md", "docs/guide.md"]
WRITTEN = [*PAGES, "docs/whats_new.md", "docs/contributing.md"]
BLOCK = re.compile(r"^```python\n(.*?)^```$", re.DOTALL | re.MULTILINE)
LINK = re.compile(r"\]\((?!https?://)([^)#]+)[^)]*\)")


def links():
    pages = [*WRITTEN, *(path.relative_to(ROOT) for path in ROOT.glob("docs/decisions/*.md"))]
    return [
        (str(page), link)
        for page in pages
        for link in LINK.findall((ROOT / page).read_text("utf-8"))
    ]


@pytest.fixture
def quick(monkeypatch, tmp_path):
    """One epoch in place of the default number: the code is what is tested, not the quality."""
    from skrr2qc.modules import CompactBackbone

    monkeypatch.setattr(CompactBackbone, "n_epochs", 1)
    monkeypatch.setattr(CompactBackbone, "pretraining_epochs", 1)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.chdir(tmp_path)


@pytest.mark.filterwarnings("ignore::UserWarning")  # sets this small lack labels
@pytest.mark.parametrize("page", PAGES)
def test_python_blocks_run_from_top_to_bottom(page, quick):
    text = (ROOT / page).read_text("utf-8")
    blocks = list(BLOCK.finditer(text))
    assert blocks, f"no Python block found in {page}"
    namespace = {"__name__": page}
    for block in blocks:
        line = text[: block.start(1)].count("\n")
        source = "\n" * line + block.group(1)  # so that a traceback shows the line of the page
        exec(compile(source, page, "exec"), namespace)


@pytest.mark.parametrize(("page", "link"), links())
def test_links_lead_somewhere(page, link):
    assert (ROOT / page).parent.joinpath(link).exists(), f"{page} links to {link}"


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
