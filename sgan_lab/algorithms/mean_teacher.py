"""Mean Teacher: the Pi-model whose teacher is a running average of the student's weights.

Tarvainen and Valpola 2017, Mean teachers are better role models.
"""

from typing import Any

from pytorch_lightning.core.optimizer import LightningOptimizer
from torch import Tensor, nn
from torch.optim import Optimizer

from sgan_lab.algorithms.averaging import RunningAverage
from sgan_lab.algorithms.pi_model import PiModel


class MeanTeacher(PiModel):
    """The teacher is the classifier.

    Args:
        averaging_rate: the teacher moves this / iterations of the way to the student's weights at
            each iteration.
        training: see `PiModel` and `SemiSupervisedClassifier`.
    """

    def __init__(self, *, averaging_rate: float, **training: Any) -> None:
        super().__init__(**training)
        self.averaged_discriminator = RunningAverage(
            self.discriminator, rate=averaging_rate / self.hparams.iterations
        )

    @property
    def classifier(self) -> nn.Module:
        """The teacher."""
        return self.averaged_discriminator

    @property
    def teacher(self) -> nn.Module:
        """The running average of the student."""
        return self.averaged_discriminator

    def update(self, loss: Tensor, optimizer: Optimizer | LightningOptimizer) -> None:
        """Move the student, then the teacher."""
        super().update(loss, optimizer)
        self.averaged_discriminator.update_parameters(self.discriminator)
