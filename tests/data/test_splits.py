import pytest
import torch

from sgan_lab.data.batches import SemiSupervisedBatches
from sgan_lab.data.containers import LabeledImages
from sgan_lab.data.splits import fold_test, hold_out_test, listed_images, split_training_set
from sgan_lab.errors import ConfigError, DataError


def test_balanced_split_takes_the_first_of_each_class():
    labels = torch.tensor([0, 0, 0, 1, 2, 1, 2, 1, 2, 0])
    images = torch.arange(10, dtype=torch.uint8).view(10, 1, 1, 1)
    train = LabeledImages(images, labels)
    data = split_training_set(train, train, "abc", 4, "balanced", batch_size=2)
    assert data.labeled.images.flatten().tolist() == [0, 1, 3, 4]
    assert data.labeled.labels.tolist() == [0, 0, 1, 2]
    assert data.unlabeled_images.flatten().tolist() == [2, 5, 6, 7, 8, 9]


def test_random_split_draws_each_image_of_a_class_equally_often():
    labels = torch.tensor([0, 1, 0, 1, 0, 0, 1, 0])  # five and three
    train = LabeledImages(torch.arange(8, dtype=torch.uint8).view(8, 1, 1, 1), labels)
    counts = torch.zeros(8)
    for seed in range(1500):
        data = split_training_set(train, train, "ab", 2, "random", 2, label_seed=seed)
        drawn, rest = data.labeled.images.flatten(), data.unlabeled_images.flatten()
        assert data.labeled.labels.tolist() == labels[drawn.long()].tolist()
        assert data.labeled.labels.sort().values.tolist() == [0, 1]
        assert sorted([*drawn.tolist(), *rest.tolist()]) == list(range(8))
        counts[drawn.long()] += 1
    # 300 and 500 are expected; five standard deviations are 77 and 91.
    assert (counts - torch.tensor([300, 500])[labels]).abs().max() < 77


def test_random_split_depends_on_its_seed_only_and_leaves_validation_images_out():
    labels = torch.arange(100) % 5
    train = LabeledImages(torch.arange(100, dtype=torch.uint8).view(100, 1, 1, 1), labels)

    def split(seed):
        return split_training_set(train, train, "abcde", 20, "random", 2, 50, seed)

    torch.manual_seed(0)
    data, state = split(3), torch.get_rng_state()
    assert torch.equal(torch.manual_seed(0).get_state(), state)  # nothing was drawn from it
    torch.manual_seed(1)
    assert torch.equal(split(3).labeled.images, data.labeled.images)
    assert not torch.equal(split(4).labeled.images, data.labeled.images)
    assert data.labeled.labels.bincount().tolist() == [4] * 5
    sets = [data.labeled.images, data.unlabeled_images, data.validation.images]
    assert [len(images) for images in sets] == [20, 30, 50]
    assert torch.cat(sets).flatten().sort().values.tolist() == list(range(100))
    assert torch.equal(split(4).validation.images, data.validation.images)


@pytest.mark.parametrize("labeled_split", ["first", "balanced"])
def test_validation_images_are_the_last_of_each_class_and_in_no_other_set(labeled_split):
    labels = torch.tensor([0, 1, 2, 0, 1, 2, 2, 0, 1, 0])
    images = torch.arange(10, dtype=torch.uint8).view(10, 1, 1, 1)
    train = LabeledImages(images, labels)
    data = split_training_set(train, train, "abc", 3, labeled_split, 2, num_validation=4)
    assert data.validation.images.flatten().tolist() == [6, 7, 8, 9]
    assert data.validation.labels.tolist() == [2, 0, 1, 0]
    assert data.labeled.images.flatten().tolist() == [0, 1, 2]
    assert data.unlabeled_images.flatten().tolist() == [3, 4, 5]
    everything = split_training_set(train, train, "abc", None, labeled_split, 2, 4)
    assert everything.labeled.labels.tolist() == [0, 1, 2, 0, 1, 2]
    with pytest.raises(ConfigError, match=r"data.num_labeled=7: must be an integer 1 to 6"):
        split_training_set(train, train, "abc", 7, "first", 2, 4)
    with pytest.raises(ConfigError, match=r"data.num_validation=11: needs 4 images of class b"):
        split_training_set(train, train, "abc", 1, "first", 2, 11)


def test_split_refuses_more_labels_than_there_are():
    train = LabeledImages(torch.zeros(4, 1, 1, 1), torch.tensor([0, 0, 0, 1]))
    with pytest.raises(ConfigError, match=r"data.num_labeled=5: must be an integer 1 to 4"):
        split_training_set(train, train, "ab", 5, "first", 2)
    with pytest.raises(
        ConfigError, match=r"needs 2 images of class b to be balanced, but there are 1"
    ):
        split_training_set(train, train, "ab", 4, "balanced", 2)
    with pytest.raises(ConfigError, match="number of classes"):
        split_training_set(train, train, "ab", 1, "balanced", 2)


def split_some(labeled_split, num_labeled, classes, unlabeled_classes, num_validation=0):
    """A split of 20 images, their numbers for pixels, of the classes 5 to 9 in turn."""
    images = torch.arange(20, dtype=torch.uint8).view(20, 1, 1, 1)
    train = LabeledImages(images, torch.arange(20) % 5)
    test = LabeledImages(images[:5], train.labels[:5])
    how = (num_labeled, labeled_split, 2, num_validation, 0, 0.0, classes, unlabeled_classes)
    return split_training_set(train, test, "56789", *how)


@pytest.mark.parametrize("labeled_split", ["first", "balanced", "random"])
def test_unlabeled_images_may_be_of_other_classes(labeled_split):
    data = split_some(labeled_split, 3, [9, "6", 7], ["8", 7], num_validation=3)
    assert data.class_names == ("6", "7", "9")
    assert data.test.images.flatten().tolist() == [1, 2, 4]
    assert data.test.labels.tolist() == [0, 1, 2]
    assert data.validation.images.flatten().tolist() == [16, 17, 19]
    assert data.validation.labels.tolist() == [0, 1, 2]
    drawn = data.labeled.images.flatten()
    assert data.labeled.labels.tolist() == [[1, 2, 4].index(number % 5) for number in drawn]
    assert sorted(data.labeled.labels.tolist()) == [0, 1, 2]
    if labeled_split != "random":
        assert drawn.tolist() == [1, 2, 4]
    expected = ({2, 7, 12} - set(drawn.tolist())) | {3, 8, 13, 18}
    assert sorted(data.unlabeled_images.flatten().tolist()) == sorted(expected)


@pytest.mark.parametrize(
    ("classes", "unlabeled_classes", "unlabeled"),
    [
        (None, None, range(5, 20)),
        (["6", "9"], None, [11, 14, 16, 19]),
        (["6", "9"], ["6", "9"], [11, 14, 16, 19]),
        (["6", "9"], list("56789"), [0, 2, 3, 5, 7, 8, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19]),
        (["6", "9"], ["5"], [0, 5, 10, 15]),
        (None, ["5"], [5, 10, 15]),
    ],
)
def test_unlabeled_images_are_by_default_of_the_classes_to_learn(
    classes, unlabeled_classes, unlabeled
):
    data = split_some("first", 5 if classes is None else 4, classes, unlabeled_classes)
    assert sorted(data.unlabeled_images.flatten().tolist()) == list(unlabeled)


def test_labels_are_counted_among_the_classes_to_learn():
    with pytest.raises(ConfigError, match=r"data.num_labeled=9: must be an integer 1 to 8"):
        split_some("first", 9, ["6", "9"], list("56789"))
    with pytest.raises(ConfigError, match=r"data.num_validation=9: needs 5 images of class 6 to"):
        split_some("first", 1, ["6", "9"], None, num_validation=9)
    with pytest.raises(ConfigError, match=r"data.num_labeled=8: leaves no unlabeled images"):
        SemiSupervisedBatches(split_some("first", 8, ["6", "9"], ["9"]), 1)


@pytest.mark.parametrize("labeled_split", ["first", "balanced"])
def test_labels_of_unlabeled_images_are_never_read(labeled_split):
    """Poisoned labels beyond the labeled set give the same data."""
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(256, (60, 1, 4, 4), generator=generator, dtype=torch.uint8)
    labels = torch.arange(60) % 3
    poisoned = labels.clone()
    poisoned[12:] = labels[12:].roll(1)
    clean, other = (
        split_training_set(
            LabeledImages(images, y), LabeledImages(images, y), "abc", 12, labeled_split, 4
        )
        for y in (labels, poisoned)
    )
    assert torch.equal(clean.labeled.labels, other.labeled.labels)
    assert torch.equal(clean.labeled.images, other.labeled.images)
    assert torch.equal(clean.unlabeled_images, other.unlabeled_images)


def test_listed_images_are_the_labeled_ones_whatever_is_held_out():
    images = torch.arange(20, dtype=torch.uint8).view(20, 1, 1, 1)
    train, listed = LabeledImages(images, torch.arange(20) % 5), torch.zeros(20, dtype=torch.bool)
    listed[[16, 19, 1]] = True  # the last of their classes, which validation images else are
    how = (None, "first", 2)
    data = split_training_set(train, train, "56789", *how, num_validation=5, listed=listed)
    assert data.labeled.images.flatten().tolist() == [1, 16, 19]
    assert data.validation.images.flatten().tolist() == [11, 14, 15, 17, 18]
    assert len(data.unlabeled_images) == 12
    data = split_training_set(train, train, "56789", *how, classes=["6", "9"], listed=listed)
    assert data.labeled.labels.tolist() == [0, 0, 1]
    assert data.unlabeled_images.flatten().tolist() == [4, 6, 9, 11, 14]
    with pytest.raises(ConfigError, match=r"data.classes=\['6', '7'\]: lacks classes of images in"):
        split_training_set(train, train, "56789", *how, classes=["6", "7"], listed=listed)


def test_a_list_of_images_is_checked(tmp_path):
    path = tmp_path / "list.txt"
    path.write_text("3\r\n 0 \n\nb.png")
    assert listed_images(path, 4, ["a.png", "b.png"]).tolist() == [True, True, False, True]
    for content, found in (("", "nothing"), ("4", "4"), ("-1\n1.0", "-1, 1.0"), ("c.png", "c.png")):
        path.write_text(content)
        with pytest.raises(DataError, match=rf"indices 0 to 3 or file names .*; it has {found}\.$"):
            listed_images(path, 4, ["a.png"])
    path.write_text("\n".join(map(str, range(10, 25))))
    with pytest.raises(DataError, match=r"indices 0 to 3; it has 10, .* 19, \.\.\.\.$"):
        listed_images(path, 4)


def test_a_test_set_is_drawn_from_each_class_without_excluded_images():
    labels = torch.tensor([0, 1, 0, 0, 1, -1, 0, 2, -1, 0])
    counts = torch.zeros(10)
    for seed in range(1000):
        counts += hold_out_test(labels, 0.4, seed)
    # two of five, one of two, and the only one never; five standard deviations are 79.
    expected = torch.tensor([400, 500, 400, 400, 500, 0, 400, 0, 0, 400])
    assert (counts - expected).abs().max() < 79
    assert counts[[5, 7, 8]].tolist() == [0, 0, 0]


def test_folds_are_parts_with_the_frequencies_of_the_whole():
    labels = torch.tensor([0] * 20 + [1] * 10 + [2] * 3 + [-1] * 4)
    folds = [fold_test(labels, 5, fold, seed=1) for fold in range(5)]
    assert torch.equal(torch.stack(folds).sum(dim=0), (labels >= 0).long())
    for part in folds:
        assert labels[part].bincount(minlength=3)[:2].tolist() == [4, 2]
    assert torch.equal(fold_test(labels, 5, 2, seed=1), folds[2])
    assert not torch.equal(fold_test(labels, 5, 2, seed=2), folds[2])
    message = "data.folds=21: must be at most 20, the labeled images of the largest class"
    with pytest.raises(ConfigError, match=message):
        fold_test(labels, 21, 0, seed=1)


def test_suggested_labels_leave_the_classes_as_frequent_as_in_the_first_half():
    """The labels asked for are the first 9 of one class and one of another, of equal images."""
    pixels = torch.arange(60, dtype=torch.uint8).view(-1, 1, 1, 1)
    train = LabeledImages(pixels, torch.arange(3).repeat(20))
    asked = []

    def suggest(images, count):
        asked.append((images.flatten().tolist(), count))
        labels = images.flatten() % 3
        return [*(labels == 2).nonzero().flatten()[:9], (labels == 1).nonzero().flatten()[0]]

    data = split_training_set(
        train, train, "abc", 19, "suggested", 2, label_seed=4, suggest=suggest
    )
    first = split_training_set(train, train, "abc", 9, "random", 2, label_seed=4)
    alone = split_training_set(train, train, "abc", 19, "suggested", 2, label_seed=4)
    assert torch.equal(alone.labeled.images, first.labeled.images)
    assert asked == [(first.unlabeled_images.flatten().tolist(), 10)]
    labeled, others = (
        each.flatten().tolist() for each in (data.labeled.images, data.unlabeled_images)
    )
    assert {*first.labeled.images.flatten().tolist()} < {*labeled}
    assert sorted([*labeled, *others]) == list(range(60))
    assert data.labeled.labels.bincount().tolist() == [3, 4, 12]
    assert data.label_frequencies.tolist() == pytest.approx([1 / 3] * 3)
    with pytest.raises(ConfigError, match=r"half of data\.num_labeled=2: must be at least the num"):
        split_training_set(train, train, "abc", 5, "suggested", 2, suggest=suggest)
    with pytest.raises(ConfigError, match=r"data\.num_labeled=61: must be an integer 1 to 60"):
        split_training_set(train, train, "abc", 61, "suggested", 2, suggest=suggest)
    assert len(asked) == 1
