"""Modules as numpy arrays: what pickle, joblib.hash and copies see of a fitted estimator."""

import numpy as np
import torch


class ModuleStateMixin:
    """Pickle fitted modules as arrays plus what rebuilds them, whatever device they are on.

    An estimator lists its modules by attribute name in ``_module_names`` and rebuilds one,
    with any weights, in ``_build_module(name, init_args)``. Frozen parts that a module shares
    with an encoder are not written: they come back with the encoder.
    """

    _module_names = ("module_",)

    def __getstate__(self):
        state = dict(super().__getstate__())
        for name in self._module_names:
            if isinstance(state.get(name), torch.nn.Module):
                state[name] = module_to_arrays(state[name])
        return state

    def __setstate__(self, state):
        packed = {name: state[name] for name in self._module_names if name in state}
        super().__setstate__({key: value for key, value in state.items() if key not in packed})
        for name, content in packed.items():
            setattr(self, name, self._restore_module(name, content))

    def _restore_module(self, name, content):
        if not isinstance(content, dict):  # None, or a module that waits for its encoder
            return content
        with torch.random.fork_rng(devices=[]):  # weights are drawn only to be overwritten
            module = self._build_module(name, content["init_args"])
        load_arrays(module, content["arrays"])
        return module.eval()


def module_to_arrays(module):
    """``{"init_args", "arrays"}`` of a module: its own tensors, and what rebuilds it."""
    tensors = module.state_dict().items()
    arrays = {name: np.array(tensor.detach().cpu().numpy()) for name, tensor in tensors}
    return {"init_args": getattr(module, "init_args", None), "arrays": arrays}


def load_arrays(module, arrays):
    """Copy arrays into the tensors of the same names."""
    tensors = module.state_dict()
    unknown = sorted(set(arrays) - set(tensors))
    if unknown:
        raise ValueError(f"Weights without a place in {type(module).__name__}: {unknown[:3]}.")
    with torch.no_grad():
        for name, array in arrays.items():
            tensors[name].copy_(torch.from_numpy(array))
