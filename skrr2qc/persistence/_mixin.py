"""`save` and `load` for estimators."""

from ._model import load_model, save_model


class SavedModelMixin:
    """Brings ``save`` and ``load`` to an estimator that is on the list of what can be saved."""

    def save(
        self, folder, *, overwrite=False, dtype=None, include_training_texts=True, metrics=None
    ):
        """Write the fitted estimator to a folder, as JSON and safetensors; nothing is pickled.

        Parameters
        ----------
        folder : str or path
            Made, or replaced once all is written: a crash leaves the old model or the new one.
        overwrite : bool, default=False
            Whether a model in `folder` may be replaced. Nothing else ever is.
        dtype : {"float16", "bfloat16"}, default=None
            Half the precision for weights, in half the space.
        include_training_texts : bool, default=True
            Whether to write the training texts that ``explain`` quotes.
        metrics : dict of str to number, default=None
            What the model reached, for config.json and the model card.

        Returns
        -------
        folder : path

        Raises
        ------
        ValueError, OSError
            As `skrr2qc.persistence.save_model` says.
        """
        return save_model(
            self,
            folder,
            overwrite=overwrite,
            dtype=dtype,
            include_training_texts=include_training_texts,
            metrics=metrics,
        )

    @classmethod
    def load(cls, folder, *, device="auto", trusted=()):
        """Read an estimator of this class from a folder that `save` has written.

        Parameters
        ----------
        folder : str or path
        device : str or None, default="auto"
            Where to compute from now on; None leaves it as it was saved.
        trusted : sequence of str, default=()
            As for `skrr2qc.persistence.load_model`.

        Returns
        -------
        estimator : estimator

        Raises
        ------
        ValueError
            If the folder holds no whole model that this version can read.
        TypeError
            If it holds an estimator of another class.
        """
        return _of_class(cls, load_model(folder, device=device, trusted=trusted), folder)

    def push_to_hub(self, repo_id, *, private=True, token=None, commit_message=None, **options):
        """Save to a repository of the Hugging Face hub; the only method that uploads.

        Parameters
        ----------
        repo_id : str
            "user/name"; made if need be.
        private : bool, default=True
            Whether a repository that is made can be seen by its owner alone.
        token : str, default=None
            None takes the one that huggingface_hub knows.
        commit_message : str, default=None
        **options
            As for `save`.

        Returns
        -------
        url : str
            Of the commit.
        """
        from ._hub import push

        return push(self, repo_id, private, token, commit_message, options)

    @classmethod
    def from_hub(cls, repo_id, *, revision=None, token=None, device="auto", trusted=()):
        """Read an estimator of this class from a repository of the Hugging Face hub.

        Parameters
        ----------
        repo_id : str
        revision : str, default=None
            Branch, tag or commit. Name a commit for a model that nobody can exchange.
        token : str, default=None
        device, trusted
            As for `load`.

        Returns
        -------
        estimator : estimator
        """
        from ._hub import pull

        return _of_class(cls, pull(repo_id, revision, token, device, trusted), repo_id)


def _of_class(kind, estimator, place):
    if not isinstance(estimator, kind):
        raise TypeError(
            f"{place} holds a {type(estimator).__name__}, no {kind.__name__}. Load it with "
            f"{type(estimator).__name__}.load, or with skrr2qc.persistence.load_model."
        )
    return estimator
