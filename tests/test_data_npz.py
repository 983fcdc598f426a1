"""``NAME.npz``: read in the original order and refused where damaged; CIFAR-10 also as it really is, where at hand."""

import hashlib
import os
import pickle
import struct
from pathlib import Path

import numpy as np
import pytest
import torch
from data_files import one_line, write_npz

from landscape_helpers.data import load_data

REAL = Path(os.environ.get("LANDSCAPE_DATA") or "no-such-folder")
pytestmark = pytest.mark.usefixtures("isolated")


@pytest.mark.parametrize("indexed", [False, True])
def test_an_npz_is_read_in_the_original_order(tmp_path, indexed):
    """As the file stands without an index; by the index, which need not be sorted, where there is one."""
    index = {"index_train": np.array([7, 30, 2, 9, 4, 50, 1, 60, 3, 5, 8, 6]), "index_test": np.array([4, 3, 9, 1, 0])}
    rows = {"index_train": [6, 2, 8, 4, 9, 11, 0, 10, 3], "index_test": [4, 3, 1, 0, 2]}  # smallest index first
    if not indexed:
        rows, index = {"index_train": list(range(9)), "index_test": list(range(5))}, {}
    held = write_npz(tmp_path, "mnist", **index)
    data = load_data("mnist", n_train=9, root=tmp_path)
    np.testing.assert_array_equal(data.x_train[:, 0].numpy(), held["x_train"][rows["index_train"]])
    np.testing.assert_array_equal(data.y_train.numpy(), held["y_train"][rows["index_train"]])
    np.testing.assert_array_equal(data.x_test[:, 0].numpy(), held["x_test"][rows["index_test"]])
    np.testing.assert_array_equal(data.y_test.numpy(), held["y_test"][rows["index_test"]])
    positions = [1, 2, 3, 4, 5, 6, 7, 8, 9] if indexed else list(range(9))
    digest = hashlib.sha256(struct.pack("<9q", *positions)).hexdigest()
    where = "" if indexed else " of the file"
    assert data.provenance["index_train"] == f"first {positions[0]}, last {positions[-1]}{where}, sha256 {digest}"
    assert data.y_train.dtype == torch.int64 and data.name == "mnist"
    assert data.provenance["sha256"] == hashlib.sha256((tmp_path / "mnist.npz").read_bytes()).hexdigest()
    assert data.provenance["source"] == "mnist.npz" and str(tmp_path) not in str(data.provenance)
    assert (data.provenance["n_train"], data.provenance["available_train"]) == (9, 12)


def test_colour_channels_come_first_and_labels_may_be_a_column(tmp_path):
    held = write_npz(tmp_path, "svhn", y_train=np.arange(12).reshape(12, 1) % 10)
    data = load_data("svhn", root=tmp_path)
    for channel in range(3):
        np.testing.assert_array_equal(data.x_train[:, channel].numpy(), held["x_train"][..., channel])
    assert data.x_train.is_contiguous() and data.y_train.tolist() == [i % 10 for i in range(12)]


def test_cifar100_has_a_hundred_classes(tmp_path):
    write_npz(tmp_path, "cifar100", y_train=np.full(12, 99))
    classes = load_data("cifar100", root=tmp_path).classes
    assert len(set(classes)) == 100 and list(classes) == sorted(classes)
    assert (classes[0], classes[49], classes[99]) == ("apple", "mountain", "worm")


@pytest.mark.parametrize("n", [5, 10, 7, 20, None])
def test_cifar10_takes_the_first_of_each_training_batch(tmp_path, n):
    original = np.array([10_000 * batch + place for batch in range(5) for place in range(4)])
    index = np.random.default_rng(2).permutation(original)
    x = np.zeros((20, 32, 32, 3), np.uint8)
    x[:, 0, 0, 0], x[:, 0, 0, 1] = index // 10_000, index % 10_000
    write_npz(tmp_path, "cifar10", x_train=x, y_train=index % 10, index_train=index)
    data = load_data("cifar10", n_train=n, root=tmp_path)
    wanted = [(batch, place) for place in range(4) for batch in range(5)][:n]
    assert [(int(b), int(p)) for b, p in data.x_train[:, :2, 0, 0]] == wanted
    assert data.y_train.tolist() == [place for _, place in wanted]


@pytest.mark.parametrize("name", ["mnist", "cifar10"])
def test_a_part_without_an_index_claims_no_original_order(tmp_path, name):
    held = write_npz(tmp_path, name, index_test=np.arange(5))
    data = load_data(name, n_train=3, root=tmp_path)
    assert data.provenance["subset"] == "first in the file's order, positions in the original set unknown"
    assert " of the file" in data.provenance["index_train"] and " of the file" not in data.provenance["index_test"]
    assert data.y_train.tolist() == held["y_train"][:3].tolist()


def test_more_than_a_batch_of_unknown_positions_stays_in_the_files_order(tmp_path):
    """Image 10,000 of an incomplete file is not known to open CIFAR-10's second batch."""
    y = np.random.default_rng(0).integers(0, 10, 10_003)
    write_npz(tmp_path, "cifar10", x_train=np.zeros((10_003, 32, 32, 3), np.uint8), y_train=y)
    assert load_data("cifar10", n_train=40, root=tmp_path).y_train.tolist() == y[:40].tolist()


def test_a_complete_set_needs_no_index(tmp_path):
    y = (np.arange(50_000) // 10_000).astype(np.uint8)
    write_npz(tmp_path, "cifar10", x_train=np.zeros((50_000, 32, 32, 3), np.uint8), y_train=y)
    data = load_data("cifar10", n_train=10, root=tmp_path)
    assert data.y_train.tolist() == [0, 1, 2, 3, 4] * 2 and "batch" in data.provenance["subset"]


def test_the_last_positions_of_a_set_are_accepted(tmp_path):
    write_npz(tmp_path, "cifar10", index_train=np.arange(12) + 49_988, index_test=np.arange(5) + 9_995)
    assert load_data("cifar10", root=tmp_path).provenance["index_train"].startswith("first 49988, last 49999,")


@pytest.mark.skipif(not (REAL / "cifar10.npz").exists(), reason="needs LANDSCAPE_DATA with cifar10.npz")
def test_real_cifar10_first_5000_are_the_first_1000_of_each_batch():
    data = load_data("cifar10", n_train=5000, n_test=8, root=REAL)
    with np.load(REAL / "cifar10.npz") as file:
        x, y, index = file["x_train"], file["y_train"], file["index_train"]
    place = {int(i): j for j, i in enumerate(index)}
    rows = [place[10_000 * batch + k] for k in range(1000) for batch in range(5)]
    np.testing.assert_array_equal(data.x_train.numpy(), x[rows].transpose(0, 3, 1, 2))
    np.testing.assert_array_equal(data.y_train.numpy(), y[rows])
    # How the first training batch and the test batch begin in every copy of CIFAR-10.
    assert [data.classes[i] for i in data.y_train[:20:5].tolist()] == ["frog", "truck", "truck", "deer"]
    names = ["cat", "ship", "ship", "airplane", "frog", "frog", "automobile", "frog"]
    assert [data.classes[i] for i in data.y_test.tolist()] == names


@pytest.mark.parametrize(
    ("name", "changes", "fragments"),
    [
        ("mnist", {"x_train": None, "y_test": None}, ("x_train", "y_test", "mnist.npz")),
        ("mnist", {"y_train": np.array([None] * 12, dtype=object)}, ("mnist.npz", "allow_pickle=False")),
        ("mnist", {"x_train": np.zeros((12, 28, 28), np.float32)}, ("uint8", "float32")),
        ("mnist", {"x_train": np.zeros((12, 784), np.uint8)}, ("(12, 784)",)),
        ("mnist", {"y_train": np.zeros(12)}, ("integer", "float64")),
        ("mnist", {"y_train": np.full(12, 10)}, ("10", "classes")),
        ("mnist", {"y_test": np.full(5, -1)}, ("-1", "classes")),
        ("mnist", {"x_train": np.zeros((12, 32, 32), np.uint8)}, ("mnist", "(1, 28, 28)", "(1, 32, 32)")),
        ("cifar10", {"x_train": np.zeros((12, 3, 32, 32), np.uint8)}, ("cifar10", "(3, 32, 32)", "(32, 3, 32)")),
        ("mnist", {"x_test": np.zeros((5, 14, 14), np.uint8)}, ("test part", "(1, 14, 14)", "(1, 28, 28)")),
        ("mnist", {"y_train": np.eye(12, 10, dtype=np.int64)}, ("training part", "12 images", "(12, 10)")),
        ("mnist", {"y_train": np.arange(10)}, ("training part", "12 images", "(10,)")),
        ("mnist", {"y_test": np.arange(6)}, ("test part", "5 images", "(6,)")),
        ("mnist", {"index_train": np.arange(7)}, ("training part", "index", "12 integers", "(7,)")),
        ("mnist", {"index_train": np.arange(20)}, ("training part", "index", "12 integers", "(20,)")),
        ("mnist", {"index_train": np.arange(12.0)}, ("training part", "index", "float64")),
        ("mnist", {"index_train": np.zeros(12, int)}, ("training part", "index", "once")),
        ("mnist", {"index_test": np.arange(5) - 1}, ("test part", "index", "from 0")),
        ("mnist", {"x_train": np.zeros((0, 28, 28), np.uint8), "y_train": np.zeros(0, int)}, ("no training images",)),
        ("cifar10", {"index_train": np.arange(12) + 49_989}, ("training part", "50,000", "0 to 49999", "50000")),
        ("cifar10", {"index_test": np.arange(5) + 9_996}, ("test part", "10,000", "0 to 9999", "position 10000")),
        ("mnist", {"index_train": np.arange(12) + 59_989}, ("training part", "60,000", "position 60000")),
        ("svhn", {"index_train": np.arange(12) + 73_246}, ("training part", "73,257", "position 73257")),
    ],
)
def test_an_npz_that_does_not_hold_the_data_set_is_refused(tmp_path, name, changes, fragments):
    write_npz(tmp_path, name, **changes)
    with pytest.raises(ValueError) as error:
        load_data(name, root=tmp_path)
    one_line(error, *fragments)


def test_a_file_that_is_no_npz_is_refused_without_unpickling(tmp_path):
    witness = tmp_path / "unpickled"

    class Touch:
        def __reduce__(self):
            return Path.touch, (witness,)

    (tmp_path / "mnist.npz").write_bytes(pickle.dumps(Touch()))
    with pytest.raises(ValueError) as error:
        load_data("mnist", root=tmp_path)
    one_line(error, "mnist.npz", "not a readable .npz")
    assert not witness.exists()


@pytest.mark.parametrize("damage", ["cut", "bit", "array", "empty", "packed", "header", "encrypted", "shape"])
def test_a_damaged_npz_is_refused(tmp_path, damage):
    write_npz(tmp_path)
    path = tmp_path / "mnist.npz"
    held = bytearray(path.read_bytes())
    if damage == "cut":
        path.write_bytes(held[:300])
    elif damage == "bit":
        held[400] ^= 1  # inside the first images, which only the archive's checksum guards
        path.write_bytes(held)
    elif damage == "packed":
        np.savez_compressed(path, x_train=np.zeros(300))
        packed, name = bytearray(path.read_bytes()), b"x_train.npy"
        start = packed.index(name) + len(name) + int.from_bytes(packed[28:30], "little")
        packed[start] |= 0b110  # a kind of block that there is not
        path.write_bytes(packed)
    elif damage == "header":
        held[held.index(b"}  ")] ^= 2  # a bracket that closes none
        path.write_bytes(held)
    elif damage == "encrypted":
        held[held.index(b"PK\1\2") + 8] ^= 1
        path.write_bytes(held)
    elif damage == "shape":
        held[held.index(b"(12, 28") + 2] ^= 2  # ten images of the twelve
        path.write_bytes(held)
    elif damage == "array":
        with path.open("wb") as file:
            np.save(file, np.zeros(3))
    else:
        path.write_bytes(b"")
    with pytest.raises(ValueError) as error:
        load_data("mnist", root=tmp_path)
    one_line(error, path, "not a readable .npz")
