"""What is known of each data set before it is loaded. This module imports no torch.

A torchvision data set is added by an entry here and a file in conf/data that names it.
"""

from dataclasses import dataclass

IDX = "sgan_lab.data.torchvision_sets.read_idx"
ARRAYS = "sgan_lab.data.torchvision_sets.read_arrays"
DIGITS = tuple("0123456789")


@dataclass(frozen=True)
class DataSet:
    """A data set as it is published.

    Attributes:
        reader: dotted name of the function that reads it. The function takes the name of the data
            set and the folder that holds it, and returns the training and the test images as two
            `LabeledImages`.
        image_shape: (channels, height, width) of every image.
        training_images: number of training images.
        test_images: number of test images.
        class_names: a name for each label.
    """

    reader: str
    image_shape: tuple[int, int, int]
    training_images: int
    test_images: int
    class_names: tuple[str, ...]


# The name of a torchvision data set is the name of its class in torchvision.datasets.
DATA_SETS = {
    "MNIST": DataSet(IDX, (1, 28, 28), 60_000, 10_000, DIGITS),
    "FashionMNIST": DataSet(
        IDX,
        (1, 28, 28),
        60_000,
        10_000,
        (
            *("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat"),
            *("Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"),
        ),
    ),
    "KMNIST": DataSet(
        IDX,
        (1, 28, 28),
        60_000,
        10_000,
        ("o", "ki", "su", "tsu", "na", "ha", "ma", "ya", "re", "wo"),
    ),
    "CIFAR10": DataSet(
        ARRAYS,
        (3, 32, 32),
        50_000,
        10_000,
        (
            *("airplane", "automobile", "bird", "cat", "deer"),
            *("dog", "frog", "horse", "ship", "truck"),
        ),
    ),
    "SVHN": DataSet(ARRAYS, (3, 32, 32), 73_257, 26_032, DIGITS),
    "digits": DataSet("sgan_lab.data.digits.read_digits", (1, 28, 28), 1437, 360, DIGITS),
}
