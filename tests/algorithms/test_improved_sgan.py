import pytest
import torch

from sgan_lab.algorithms.improved_sgan import ImprovedSGAN
from tests.builders import make_data
from tests.steps import check_sgan, make_sgan

IMPROVEMENTS = {
    "joint_update": True,
    "feature_matching": True,
    "label_smoothing": 0.1,
    "consistency_weight": 3.0,
    "distribution_alignment": True,  # of the consistency's targets
    "unlabeled_batches": 2,
    "averaging_rate": 1.5,  # a decay of 0.7 over five iterations
    "learning_rate_decay": 0.5,
    "propagation_weight": 2.0,  # in the first half
}


@pytest.mark.parametrize(
    "improvements",
    [
        *({key: IMPROVEMENTS[key]} for key in IMPROVEMENTS),
        {key: IMPROVEMENTS[key] for key in ("consistency_weight", "distribution_alignment")},
        IMPROVEMENTS,
    ],
)
def test_iterations_equal_a_loop_written_out_from_the_papers(improvements, monkeypatch):
    check_sgan(make_sgan(ImprovedSGAN, **improvements), improvements, monkeypatch)


def test_with_all_switches_off_it_is_the_sgan_bit_for_bit():
    states = []
    for module in (make_sgan(), make_sgan(ImprovedSGAN)):
        torch.manual_seed(1)
        values = [module.training_step(batch, 0) for batch in module.batches(make_data(), 3)]
        states.append(
            [values, module.state_dict(), *(o.state_dict() for o in module.trainer.optimizers)]
        )
    torch.testing.assert_close(*states, rtol=0, atol=0)
