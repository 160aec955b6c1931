"""Markers that are skipped unless asked for, and data that many tests share."""

import os

import pytest

from tests.reference.golden import golden_cases


def pytest_addoption(parser):
    parser.addoption("--run-slow", action="store_true", help="run tests marked as slow, too")
    parser.addoption("--run-network", action="store_true", help="run tests that download, too")


def pytest_collection_modifyitems(config, items):
    reasons = {
        "slow": _unless(config, "--run-slow", "SKRR2QC_SLOW"),
        "network": _unless(config, "--run-network", "SKRR2QC_NETWORK"),
    }
    if any(item.get_closest_marker("gpu") for item in items):
        reasons["gpu"] = _unless_accelerator()
    for item in items:
        for marker, reason in reasons.items():
            if reason and item.get_closest_marker(marker):
                item.add_marker(pytest.mark.skip(reason=reason))


def _unless(config, option, variable):
    if config.getoption(option) or os.environ.get(variable) == "1":
        return None
    return f"pass {option}, or set {variable}=1"


def _unless_accelerator():
    import torch

    has_one = torch.cuda.is_available() or torch.backends.mps.is_available()
    return None if has_one else "no accelerator here"


@pytest.fixture(scope="session")
def golden():
    """Function that looks up one golden case by component and id: (inputs, expected)."""

    def lookup(component, case_id):
        case = next(case for case in golden_cases(component) if case["id"] == case_id)
        return case["inputs"], case["expected"]

    return lookup


@pytest.fixture(scope="session")
def questions():
    """80 generated questions over 12 labels that have meta-labels and a hierarchy."""
    from skrr2qc.datasets import make_questions

    return make_questions(80, n_labels=12, random_state=0)


@pytest.fixture
def labelled_texts(questions):
    """Texts and their indicator Y, CSR: lists of their own for each test."""
    return list(questions.texts), questions.Y.copy()


@pytest.fixture(scope="session")
def tiny_encoder(questions):
    """Small encoder, fitted once: tests wrap it in FrozenEstimator and leave it as it is."""
    from skrr2qc.testing import tiny_encoder

    return tiny_encoder(vocab_size=500).fit(questions.texts)
