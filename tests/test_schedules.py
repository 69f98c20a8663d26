import pytest

from sgan_lab.schedules import linear_decay


def test_linear_decay():
    assert [linear_decay(i, 10, fraction=0.4) for i in range(0, 7)] == pytest.approx([1] * 7)
    assert [linear_decay(i, 10, 0.4) for i in (7, 8, 9, 10)] == pytest.approx([0.75, 0.5, 0.25, 0])
    assert [linear_decay(i, 10, fraction=0) for i in range(11)] == [1] * 11
    assert [linear_decay(i, 10, fraction=1) for i in (0, 5)] == [1, 0.5]
