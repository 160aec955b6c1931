"""Saved models: fitted estimators as folders of JSON and safetensors, without pickle."""

from ._classes import SavedModelError
from ._mixin import SavedModelMixin
from ._model import load_model, save_model

__all__ = ["SavedModelError", "SavedModelMixin", "load_model", "save_model"]
