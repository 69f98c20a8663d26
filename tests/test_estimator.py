"""The scikit-learn estimator."""

import os
import pickle
import re

import numpy as np
import pytest
import torch
from sklearn.base import BaseEstimator, TransformerMixin, clone
from sklearn.datasets import load_digits
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, MinMaxScaler
from sklearn.utils.estimator_checks import check_classifiers_train, parametrize_with_checks

import sgan_lab
from sgan_lab import SGANClassifier
from sgan_lab.data.load import load
from sgan_lab.errors import UserError

ONE_THREAD = ["num_threads=1", "trainer=cpu"]
QUICK = {"iterations": 2, "random_state": 0, "overrides": ONE_THREAD}


def digit_images():
    """Digits of 8x8 pixels and their labels, all but the first 20 of them -1; the true labels."""
    images, true = load_digits(return_X_y=True)
    images, true = images[:100].reshape(-1, 8, 8) / 16, true[:100]
    return images, np.where(np.arange(100) < 20, true, -1), true


class ToImages(TransformerMixin, BaseEstimator):
    """Makes images of 4x4 pixels of the first 16 columns of a table."""

    def fit(self, table, labels=None):
        return self

    def transform(self, table):
        table = np.asarray(table)
        columns = max(0, 16 - table.shape[1])
        return np.pad(table, ((0, 0), (0, columns)))[:, :16].reshape(-1, 4, 4)


def after_reshaping(**parameters):
    """A classifier of tables, which is what scikit-learn's checks have."""
    classifier = SGANClassifier(**(QUICK | parameters))
    return make_pipeline(MinMaxScaler(clip=True), ToImages(), classifier)


NOT_APPLICABLE = {
    "check_estimators_overwrite_params": "a Pipeline fits the steps that are its parameters",
    "check_dont_overwrite_parameters": "a Pipeline fits the steps that are its parameters",
    "check_classifiers_classes": "-1 is one of the classes there, and no label here",
    "check_classifiers_train": "two iterations do not learn it, see the test below",
}


@pytest.mark.slow
@parametrize_with_checks([after_reshaping()], expected_failed_checks=lambda _: NOT_APPLICABLE)
def test_scikit_learns_checks(estimator, check):
    check(estimator)


@pytest.mark.slow
def test_scikit_learns_check_of_learning():
    longer = [*ONE_THREAD, "model.epochs=10", "model.learning_rate=0.01"]
    estimator = after_reshaping(model="supervised", augmentation="none", overrides=longer)
    check_classifiers_train("Pipeline", estimator)


def test_it_trains_as_a_run_does(whole_run):
    """Equal images, labels and seed give equal weights, bit for bit."""
    data = load("digits", num_labeled=50, labeled_split="first", batch_size=32)
    images = torch.cat([data.labeled.images, data.unlabeled_images])[:, 0].numpy()
    labels = np.append(data.labeled.labels.numpy(), [-1] * len(data.unlabeled_images))
    estimator = SGANClassifier(
        "sgan", iterations=40, augmentation="none", random_state=3, overrides=ONE_THREAD
    ).fit(images, labels)
    trained = sgan_lab.load(whole_run).classifier.network.state_dict()
    for name, weight in estimator.classifier_.network.state_dict().items():
        assert torch.equal(weight, trained[name])


def test_it_is_one_of_scikit_learns(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    images, labels, true = digit_images()
    estimator = SGANClassifier(**QUICK)
    before = torch.get_rng_state()
    assert estimator.fit(images, labels) is estimator
    assert torch.equal(before, torch.get_rng_state())
    assert "PL_GLOBAL_SEED" not in os.environ
    assert estimator.get_params() == SGANClassifier(**QUICK).get_params()
    assert estimator.classes_.tolist() == [*range(10)]
    probabilities = estimator.predict_proba(images)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1)
    assert (estimator.predict(images) == probabilities.argmax(axis=1)).all()
    assert estimator.score(images, true) == np.mean(estimator.predict(images) == true)

    again = clone(estimator).fit((255 * images).round().astype(np.uint8), labels)
    for same in (again, pickle.loads(pickle.dumps(estimator))):
        assert (same.predict_proba(images) == probabilities).all()
    table = clone(estimator).set_params(image_shape=(8, 8)).fit(images.reshape(100, 64), labels)
    assert (table.predict_proba(images.reshape(100, 64)) == probabilities).all()
    other = clone(estimator).set_params(random_state=np.random.RandomState(1)).fit(images, labels)
    assert (other.predict_proba(images) != probabilities).any()

    reshaping = FunctionTransformer(lambda table: table.reshape(-1, 8, 8))
    scores = cross_val_score(
        make_pipeline(reshaping, SGANClassifier(**QUICK)), images.reshape(100, 64), true, cv=2
    )
    assert len(scores) == 2
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("model", ["supervised", "vat", "sgan", "bad_gan"])
def test_every_model_trains(model):
    images, labels, _ = digit_images()
    overrides = [*ONE_THREAD, "data.batch_size=8"]
    overrides += {"supervised": ["model.epochs=1"], "bad_gan": ["model.density_epochs=1"]}.get(
        model, []
    )
    estimator = SGANClassifier(**(QUICK | {"model": model, "overrides": overrides}))
    colors = np.repeat(images[..., np.newaxis], 3, axis=3)
    assert estimator.fit(colors, labels).predict(colors).shape == (100,)


def test_labels_may_be_texts():
    images, labels, _ = digit_images()
    names = np.array([f"digit {label}" for label in labels], dtype=object)
    names[labels == -1] = -1
    estimator = SGANClassifier(**QUICK).fit(images, names)
    assert estimator.classes_.tolist() == [f"digit {label}" for label in range(10)]
    assert set(estimator.predict(images)) <= set(estimator.classes_)
    with pytest.raises(ValueError, match="give it the dtype object"):
        SGANClassifier(**QUICK).fit(images, names.astype(str))


def test_unlabeled_images_are_learned_from():
    images, labels, true = digit_images()

    def trained(some_images, some_labels):
        return SGANClassifier(**QUICK).fit(some_images, some_labels).predict_proba(images)

    assert (trained(images, labels) != trained(images[:60], labels[:60])).any()
    others = np.concatenate([labels[:20], np.full(80, -1.0)])  # of another type
    assert (trained(images, labels) == trained(images, others)).all()
    assert trained(images, true).shape == (100, 10)  # where all are labeled, too


@pytest.mark.parametrize(
    ("parameters", "images", "message"),
    [
        ({}, np.zeros((4, 64)), "set image_shape to (height, width)"),
        ({"image_shape": (8, 8)}, np.zeros((4, 60)), "X has 60 features, but SGANClassifier is"),
        ({}, np.zeros((4, 3, 8)), "(1, 3, 8): must have 1 or 3 channels, and 4 pixels"),
        ({}, np.zeros((4, 8, 8, 2)), "(2, 8, 8): must have 1 or 3 channels"),
        ({}, np.full((4, 8, 8), 16.0), "pixels are floats from 16 to 16: must be in [0, 1]"),
        ({}, np.zeros((4, 8, 8), int), "pixels are int64: must be uint8"),
        ({}, np.full((4, 8, 8), np.nan), "NaN"),
        ({"model": "sgam"}, np.zeros((4, 8, 8)), "model=sgam: must be one of"),
        ({"iterations": 0}, np.zeros((4, 8, 8)), "iterations=0: must be an integer"),
        ({"overrides": ["trainer=ddp"]}, np.zeros((4, 8, 8)), "trainer.devices=2: must be 1"),
        ({"overrides": ["seed=1"]}, np.zeros((4, 8, 8)), "seed=1 must begin with one of model."),
    ],
)
def test_what_is_not_allowed_is_named(parameters, images, message):
    with pytest.raises((ValueError, UserError), match=re.escape(message)):
        SGANClassifier(**parameters).fit(images, [0, 1, -1, -1])


def test_labels_of_one_class_and_images_of_another_shape_are_refused():
    images, labels, _ = digit_images()
    with pytest.raises(ValueError, match="y has 1 class: at least two are needed"):
        SGANClassifier(**QUICK).fit(images, [3, *[-1] * 99])
    estimator = SGANClassifier(**QUICK).fit(images, labels)
    with pytest.raises(ValueError, match=r"\(1, 8, 7\): must be \(1, 8, 8\) as in fit"):
        estimator.predict(images[:, :, :7])
