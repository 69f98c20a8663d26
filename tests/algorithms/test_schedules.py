from math import exp

import pytest

from sgan_lab.algorithms.schedules import linear_decay, ramp_up


def test_linear_decay_falls_to_zero_over_the_last_part():
    assert [linear_decay(done, 10, 0.4) for done in (0, 6)] == [1, 1]
    assert linear_decay(9, 10, 0.4) == pytest.approx(0.25)
    assert linear_decay(10, 10, 0.4) == 0
    assert linear_decay(9, 10, 0) == 1


def test_ramp_up_rises_over_the_first_part():
    factors = [ramp_up(done, 10, 0.4) for done in (0, 1, 2, 4, 10)]
    assert factors == pytest.approx([exp(-5), exp(-5 * 0.75**2), exp(-1.25), 1, 1])
    assert ramp_up(0, 10, 0) == 1
