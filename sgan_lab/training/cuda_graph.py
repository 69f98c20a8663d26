"""Functions recorded as CUDA graphs: a GPU runs hundreds of small kernels by one launch."""

from collections import Counter
from collections.abc import Callable, Hashable, Sequence
from functools import partial
from typing import Any, NamedTuple

import torch
from pytorch_lightning import Callback, LightningModule, Trainer
from torch import Tensor
from torch.optim import Optimizer

from sgan_lab.training.lightning_progress import count_iteration

WARM_UP = 3  # calls, in which optimizers and libraries allocate what they keep


class Recording(NamedTuple):
    """A recorded call, with the tensors that it reads and those that it writes."""

    graph: torch.cuda.CUDAGraph
    inputs: Sequence[Tensor]
    outputs: Any


class Recorded:
    """A function of tensors that is called some times, then recorded, and from then on replayed.

    A replay draws new random numbers, and gives the same results as the function. What the function
    reads or decides in Python stays as it was when it was recorded: what changes must be in
    tensors, such as learning rates, or in `kind`.

    Args:
        function: a training step or a draw of batches; its tensors always have the same shapes.
        optimizers: whose steps are in it, fused; their learning rates become tensors.
        kind: what the function depends on in Python; a recording is made for each value.
        on_replay: does what the function does in Python; called before each replay.
    """

    def __init__(
        self,
        function: Callable[..., Any],
        optimizers: Sequence[Optimizer] = (),
        kind: Callable[[], Hashable] = lambda: None,
        on_replay: Callable[[], None] = lambda: None,
    ) -> None:
        self.function = function
        self.groups = [group for optimizer in optimizers for group in optimizer.param_groups]
        for group in self.groups:
            group["lr"] = torch.as_tensor(group["lr"], device=group["params"][0].device)
        self.kind = kind
        self.on_replay = on_replay
        self.calls: Counter[Hashable] = Counter()
        self.recordings: dict[Hashable, Recording] = {}

    def __call__(self, *arguments: Any) -> Any:
        """What the function returns; the next call may overwrite it.

        Args:
            arguments: of the function; the first one, if any, is a sequence of the tensors that
                differ from call to call. Those of the recorded call are kept, and written to.
        """
        kind = self.kind()
        if self.calls[kind] < WARM_UP:
            self.calls[kind] += 1
            return self.function(*arguments)
        inputs = arguments[0] if arguments else ()
        if kind in self.recordings:
            self.on_replay()
        else:
            graph, outputs = self.record(arguments)
            self.recordings[kind] = Recording(graph, inputs, outputs)
        graph, recorded_inputs, outputs = self.recordings[kind]
        for recorded, given in zip(recorded_inputs, inputs, strict=True):
            recorded.copy_(given)  # does nothing where a recorded draw wrote to this tensor
        graph.replay()
        return outputs

    def record(self, arguments: Sequence[Any]) -> tuple[torch.cuda.CUDAGraph, Any]:
        """Record a call, and return what it returned; on the device nothing is computed yet.

        Raises:
            RuntimeError: the function cannot be recorded, for one because it reads a value back.
        """
        graph = torch.cuda.CUDAGraph()
        self.set_capturable(True)
        try:
            with torch.cuda.graph(graph):
                outputs = self.function(*arguments)
        except RuntimeError as error:
            message = "An iteration cannot be recorded; cuda_graph=false trains without."
            raise RuntimeError(f"{message} {error}") from error
        self.set_capturable(False)  # else torch warns of steps that are not recorded
        return graph, outputs

    def set_capturable(self, value: bool) -> None:
        """Tell the optimizers whether their next steps are recorded."""
        for group in self.groups:
            group["capturable"] = value


class RecordIterations(Callback):
    """Has draws and iterations recorded on one GPU, where an algorithm makes its updates itself."""

    def on_train_start(self, trainer: Trainer, module: LightningModule) -> None:
        """Record from the next iteration on."""
        if module.automatic_optimization or not module.on_gpu or trainer.world_size > 1:
            return
        batches = trainer.train_dataloader
        if getattr(batches, "is_recordable", False):
            batches.draw = Recorded(batches.draw)
        module.training_step = Recorded(
            module.training_step,
            trainer.optimizers,
            module.step_kind,
            partial(count_iteration, trainer),
        )
