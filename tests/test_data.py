"""The digits against scikit-learn's own file, what a data set must hold, and what may be asked for."""

import dataclasses
import gzip
import hashlib
import json
from importlib import resources

import numpy as np
import pytest
import torch
from data_files import made, one_line

from landscape_helpers.data import DATASETS, DataNotFoundError, load_data
from landscape_helpers.data.held_out import held_out
from landscape_helpers.data.subset import first_classes

pytestmark = pytest.mark.usefixtures("isolated")

# --- digits ---------------------------------------------------------------------------------------------------------


def test_digits_are_scikit_learns_file_in_a_fixed_shuffled_order():
    data = load_data("digits")
    packed = (resources.files("sklearn.datasets") / "data" / "digits.csv.gz").read_bytes()
    table = np.array([line.split(",") for line in gzip.decompress(packed).decode().split()], float).astype(np.int64)
    back = np.argsort(np.random.default_rng(0).permutation(1797))
    images = torch.cat([data.x_train, data.x_test])[back]
    labels = torch.cat([data.y_train, data.y_test])[back]
    np.testing.assert_array_equal(images.reshape(1797, 64).numpy(), table[:, :64])
    np.testing.assert_array_equal(labels.numpy(), table[:, 64])
    assert (len(data.x_train), len(data.x_test)) == (1500, 297)
    assert data.x_train.dtype == torch.uint8 and data.y_train.dtype == torch.int64
    assert data.input_shape == (1, 8, 8) and data.classes == tuple("0123456789") and data.n_classes == 10
    assert set(data.y_train.tolist()) == set(data.y_test.tolist()) == set(range(10))


def test_digits_have_the_same_checksum_every_time_whatever_part_is_taken():
    whole, part = load_data("digits"), load_data("digits", n_train=20, n_test=3)
    pixels = torch.cat([whole.x_train, whole.x_test]).numpy().tobytes()
    labels = torch.cat([whole.y_train, whole.y_test]).numpy().tobytes()
    expected = hashlib.sha256(pixels + labels).hexdigest()
    assert whole.provenance["sha256"] == part.provenance["sha256"] == expected
    assert expected.startswith("8801edd8f0184d76")
    assert (part.provenance["n_train"], part.provenance["n_test"]) == (20, 3)
    assert "shuffle" in whole.provenance["subset"]
    assert torch.equal(part.x_train, whole.x_train[:20]) and torch.equal(part.y_test, whole.y_test[:3])


def test_loading_leaves_the_random_states_alone():
    before, numpy_before = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    load_data("digits", n_train=10).standardised()
    assert torch.equal(torch.get_rng_state(), before)
    np.testing.assert_array_equal(np.random.get_state()[1], numpy_before)  # noqa: NPY002


# --- Data -----------------------------------------------------------------------------------------------------------


def test_standardised_has_zero_mean_and_unit_population_variance_in_each_channel():
    rng = np.random.default_rng(1)
    levels = np.array([200, 100, 20])[:, None, None]
    x = torch.from_numpy(rng.integers(0, levels, (7, 3, 4, 5)).astype(np.uint8))
    standard = made(x).standardised(torch.float64)[0].numpy()
    flat = standard.transpose(1, 0, 2, 3).reshape(3, -1)
    np.testing.assert_allclose(flat.sum(1), 0, atol=1e-11)
    np.testing.assert_allclose((flat**2).sum(1) / 140, 1, rtol=1e-12)


def test_the_test_set_is_scaled_with_the_statistics_of_the_training_set():
    x_train = torch.tensor([[10, 10], [30, 30]], dtype=torch.uint8).reshape(2, 1, 1, 2)  # mean 20, deviation 10
    x_test = torch.tensor([[50, 0]], dtype=torch.uint8).reshape(1, 1, 1, 2)
    data = made(x_train, x_test)
    train, y_train, test, y_test = data.standardised()
    assert train.dtype == test.dtype == torch.float32
    assert train.flatten().tolist() == [-1, -1, 1, 1] and test.flatten().tolist() == [3, -2]
    assert y_train is data.y_train and y_test is data.y_test


def test_every_image_of_a_large_set_is_standardised():
    data = load_data("digits")
    x_train, _, x_test, _ = data.standardised(torch.float64)
    pixels = data.x_train.numpy().astype(float)
    for standard, x in ((x_train, data.x_train), (x_test, data.x_test)):
        expected = (x.numpy() - pixels.mean()) / np.sqrt((pixels**2).mean() - pixels.mean() ** 2)
        np.testing.assert_allclose(standard.numpy(), expected, rtol=1e-10)


def test_a_constant_channel_becomes_zero_and_not_nan():
    x = torch.full((3, 2, 2, 2), 7, dtype=torch.uint8)
    x[:, 1] = torch.arange(12, dtype=torch.uint8).reshape(3, 2, 2)
    for data in (made(x), made(x).pooled(2)):
        standard = data.standardised()[0]
        assert torch.isfinite(standard).all() and (standard[:, 0] == 0).all() and (standard[:, 1] != 0).any()


def test_pooled_is_the_mean_over_squares():
    data = load_data("digits", n_train=6, n_test=2)
    pooled = data.pooled(2)
    for whole, small in ((data.x_train, pooled.x_train), (data.x_test, pooled.x_test)):
        pixels = whole.numpy().astype(float)
        expected = sum(pixels[:, :, i::2, j::2] for i in (0, 1) for j in (0, 1)) / 4
        np.testing.assert_array_equal(small.numpy(), expected)
    assert pooled.input_shape == (1, 4, 4) and pooled.provenance["pooled"] == 2
    assert "pooled" not in data.provenance and torch.equal(pooled.y_train, data.y_train)
    assert torch.equal(data.pooled(1).x_train, data.x_train.float())
    again = pooled.pooled(2)
    assert again.provenance["pooled"] == 4 and torch.equal(again.x_train, data.pooled(4).x_train)


@pytest.mark.parametrize("k", [0, -1, 3, 16, 2.0, True])
def test_pooling_needs_whole_squares(k):
    with pytest.raises(ValueError) as error:
        load_data("digits", n_train=1).pooled(k)
    one_line(error, k, "8x8")


def test_data_is_frozen_and_its_parts_must_fit():
    data = load_data("digits", n_train=4)
    with pytest.raises(dataclasses.FrozenInstanceError):
        data.name = "other"
    with pytest.raises(ValueError) as error:
        dataclasses.replace(data, y_train=data.y_train[:3])
    one_line(error, "digits", "train", "(4, 1, 8, 8)", "(3,)")
    with pytest.raises(ValueError) as error:
        dataclasses.replace(data, x_test=data.x_test[..., :7])
    one_line(error, "digits", "(1, 8, 8)", "(1, 8, 7)")
    for label in (-1, 10):
        with pytest.raises(ValueError) as error:
            dataclasses.replace(data, y_train=torch.full((4,), label))
        one_line(error, "digits", "train", label, "10 classes")


def test_held_out_images_are_the_last_of_the_training_set():
    data = load_data("digits", n_train=10)
    part = held_out(data, 3)
    assert torch.equal(part.x_train, data.x_train[:7]) and torch.equal(part.y_train, data.y_train[:7])
    assert torch.equal(part.x_test, data.x_train[7:]) and torch.equal(part.y_test, data.y_train[7:])
    assert (part.provenance["n_train"], part.provenance["n_test"]) == (7, 3)
    assert part.provenance["test"] == "held out of the training images" and "test" not in data.provenance
    assert len(held_out(data, 9).x_train) == 1
    with pytest.raises(ValueError) as error:
        held_out(data, 10)
    one_line(error, "n_valid", "digits has 10", "got 10")


def test_the_first_classes_in_the_order_in_which_they_stand():
    data = load_data("digits", n_train=50, n_test=40)
    part = first_classes(data, 3)
    rows, test_rows = ([i for i, label in enumerate(y.tolist()) if label < 3] for y in (data.y_train, data.y_test))
    assert torch.equal(part.x_train, data.x_train[rows]) and torch.equal(part.y_train, data.y_train[rows])
    assert torch.equal(part.x_test, data.x_test[test_rows]) and torch.equal(part.y_test, data.y_test[test_rows])
    assert part.classes == ("0", "1", "2") and part.provenance["classes"] == "first 3 of 10"
    assert (part.provenance["n_train"], part.provenance["n_test"]) == (len(rows), len(test_rows))
    assert first_classes(data, 10) is data
    two = first_classes(data, np.int64(2))
    assert two.classes == ("0", "1") and set(two.y_train.tolist()) == {0, 1}
    assert json.loads(json.dumps(two.provenance)) == two.provenance, "plain numbers, which files can hold"
    for count in (1, 11, 2.0, True):
        with pytest.raises(ValueError) as error:
            first_classes(data, count)
        one_line(error, "from 2 to the 10 of digits", count)


@pytest.mark.parametrize("part", [lambda data: held_out(data, 3), lambda data: first_classes(data, 3)])
def test_a_part_does_not_claim_the_positions_of_the_whole(part):
    data = load_data("digits", n_train=10)
    assert {"index_train", "index_test"} == set(data.provenance) - set(part(data).provenance)


@pytest.mark.parametrize("dtype", [None, torch.int64, "float32"])
def test_standardised_images_are_floating(dtype):
    with pytest.raises(ValueError) as error:
        load_data("digits", n_train=2).standardised(dtype)
    one_line(error, repr(dtype), "floating")


def test_a_data_set_equals_itself_alone():
    data, again = load_data("digits", n_train=4), load_data("digits", n_train=4)
    assert data == data and data != again and data in [again, data] and len({data, again}) == 2


# --- What is asked for ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("what", ["n_train", "n_test"])
@pytest.mark.parametrize("count", [0, -3, 10.0, True])
def test_at_least_one_image(what, count):
    with pytest.raises(ValueError) as error:
        load_data("digits", **{what: count})
    one_line(error, what, "at least 1", count)


@pytest.mark.parametrize(("what", "there"), [("n_train", 1500), ("n_test", 297)])
def test_no_more_images_than_there_are(what, there):
    assert load_data("digits", **{what: there}).provenance[what] == there
    with pytest.raises(ValueError) as error:
        load_data("digits", **{what: there + 1})
    one_line(error, "digits", there, there + 1)


def test_an_unknown_data_set_lists_the_known_ones(tmp_path):
    with pytest.raises(ValueError) as error:
        load_data("imagenet", root=tmp_path)
    one_line(error, "'imagenet'", *DATASETS, "folder:")


class BytesPath:
    def __fspath__(self):
        return b"/tmp"


@pytest.mark.parametrize("root", [5, b"/tmp", "a\0b", BytesPath()])
def test_a_root_is_a_path(root):
    with pytest.raises(ValueError) as error:
        load_data("mnist", root=root)
    one_line(error, "root", repr(root))


@pytest.mark.parametrize("name", [BytesPath(), "folder:a\0b"])
def test_an_image_folder_is_a_path(name):
    with pytest.raises(ValueError) as error:
        load_data(name)
    one_line(error, "image folder", "path")


def test_a_home_folder_that_does_not_exist_is_not_found(tmp_path):
    with pytest.raises(DataNotFoundError) as error:
        load_data("folder:~no-such-user/pets")
    one_line(error, "~no-such-user/pets", "train")
