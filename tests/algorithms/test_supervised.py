import pytest
import torch
from pytorch_lightning import Trainer

from sgan_lab.algorithms.supervised import Supervised
from sgan_lab.data.batches import LabeledEpoch
from sgan_lab.training.history import History
from tests.builders import CLASSES, SHAPE, make_data


def test_epoch_values_are_means_over_its_images(tmp_path):
    """Learning rate ~0 and no dropout: the epoch's mean equals that over the labeled set."""
    data = make_data(num_labeled=20, batch_size=8)
    model = Supervised(image_shape=SHAPE, class_names=CLASSES, epochs=2, learning_rate=1e-30)
    model.discriminator.layers[6].p = 0
    history = History(None)
    trainer = Trainer(
        **model.training_limit,
        accelerator="cpu",
        logger=False,
        callbacks=[history],
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=tmp_path,
    )
    trainer.fit(model, LabeledEpoch(data))
    assert history.interval_ends == [3, 6]
    model.eval()
    logits = model((data.labeled.images.float() - 127.5) / 127.5)
    labels = data.labeled.labels
    loss = -logits.log_softmax(1)[range(20), labels].mean().item()
    accuracy = (logits.argmax(1) == labels).float().mean().item()
    assert history["labeled/class_loss"][5].item() == pytest.approx(loss, rel=1e-5)
    assert history["labeled/accuracy"][5].item() == pytest.approx(accuracy)


def test_optimizer_is_kerass_adam():
    optimizer = Supervised(
        image_shape=SHAPE, class_names=CLASSES, epochs=1, learning_rate=1e-3
    ).configure_optimizers()
    assert isinstance(optimizer, torch.optim.Adam)
    assert (optimizer.defaults["lr"], optimizer.defaults["eps"]) == (1e-3, 1e-7)
