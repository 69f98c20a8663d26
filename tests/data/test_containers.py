import torch

from sgan_lab.data.containers import scale


def test_scale_maps_bytes_to_minus_one_to_one():
    scaled = scale(torch.tensor([0, 51, 255], dtype=torch.uint8))
    torch.testing.assert_close(scaled, torch.tensor([-1.0, -0.6, 1.0]))
