"""The tutorial's loop in Keras, as the book prints it; `benchmarks/peers.py` runs it.

GANs in Action, chapter 7, with the names that Keras 3 has. Prints iterations a second.
"""

import argparse
import os
import time
from pathlib import Path

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"

import keras
import numpy as np
import tensorflow as tf
from keras import layers, ops

NOISE, CLASSES, LABELED, BATCH = 100, 10, 100, 32
WARM_UP = 5  # iterations, in which TensorFlow traces the models
RAW = Path(os.environ.get("SGAN_LAB_DATA", "data"), "MNIST", "raw")


def mnist() -> tuple[np.ndarray, np.ndarray]:
    """The training images (60000, 28, 28, 1) in [-1, 1] and their labels (60000, 1)."""
    images = np.fromfile(RAW / "train-images-idx3-ubyte", np.uint8, offset=16)
    labels = np.fromfile(RAW / "train-labels-idx1-ubyte", np.uint8, offset=8)
    images = images.reshape(-1, 28, 28, 1).astype(np.float32)
    return (images - 127.5) / 127.5, labels.reshape(-1, 1)


def build_generator() -> keras.Model:
    """Noise (N, 100) to images (N, 28, 28, 1)."""
    return keras.Sequential(
        [
            keras.Input((NOISE,)),
            layers.Dense(256 * 7 * 7),
            layers.Reshape((7, 7, 256)),
            layers.Conv2DTranspose(128, 3, strides=2, padding="same"),
            layers.BatchNormalization(),
            layers.LeakyReLU(negative_slope=0.01),
            layers.Conv2DTranspose(64, 3, strides=1, padding="same"),
            layers.BatchNormalization(),
            layers.LeakyReLU(negative_slope=0.01),
            layers.Conv2DTranspose(1, 3, strides=2, padding="same"),
            layers.Activation("tanh"),
        ]
    )


def build_discriminator() -> keras.Model:
    """Images (N, 28, 28, 1) to logits (N, 10)."""
    stages = []
    for filters in (32, 64, 128):
        stages.append(layers.Conv2D(filters, 3, strides=2, padding="same"))
        stages.append(layers.LeakyReLU(negative_slope=0.01))
    stages += [layers.Dropout(0.5), layers.Flatten(), layers.Dense(CLASSES)]
    return keras.Sequential([keras.Input((28, 28, 1)), *stages])


def real_probability(logits: tf.Tensor) -> tf.Tensor:
    """D(x) of logits (N, 10), (N, 1)."""
    return 1.0 - 1.0 / (ops.sum(ops.exp(logits), axis=-1, keepdims=True) + 1.0)


def main() -> None:
    """Print the iterations a second."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--predict", choices=("predict", "predict_on_batch"), required=True)
    parser.add_argument("--iterations", type=int, required=True)
    parser.add_argument("--threads", type=int, required=True)
    arguments = parser.parse_args()
    tf.config.threading.set_intra_op_parallelism_threads(arguments.threads)
    tf.config.threading.set_inter_op_parallelism_threads(1)

    images, labels = mnist()
    net, generator = build_discriminator(), build_generator()
    supervised = keras.Sequential([net, layers.Activation("softmax")])
    unsupervised = keras.Sequential([net, layers.Lambda(real_probability)])
    supervised.compile(
        loss="categorical_crossentropy", metrics=["accuracy"], optimizer=keras.optimizers.Adam(3e-4)
    )
    unsupervised.compile(loss="binary_crossentropy", optimizer=keras.optimizers.Adam())
    gan = keras.Sequential([generator, unsupervised])
    gan.compile(loss="binary_crossentropy", optimizer=keras.optimizers.Adam())
    generate = getattr(generator, arguments.predict)
    options = {"verbose": 0} if arguments.predict == "predict" else {}
    real, fake = np.ones((BATCH, 1)), np.zeros((BATCH, 1))
    random = np.random.default_rng(0)

    for iteration in range(WARM_UP + arguments.iterations):
        if iteration == WARM_UP:
            started = time.perf_counter()
        chosen = random.integers(0, LABELED, BATCH)
        one_hot = keras.utils.to_categorical(labels[chosen], num_classes=CLASSES)
        unlabeled = images[random.integers(LABELED, len(images), BATCH)]
        generated = generate(random.normal(size=(BATCH, NOISE)).astype(np.float32), **options)
        supervised.train_on_batch(images[chosen], one_hot)
        unsupervised.train_on_batch(unlabeled, real)
        unsupervised.train_on_batch(generated, fake)
        # Keras 3 takes it from here when it traces; the two above were traced before.
        unsupervised.trainable = False
        gan.train_on_batch(random.normal(size=(BATCH, NOISE)).astype(np.float32), real)
    print(arguments.iterations / (time.perf_counter() - started))


if __name__ == "__main__":
    main()
