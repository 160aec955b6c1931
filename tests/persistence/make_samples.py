"""Writes the sample folders of the current format: ``python -m tests.persistence.make_samples``.

Run it once for each new format version. Samples of older versions are never written again.
"""

import json
import shutil
import tempfile
import warnings
from pathlib import Path

from sklearn.frozen import FrozenEstimator

from skrr2qc import (
    ClassCenterHead,
    MetaLabelReranker,
    RCPTEncoder,
    RetrievalRerankClassifier,
    TfidfLinearClassifier,
)
from skrr2qc.datasets import make_questions
from skrr2qc.meta_labels import NameDecomposer
from skrr2qc.persistence import save_model
from skrr2qc.persistence._model import FORMAT_VERSION
from tests.reference.tiny_bert import save_tiny_bert

HOME = Path(__file__).resolve().parents[1] / "data" / "saved_models"
TEXTS = ["area of a circle", "solve x^2 - 4 = 0", "the mean of a sample", "", "面积 unknown ζ"]


def composite():
    """Every kind of part: channels, shared vectorizer, reranker, label space, thresholds."""
    data = make_questions(60, n_labels=6, random_state=0)
    clf = RetrievalRerankClassifier(
        RCPTEncoder(hidden_size=16, vocab_size=150, n_epochs=0),
        ClassCenterHead(n_epochs=2),
        MetaLabelReranker(ClassCenterHead(n_epochs=2), combine="learned"),
        labels=data.labels,
        meta_labels=NameDecomposer(aliases={"disc": "circle"}),
        lexical=TfidfLinearClassifier(C=1.0, max_features=300, validation_fraction=0),
        validation_fraction=0.4,
        random_state=0,
    )
    return clf.fit(data.texts, data.Y)


def pretrained_head():
    """Two layers of a network of transformers, one frozen and shared with the encoder."""
    with tempfile.TemporaryDirectory() as folder:
        save_tiny_bert(Path(folder), num_hidden_layers=2)
        encoder = RCPTEncoder(folder, n_epochs=0, random_state=0).fit(TEXTS)
    encoder.backbone = "./tiny-bert"
    head = ClassCenterHead(FrozenEstimator(encoder), n_epochs=1, n_frozen_layers=1, random_state=0)
    return head.fit(TEXTS, [[1, 0, 1], [0, 1, 0], [0, 0, 1], [1, 0, 0], [0, 1, 0]])


def main():
    """Write both folders and what they are to predict."""
    home = HOME / f"v{FORMAT_VERSION}"
    shutil.rmtree(home, ignore_errors=True)
    for make in (composite, pretrained_head):
        estimator = make()
        save_model(estimator, home / make.__name__, metrics={"P@1": 0.5})
        scores = estimator.predict_proba(TEXTS).tolist()
        expected = {"texts": TEXTS, "scores": scores}
        path = home / f"{make.__name__}.json"
        path.write_text(json.dumps(expected, indent=1), encoding="utf-8")


if __name__ == "__main__":
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        main()
