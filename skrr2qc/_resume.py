"""Where a run of updates stands, and how it goes on from a checkpoint to the same weights."""

import math
import time

import torch
from skorch.callbacks import Callback


class Steps:
    """The batches of a whole run; it ends with the last update, and may begin within an epoch.

    Parameters
    ----------
    batches : iterable of (inputs, targets) with a length
        Whatever it draws on the host comes from its `rng`, a numpy Generator, if it has one. Its
        `order`, if it has one, holds the rows of an epoch.
    n_epochs : int
    max_steps : int or None

    Attributes
    ----------
    n_total : int
        Updates of the run.
    step : int
        Number of the update under way, or of the last one: 1 is the first.
    in_epoch : int
        Batches of the running epoch up to that one; 0 between epochs.
    n_epochs, n_epochs_done, n_texts : int
    is_stopped : bool
        Set to end the run after the running epoch.
    """

    def __init__(self, batches, n_epochs, max_steps=None):
        self.batches = batches
        self.n_total = n_epochs * len(batches)
        if max_steps is not None:
            self.n_total = min(self.n_total, max_steps)
        self.n_epochs = math.ceil(self.n_total / max(1, len(batches)))
        self.step = self.in_epoch = self.n_epochs_done = self.n_texts = 0
        self.is_stopped = False

    @property
    def is_over(self):
        """Whether no epoch is left."""
        return self.is_stopped or self.n_epochs_done >= self.n_epochs

    @property
    def n_texts_total(self):
        """Texts of the whole run, counted anew in each epoch; None if unknown."""
        order = getattr(self.batches, "order", None)
        if order is None:
            return None
        return round(len(order) * self.n_total / max(1, len(self.batches)))

    def __iter__(self):
        self._epoch_start = self._rng_state()
        n_before, batches = self.in_epoch, iter(self.batches)
        with torch.random.fork_rng(devices=[]):  # batches already learnt from: drawn again
            for _ in range(n_before):
                next(batches, None)
        while self.step < self.n_total:
            batch = next(batches, None)
            if batch is None:
                return
            self.step += 1
            self.in_epoch += 1
            self.n_texts += len(batch[1])
            yield batch

    def end_epoch(self):
        """Count a finished epoch."""
        self.n_epochs_done += 1
        self.in_epoch = 0

    def position(self):
        """Where the run stands, as JSON values."""
        names = ("n_total", "step", "in_epoch", "n_epochs_done", "n_texts", "is_stopped")
        rng = self._epoch_start if self.in_epoch else self._rng_state()
        return {**{name: getattr(self, name) for name in names}, "rng": rng}

    def go_to(self, position):
        """Stand where `position` was taken."""
        if position["n_total"] != self.n_total:
            raise ValueError(
                f"The checkpoint is that of a run of {position['n_total']} updates, this one has "
                f"{self.n_total}. Fit with the same data and settings, or in another folder."
            )
        position = dict(position)
        rng = position.pop("rng")
        if rng is not None:
            self.batches.rng.bit_generator.state = rng
        self._epoch_start = rng
        vars(self).update(position)

    def _rng_state(self):
        rng = getattr(self.batches, "rng", None)
        return None if rng is None else rng.bit_generator.state


class Saver(Callback):
    """Saves a run every few updates and after each epoch, and takes it up again.

    Parameters
    ----------
    checkpoint : Checkpoint
    held_out : callback or None
        Its `state` and `best` are part of the run.
    average : callback or None
        So are its `means_`, unless it `is_swapped`.
    """

    def __init__(self, checkpoint, held_out=None, average=None):
        self.checkpoint = checkpoint
        self.held_out = held_out
        self.average = average

    def on_train_begin(self, net, **kwargs):
        """Go on from the checkpoint; without one, save the start."""
        self.is_finished_ = False
        saved = self.checkpoint.load()
        if saved is not None and "position" in saved[1]:
            self._restore(net, *saved)
            self._mark(net)
        else:
            self._mark(net)
            self._save(net)

    def on_epoch_begin(self, net, **kwargs):
        """Start the clock."""
        self.start_ = time.time()

    def on_grad_computed(self, net, *args, **kwargs):
        """From here to the end of the batch, weights belong to no step."""
        self.is_torn_ = True

    def on_batch_end(self, net, training, **kwargs):
        """Save if it is time."""
        self._mark(net)
        if net.steps_.step % self.checkpoint.every == 0:
            self._save(net)

    def on_epoch_end(self, net, **kwargs):
        """Save; the row of the epoch takes the place of its batches."""
        net.history.record("row", net.epoch_row(net.history[-1]))
        self._mark(net)
        self._save(net)

    def rescue(self, net):
        """Save what was whole last, unless an update is half done.

        Raises
        ------
        OSError, RuntimeError
            As `Checkpoint.save`.
        """
        is_whole = not self.is_torn_ and not (self.average and self.average.is_swapped)
        if is_whole and self.whole_["position"]["step"] != self.checkpoint.last:
            self._save(net)

    def finish(self, net):
        """Save the result: without the optimizer, for nothing is left to learn."""
        if not self.is_finished_:
            self.is_finished_ = True
            self._mark(net)
            self._save(net)

    def _mark(self, net):
        """Remember where the run stands, and what will change before the next update does."""
        whole = {"position": net.steps_.position(), "random": _random_states(net.device)}
        if self.held_out is not None:
            whole |= {"best": self.held_out.best, "held_out": dict(self.held_out.state)}
        self.whole_ = whole
        self.is_torn_ = False

    def _save(self, net):
        net.check_finite()
        whole = self.whole_
        tensors = _named("module", net.module_.state_dict()) | whole["random"]
        state = {"step": whole["position"]["step"], "position": whole["position"]}
        state |= {"finished": self.is_finished_, **self._history(net)}
        if not self.is_finished_:
            for index, values in net.optimizer_.state_dict()["state"].items():
                tensors |= _named(f"optimizer.{index}", values)
            if self.held_out is not None:
                tensors |= _named("best", whole["best"])
                state["held_out"] = whole["held_out"]
            if self.average is not None:
                tensors |= _named("average", dict(enumerate(self.average.means_)))
        self.checkpoint.save(tensors, state)

    def _history(self, net):
        """Rows of the finished epochs, batches of the running one and its seconds so far."""
        n_done, n_batches = (self.whole_["position"][k] for k in ("n_epochs_done", "in_epoch"))
        rows = [epoch["row"] for epoch in net.history[:n_done]]
        if not n_batches:
            return {"rows": rows}
        running = net.history[n_done]
        seconds = running.get("seconds_before", 0.0) + time.time() - self.start_
        return {"rows": rows, "batches": running["batches"][:n_batches], "seconds": seconds}

    def _restore(self, net, tensors, state):
        net.steps_.go_to(state["position"])
        net.module_.load_state_dict(_under("module", tensors))
        for row in state["rows"]:
            net.history.append({"epoch": row["epoch"], "batches": [], "row": row})
        if net.steps_.in_epoch:
            running = {"epoch": len(net.history) + 1, "seconds_before": state["seconds"]}
            net.history.append(running | {"batches": state["batches"]})
        self.is_finished_ = state["finished"]
        if not self.is_finished_:
            _restore_optimizer(net.optimizer_, _under("optimizer", tensors))
            if self.held_out is not None and "held_out" in state:
                self.held_out.best = _under("best", tensors)
                self.held_out.state = state["held_out"]
        if self.average is not None:  # of a finished run, the averages are its weights
            self.average.go_to(_under("average", tensors))
        _set_random_states(tensors, net.device)


def _named(prefix, tensors):
    return {f"{prefix}.{name}": tensor for name, tensor in tensors.items()}


def _under(prefix, tensors):
    start = f"{prefix}."
    return {k.removeprefix(start): v for k, v in tensors.items() if k.startswith(start)}


def _restore_optimizer(optimizer, tensors):
    """Give the optimizer its moments; its settings stay those of this run."""
    state = {}
    for name, tensor in tensors.items():
        index, key = name.split(".")
        state.setdefault(int(index), {})[key] = tensor
    optimizer.load_state_dict({**optimizer.state_dict(), "state": state})


def _random_states(device):
    states = {"random.cpu": torch.get_rng_state()}
    if torch.device(device).type == "cuda":
        states["random.cuda"] = torch.cuda.get_rng_state(device)
    return states


def _set_random_states(tensors, device):
    """Only ever within `seeded`, which puts back the states of the caller."""
    torch.set_rng_state(tensors["random.cpu"])
    if torch.device(device).type == "cuda" and "random.cuda" in tensors:
        torch.cuda.set_rng_state(tensors["random.cuda"], device)
