"""What is read of each label and inner node, and whether it says anything."""

from ..label_space import LabelSpace
from ._units import is_han, phrase_units

_LONG_TEXT = 24  # units; a longer text describes, and has more phrases than concepts


def reading_of(labels: LabelSpace) -> dict[str, str]:
    """Text of each node; its name where the name says something and the text is long.

    Returns
    -------
    readings : dict of str to str
        In the order of `labels.nodes`: labels first.
    """
    return {
        name: name if not is_code(name) and len(phrase_units(text)) > _LONG_TEXT else text
        for name, text in zip(labels.nodes, labels.node_texts, strict=True)
    }


def is_code(text: str) -> bool:
    """Whether a name is made to be looked up, not read: ``A12.3``, ``03110000-5``, ``MATH-101``."""
    units = phrase_units(text)
    if any(map(is_han, units)):
        return False
    if not any(len(unit) > 2 and unit.isalpha() for unit in units):
        return True
    return len(text.split()) == 1 and any(character.isdigit() for character in text)
