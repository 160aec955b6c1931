"""Presets: the values of their table, what wins over them, and their search."""

import inspect

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV

import skrr2qc.encoders._rcpt as rcpt
from skrr2qc import ClassCenterHead, LabelSpace, RCPTEncoder, RetrievalRerankClassifier
from skrr2qc.encoders._presets import PRESETS, resolve_settings
from skrr2qc.metrics.scorers import precision_at_1_scorer
from skrr2qc.modules import CompactBackbone, PretrainedBackbone
from skrr2qc.testing import make_tiny_texts, tiny_encoder

# Recommended, as measured; as the paper prints; as its code has it. 100,000 texts, compact.
TABLE = {
    "n_epochs": (CompactBackbone.pretraining_epochs, CompactBackbone.pretraining_epochs, 30),
    "mlm_rate": (0.15, 0.15, 0.15),
    "rank_weight": (CompactBackbone.rank_weight, 1.0, 0.05),
    "variant": ("in", "paper", "out"),
    "min_temperature": (0.1, 0.1, 0.1),
    "max_temperature": (0.1, 0.6, 0.6),
    "temperature_spacing": ("geometric", "geometric", "linear"),
    "ranks": ("ceil", "ceil", "unique"),
    "positive_share": (1.0, 1.0, 0.13),
    "rank_discount": (0.8, 1.0, 1.0),
    "set_distance": ("mean", "mean", "sum"),
    "label_sets": ("all", "all", "first"),
    "closeness": ("cos01", "dot_clamped", "cos01"),
    "momentum": (0.95, 0.9, 0.95),
    "queue_size": (1000, 1000, 165),
    "own_key_positive": (False, True, False),
    "projection_size": (0, 128, 128),
    "views": ("masked", "masked", "masked"),
    "label_epochs": (10, 10, 10),
    "initial_share": (CompactBackbone.initial_share, 0.0, 0.0),
    "n_frozen_layers": (None, 0, 0),
    "lr": (CompactBackbone.pretraining_lr, CompactBackbone.pretraining_lr, 1e-4),
    "batch_size": (32, 32, 11),
}
BY_HAND = {  # that no preset has
    "n_epochs": 0,
    "mlm_rate": 0.3,
    "rank_weight": 0,
    "variant": "rince",
    "min_temperature": 0.05,
    "max_temperature": 0.7,
    "positive_share": 0.5,
    "rank_discount": 0.7,
    "closeness": "jaccard",
    "momentum": 0,
    "queue_size": 7,
    "projection_size": 7,
    "views": "augmented",
    "label_epochs": 0,
    "initial_share": 0.9,
    "n_frozen_layers": 1,
    "lr": 3e-3,
    "batch_size": 1,
}
TWO_WAYS = {  # what one preset has is the other way by hand
    "temperature_spacing": ("geometric", "linear"),
    "ranks": ("ceil", "unique"),
    "set_distance": ("mean", "sum"),
    "label_sets": ("all", "first"),
    "own_key_positive": (True, False),
}


def settings_of(n_texts=100_000, backbone=CompactBackbone, **params):
    return vars(resolve_settings(RCPTEncoder(**params), backbone, n_texts))


@pytest.mark.parametrize("preset", ["recommended", "paper", "released"])
def test_table(preset):
    column = ["recommended", "paper", "released"].index(preset)
    assert settings_of(preset=preset) == {name: row[column] for name, row in TABLE.items()}


def test_recommended_is_the_default():
    assert settings_of() == settings_of(preset="recommended")


def test_what_a_preset_sets_is_none_in_the_signature():
    defaults = {k: p.default for k, p in inspect.signature(RCPTEncoder).parameters.items()}
    assert all(set(preset) == set(TABLE) for preset in PRESETS.values())
    assert all(defaults[name] is None for name in TABLE)


def test_every_setting_has_a_value_by_hand():
    assert BY_HAND.keys() | TWO_WAYS.keys() == TABLE.keys()


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("name", BY_HAND)
def test_what_is_set_by_hand_wins(preset, name):
    """Also where it is 0, which is not "not set"."""
    expected = settings_of(preset=preset) | {name: BY_HAND[name]}
    if name == "batch_size":
        expected["queue_size"] = settings_of(preset=preset)["queue_size"]
    assert settings_of(preset=preset, **{name: BY_HAND[name]}) == expected
    assert expected != settings_of(preset=preset)


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("name", TWO_WAYS)
def test_either_way_by_hand_wins(preset, name):
    for value in TWO_WAYS[name]:
        assert settings_of(preset=preset, **{name: value})[name] == value


@pytest.mark.parametrize(
    "n_texts, batch_size, size", [(1, 32, 256), (25_599, 32, 256), (30_000, 32, 300), (10, 1, 8)]
)
def test_queue_is_a_hundredth_of_the_texts_and_at_least_eight_batches(n_texts, batch_size, size):
    assert settings_of(n_texts, batch_size=batch_size)["queue_size"] == size


def test_backbone_settles_what_a_preset_leaves_open():
    for backbone in (CompactBackbone, PretrainedBackbone):
        settings = settings_of(backbone=backbone)
        assert settings["n_epochs"] == backbone.pretraining_epochs
        assert settings["lr"] == backbone.pretraining_lr
        assert settings["rank_weight"] == backbone.rank_weight
        assert settings["initial_share"] == backbone.initial_share
    assert CompactBackbone.pretraining_lr != PretrainedBackbone.pretraining_lr


def test_resolving_changes_no_parameter():
    encoder = RCPTEncoder(preset="released", momentum=0.5)
    before = encoder.get_params()
    resolve_settings(encoder, CompactBackbone, 10)
    assert encoder.get_params() == before


@pytest.mark.parametrize("preset", [None, "Recommended", "", 1, ["paper"]])
def test_unknown_preset(preset):
    message = r"`preset` must be one of \['paper', 'recommended', 'released'\], got"
    with pytest.raises(ValueError, match=message):
        settings_of(preset=preset)


@pytest.mark.parametrize("name", sorted(TABLE.keys() - {"own_key_positive"}))
def test_wrong_values_are_named_under_every_preset(name):
    for preset in PRESETS:
        with pytest.raises(ValueError, match=f"`{name}`.*-2"):
            settings_of(preset=preset, **{name: -2})


@pytest.mark.parametrize(
    "low, high, message",
    [
        (0.6, 0.1, "`min_temperature` == 0.6 is above `max_temperature` == 0.1.*Set both"),
        (0.7, None, "`min_temperature` == 0.7 is above `max_temperature` == 0.6"),
        (None, 0.05, "`min_temperature` == 0.1 is above `max_temperature` == 0.05"),
    ],
)
def test_temperatures_that_fall(low, high, message):
    with pytest.raises(ValueError, match=message):
        settings_of(preset="paper", min_temperature=low, max_temperature=high)
    assert settings_of(min_temperature=0.3, max_temperature=0.3)["max_temperature"] == 0.3


# --- presets at work --------------------------------------------------------------------------


@pytest.fixture(scope="module")
def tiny():
    texts, Y = make_tiny_texts(24)
    parents = {"circle": "geometry", "triangle": "geometry", "equation": "algebra"}
    labels = LabelSpace(["circle", "triangle", "equation", "sample"], parents=parents)
    return texts, Y, labels


@pytest.fixture(scope="module")
def standard(tiny):
    return vectors(tiny)


def vectors(tiny, **params):
    """Of an encoder whose settings are such that each of them counts."""
    texts, Y, labels = tiny
    settings = {"n_epochs": 2, "batch_size": 8, "label_epochs": 1, "lr": 1e-2}
    if "preset" not in params:
        settings |= {"rank_weight": 1.0, "max_temperature": 0.6, "own_key_positive": True}
        settings |= {"projection_size": 8}
    return tiny_encoder(labels=labels, **settings | params).fit(texts, Y).transform(texts)


def test_settings_reach_the_training(tiny, monkeypatch):
    seen = []

    class Stopped(Exception):
        pass

    def pretraining(settings, *args):
        seen.append(vars(settings))
        raise Stopped

    monkeypatch.setattr(rcpt, "Pretraining", pretraining)
    for preset in PRESETS:
        params = {"preset": preset, "momentum": 0.31, "label_epochs": 1}
        with pytest.raises(Stopped):
            tiny_encoder(**params).fit(*tiny[:2])
        assert seen[-1] == settings_of(24, **params)


def test_presets_differ_in_what_they_learn(tiny):
    released = vectors(tiny, preset="released")
    assert_array_equal(vectors(tiny, preset="released"), released)
    for other in ("paper", "recommended"):
        assert not np.array_equal(vectors(tiny, preset=other), released)


@pytest.mark.parametrize(
    "params",
    [
        {"momentum": 0.2},
        {"mlm_rate": 0.4},
        {"rank_weight": 0.3},
        {"variant": "out"},
        {"variant": "paper"},
        {"variant": "rince"},
        {"min_temperature": 0.05},
        {"max_temperature": 0.9},
        {"temperature_spacing": "linear"},
        {"positive_share": 0.4},
        {"closeness": "jaccard"},
        {"closeness": "none"},
        {"closeness": "dot_clamped"},
        {"queue_size": 5},
        {"own_key_positive": False},
        {"projection_size": 0},
        {"views": "augmented"},
        {"label_epochs": 3},
        {"ranks": "unique", "set_distance": "sum"},
        {"label_sets": "first"},
        {"max_steps": 4},
    ],
    ids=str,
)
def test_no_setting_is_without_effect(tiny, standard, params):
    assert not np.array_equal(vectors(tiny, **params), standard)


def test_share_of_the_released_ranks_has_an_effect(tiny):
    """With unique ranks it was computed, and then all ranks counted all the same."""
    params = {"ranks": "unique", "set_distance": "sum"}
    cut = vectors(tiny, positive_share=0.3, **params)
    assert not np.array_equal(cut, vectors(tiny, positive_share=1.0, **params))


def test_clone_and_set_params():
    encoder = RCPTEncoder(preset="paper", momentum=0.7)
    copy = clone(encoder)
    assert copy.get_params() == encoder.get_params()
    copy.set_params(preset="released", momentum=None)
    settings = vars(resolve_settings(copy, CompactBackbone, 100))
    assert (settings["momentum"], settings["variant"]) == (0.95, "out")
    assert encoder.preset == "paper"


@pytest.mark.filterwarnings("ignore:.* labels have no training text")
@pytest.mark.filterwarnings("ignore:Only .* rows could be held out")
def test_search_over_presets_and_momentum(tiny, monkeypatch):
    texts, Y, labels = tiny
    seen, resolve = [], rcpt.resolve_settings

    def watched(*args):
        seen.append(resolve(*args))
        return seen[-1]

    monkeypatch.setattr(rcpt, "resolve_settings", watched)
    classifier = RetrievalRerankClassifier(
        RCPTEncoder(hidden_size=16, vocab_size=200, n_epochs=1, label_epochs=0, max_steps=2),
        ClassCenterHead(n_epochs=1),
        labels=labels,
        lexical=None,
        random_state=0,
    )
    grid = {"encoder__preset": ["paper", "released"], "encoder__momentum": [None, 0.5]}
    search = GridSearchCV(
        classifier, grid, cv=2, scoring=precision_at_1_scorer, error_score="raise"
    )
    search.fit(texts, Y)
    momenta = [settings.momentum for settings in seen[:-1]]  # the last one refits
    assert sorted(momenta) == sorted([0.9, 0.95, 0.5, 0.5] * 2)
    best = search.best_estimator_.encoder_
    assert best.preset == search.best_params_["encoder__preset"]
    assert best.momentum == search.best_params_["encoder__momentum"]
