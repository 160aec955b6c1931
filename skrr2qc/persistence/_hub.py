"""Saved models on the Hugging Face hub, where a user asks for it."""

import tempfile
from pathlib import Path

from ._model import load_model, save_model

_FILES = ["config.json", "README.md", "*.safetensors", "*.json", "*.skops"]


def push(estimator, repo_id, private, token, commit_message, options):
    """Save an estimator to a temporary folder and upload that; return the URL of the commit."""
    from huggingface_hub import HfApi

    with tempfile.TemporaryDirectory() as parent:
        folder = save_model(estimator, Path(parent) / "model", **options)
        api = HfApi(token=token)
        api.create_repo(repo_id, private=private, exist_ok=True)
        message = commit_message or f"{type(estimator).__name__} saved by skrr2qc"
        return str(api.upload_folder(repo_id=repo_id, folder_path=folder, commit_message=message))


def pull(repo_id, revision, token, device, trusted):
    """Download a repository to a temporary folder, as plain files, and load it."""
    from huggingface_hub import HfApi

    with tempfile.TemporaryDirectory() as folder:
        HfApi(token=token).snapshot_download(
            repo_id, revision=revision, local_dir=folder, allow_patterns=_FILES
        )
        return load_model(folder, device=device, trusted=trusted)
