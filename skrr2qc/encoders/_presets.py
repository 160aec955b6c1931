"""Settings of ranking contrastive pre-training by name: recommended, as printed, as released."""

from types import SimpleNamespace

from .._validation import check_choice, check_number

# A value of None is settled by the backbone (n_epochs, rank_weight, lr, initial_share), or by the
# number of texts (queue_size); of n_frozen_layers once it is known how deep the backbone is.
_RECOMMENDED = {
    "n_epochs": None,
    "mlm_rate": 0.15,
    "rank_weight": None,
    "variant": "in",
    "min_temperature": 0.1,
    "max_temperature": 0.1,
    "temperature_spacing": "geometric",
    "ranks": "ceil",
    "positive_share": 1.0,
    "rank_discount": 0.8,
    "set_distance": "mean",
    "label_sets": "all",
    "closeness": "cos01",
    "momentum": 0.95,
    "queue_size": None,
    "own_key_positive": False,
    "projection_size": 0,
    "views": "masked",
    "label_epochs": 10,
    "initial_share": None,
    "n_frozen_layers": None,
    "lr": None,
    "batch_size": 32,
}
_PAPER = {
    "rank_weight": 1.0,
    "rank_discount": 1.0,
    "variant": "paper",
    "max_temperature": 0.6,
    "closeness": "dot_clamped",
    "initial_share": 0.0,
    "n_frozen_layers": 0,
    "momentum": 0.9,
    "own_key_positive": True,
    "projection_size": 128,
}
_RELEASED = {
    "n_epochs": 30,
    "rank_discount": 1.0,
    "rank_weight": 0.05,
    "variant": "out",
    "max_temperature": 0.6,
    "temperature_spacing": "linear",
    "ranks": "unique",
    "positive_share": 0.13,
    "set_distance": "sum",
    "label_sets": "first",
    "initial_share": 0.0,
    "n_frozen_layers": 0,
    "queue_size": 165,
    "projection_size": 128,
    "lr": 1e-4,
    "batch_size": 11,
}
PRESETS = {
    "recommended": _RECOMMENDED,
    "paper": _RECOMMENDED | _PAPER,
    "released": _RECOMMENDED | _RELEASED,
}
_CHOICES = {
    "variant": ("in", "out", "paper", "rince"),
    "temperature_spacing": ("geometric", "linear"),
    "ranks": ("ceil", "unique"),
    "set_distance": ("mean", "sum"),
    "label_sets": ("all", "first"),
    "closeness": ("cos01", "jaccard", "none", "dot_clamped"),
    "views": ("masked", "augmented"),
}
_NUMBERS = {
    "n_epochs": {"minimum": 0, "integer": True},
    "mlm_rate": {"above": 0, "maximum": 0.9},
    "rank_weight": {"minimum": 0},
    "min_temperature": {"above": 0},
    "max_temperature": {"above": 0},
    "positive_share": {"above": 0, "maximum": 1},
    "rank_discount": {"above": 0, "maximum": 1},
    "momentum": {"minimum": 0, "maximum": 1},
    "queue_size": {"minimum": 1, "integer": True},
    "projection_size": {"minimum": 0, "integer": True},
    "label_epochs": {"minimum": 0, "integer": True},
    "initial_share": {"minimum": 0, "maximum": 1},
    "n_frozen_layers": {"minimum": 0, "integer": True},
    "lr": {"above": 0},
    "batch_size": {"minimum": 1, "integer": True},
}


def check_depth(n_frozen_layers, n_layers):
    """Refuse a pre-training in which nothing of the backbone would be trained."""
    if n_frozen_layers is not None and n_frozen_layers >= n_layers:
        raise ValueError(
            f"`n_frozen_layers` == {n_frozen_layers}, but the backbone has {n_layers} "
            f"layer{'s' if n_layers > 1 else ''}: nothing of it would be trained. Freeze fewer, "
            "leave it None, or set n_epochs=0 for no pre-training."
        )


def resolve_settings(encoder, backbone, n_texts):
    """Settings of an encoder: those set by hand, and its preset's for the others.

    Parameters
    ----------
    encoder : RCPTEncoder
    backbone : type
        Kind of backbone, which knows how it likes to learn.
    n_texts : int

    Returns
    -------
    settings : SimpleNamespace
        One attribute for each entry of a preset; `n_frozen_layers` may still be None.

    Raises
    ------
    TypeError, ValueError
        For an unknown preset, or a setting out of its range.
    """
    check_choice(encoder.preset, "preset", tuple(PRESETS))
    settings = dict(PRESETS[encoder.preset])
    for name in settings:
        given = getattr(encoder, name)
        if given is not None:
            settings[name] = given
    for name, choices in _CHOICES.items():
        check_choice(settings[name], name, choices)
    for name, limits in _NUMBERS.items():
        if settings[name] is not None:
            check_number(settings[name], name, **limits)
    if settings["min_temperature"] > settings["max_temperature"]:
        raise ValueError(
            f"`min_temperature` == {settings['min_temperature']} is above `max_temperature` == "
            f"{settings['max_temperature']}: nearer ranks have lower temperatures. Set both."
        )
    if settings["n_epochs"] is None:
        settings["n_epochs"] = backbone.pretraining_epochs
    settings["lr"] = settings["lr"] or backbone.pretraining_lr
    for name in ("rank_weight", "initial_share"):
        if settings[name] is None:
            settings[name] = getattr(backbone, name)
    if settings["queue_size"] is None:
        settings["queue_size"] = max(n_texts // 100, 8 * settings["batch_size"])
    return SimpleNamespace(**settings)
