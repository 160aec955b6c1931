"""Networks from a file: built without drawing weights, within the size that the file has."""

from math import prod

import torch
from torch.overrides import TorchFunctionMode

from ._classes import SavedModelError, network_config

_DRAWS = {
    *("normal_", "uniform_", "trunc_normal_", "kaiming_normal_", "kaiming_uniform_"),
    *("xavier_normal_", "xavier_uniform_", "orthogonal_"),
}
_SIZED = {"empty", "zeros", "ones", "rand", "randn", "full", "eye", "arange", "tri", "linspace"}
_SPARE_ELEMENTS = 2**20  # buffers that are no part of the file, such as positions
_CALLS, _CALLS_PER_TENSOR = 10_000, 200


def describe_module(module):
    """What rebuilds a module, and its tensors by name as arrays that share their memory."""
    init_args = dict(getattr(module, "init_args", None) or {})
    if "config" in init_args:
        init_args["config"] = network_config(init_args["config"], is_read=False)
    tensors = {name: _as_array(tensor) for name, tensor in module.state_dict().items()}
    return init_args, tensors


def restore_module(owner, name, init_args, tensors):
    """Let an estimator build one of its modules, and put tensors in place of its own.

    Parameters
    ----------
    owner : estimator with ``_build_module``
    name : str
        Attribute that the module belongs to.
    init_args : dict
    tensors : dict of str to ndarray

    Returns
    -------
    module : torch.nn.Module
        In evaluation mode.
    """
    if "config" in init_args:
        init_args = init_args | {"config": network_config(init_args["config"], is_read=True)}
    # What is refused half-way may be torch's own return to the gradient mode: see to it outside.
    mode = torch.set_grad_enabled(torch.is_grad_enabled())
    with mode, torch.random.fork_rng(devices=[]), _BoundedBuild(tensors.values()):
        module = owner._build_module(name, init_args)
    found = module.state_dict(keep_vars=True)
    wrong = found.keys() ^ tensors.keys()
    wrong |= {n for n in found.keys() & tensors.keys() if found[n].shape != tensors[n].shape}
    if wrong:
        raise SavedModelError(
            f"The weights of `{name}` do not fit {type(module).__name__}: look at "
            f"{sorted(wrong)[:3]}."
        )
    for key, array in tensors.items():
        tensor = torch.from_numpy(array)
        if tensor.dtype != found[key].dtype:
            raise SavedModelError(
                f"The weights {key!r} of `{name}` are {tensor.dtype} instead of {found[key].dtype}."
            )
        found[key].data = tensor
    return module.eval()


class _BoundedBuild(TorchFunctionMode):
    """While a module is built: no weight is drawn, and no more is allocated than it should have.

    A file may claim a billion layers: their number and size is held against its tensors.
    """

    def __init__(self, arrays):
        super().__init__()
        arrays = list(arrays)
        self.elements = 2 * sum(array.size for array in arrays) + _SPARE_ELEMENTS
        self.calls = _CALLS + _CALLS_PER_TENSOR * len(arrays)

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        name = getattr(func, "__name__", "")
        if name in _DRAWS:
            return args[0] if args else kwargs["tensor"]
        self.calls -= 1
        if name in _SIZED:
            self.elements -= _n_elements(name, args, kwargs)
        if self.calls < 0 or self.elements < 0:
            raise SavedModelError(
                "A network is described as much larger than the weights in the file."
            )
        return func(*args, **kwargs)


def _n_elements(name, args, kwargs):
    sizes = [kwargs[key] for key in ("size", "n", "m", "end") if key in kwargs]
    for arg in args[: 1 if name == "full" else None]:
        sizes.extend(arg if isinstance(arg, (tuple, list, torch.Size)) else [arg])
    sizes = [abs(n) for n in sizes if isinstance(n, int) and not isinstance(n, bool)]
    if name in ("arange", "linspace"):
        return max(sizes, default=0)
    return sizes[0] ** 2 if name == "eye" and len(sizes) == 1 else prod(sizes)


def _as_array(tensor):
    tensor = tensor.detach().cpu().contiguous()
    if tensor.dtype in (torch.float16, torch.bfloat16):
        raise SavedModelError(
            f"Weights in {tensor.dtype} cannot be written: call `module.float()` before, and save "
            "with `dtype` for a smaller file."
        )
    return tensor.numpy()
