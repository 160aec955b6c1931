"""Addresses of this machine; the rest is tested through OpenAIGenerator."""

import sys

import pytest

from skrr2qc.llm import OpenAIGenerator
from skrr2qc.llm._http import _check_url, _is_loopback


@pytest.mark.parametrize(
    ("host", "expected"),
    [("127.0.0.1", True), ("127.1.2.3", True), ("::1", True), ("localhost", True),
     ("a.localhost", True), ("localhost.example.org", False), ("10.0.0.1", False)],
)  # fmt: skip
def test_what_is_this_machine(host, expected):
    assert _is_loopback(host) == expected


def test_slashes_at_the_end_do_not_matter():
    assert _check_url("https://[::1]:8000/v1//") == "https://[::1]:8000/v1"


def test_a_missing_package_names_its_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "httpx2", None)
    with pytest.raises(ImportError, match=r"pip install 'skrr2qc\[llm\]'"):
        OpenAIGenerator("http://127.0.0.1:9", "m")(["x"])
