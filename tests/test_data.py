"""Data sets against scikit-learn's own file, files written by hand and, where it is at hand, the real CIFAR-10."""

import dataclasses
import gzip
import hashlib
import os
import pickle
import struct
from importlib import resources
from pathlib import Path

import numpy as np
import pytest
import scipy.io
import torch
from PIL import Image

import landscape_helpers.data.load as load_module
from landscape_helpers._torchvision import torchvision
from landscape_helpers.data import DATASETS, Data, DataNotFoundError, find_source, load_data, search_path

NO_SERVER = "file:///no-such-folder/"  # fails at once, with or without a network
REAL = Path(os.environ.get("LANDSCAPE_DATA") or "no-such-folder")


@pytest.fixture(autouse=True)
def isolated(tmp_path, monkeypatch):
    """No test looks into the user's folders, and none may reach for the network."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "unused-cache"))
    monkeypatch.delenv("LANDSCAPE_DATA", raising=False)


@pytest.fixture
def offline(monkeypatch):
    def refuse(*_args, **_keywords):
        raise OSError("no network here\nsecond line")

    monkeypatch.setattr(load_module, "read_torchvision", refuse)


def arrays(shape=(28, 28), train=12, test=5, seed=0):
    rng = np.random.default_rng(seed)
    return {
        "x_train": rng.integers(0, 256, (train, *shape), dtype=np.uint8),
        "y_train": (np.arange(train) % 10).astype(np.uint8),
        "x_test": rng.integers(0, 256, (test, *shape), dtype=np.uint8),
        "y_test": (np.arange(test) % 10).astype(np.uint8),
    }


def write_npz(folder, name="mnist", **changes):
    folder.mkdir(parents=True, exist_ok=True)
    held = {**arrays((32, 32, 3) if name in ("cifar10", "cifar100", "svhn") else (28, 28)), **changes}
    np.savez(folder / f"{name}.npz", **{key: value for key, value in held.items() if value is not None})
    return held


def write_images(folder, files, size=(6, 4)):
    for file, colour in files.items():
        path = folder / file
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", size, colour).save(path)


def made(x_train, x_test=None):
    x_test = x_train if x_test is None else x_test
    y_train, y_test = (torch.zeros(len(x), dtype=torch.int64) for x in (x_train, x_test))
    return Data("made", x_train, y_train, x_test, y_test, ("only",), {})


def one_line(error, *fragments):
    message = str(error.value)
    assert "\n" not in message
    for fragment in fragments:
        assert str(fragment) in message


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


# --- NAME.npz -------------------------------------------------------------------------------------------------------


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
    assert data.provenance["index_train"] == f"first {positions[0]}, last {positions[-1]}, sha256 {digest}"
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


@pytest.mark.parametrize("damage", ["cut", "bit", "array", "empty"])
def test_a_damaged_npz_is_refused(tmp_path, damage):
    write_npz(tmp_path)
    path = tmp_path / "mnist.npz"
    held = bytearray(path.read_bytes())
    if damage == "cut":
        path.write_bytes(held[:300])
    elif damage == "bit":
        held[400] ^= 1  # inside the first images, which only the archive's checksum guards
        path.write_bytes(held)
    elif damage == "array":
        with path.open("wb") as file:
            np.save(file, np.zeros(3))
    else:
        path.write_bytes(b"")
    with pytest.raises(ValueError) as error:
        load_data("mnist", root=tmp_path)
    one_line(error, path, "not a readable .npz")


# --- Where data sets are looked for ---------------------------------------------------------------------------------


def test_the_search_goes_root_then_landscape_data_then_the_cache(tmp_path, monkeypatch, offline):
    chosen, first, cache = tmp_path / "root", tmp_path / "data", tmp_path / "cache"
    monkeypatch.setenv("XDG_CACHE_HOME", str(cache))
    assert search_path() == [cache / "landscape_helpers"] and find_source("mnist") is None
    monkeypatch.setenv("LANDSCAPE_DATA", str(first))
    assert search_path() == [first, cache / "landscape_helpers"] and search_path(chosen) == [chosen]
    for label, (folder, root) in enumerate([(cache / "landscape_helpers", None), (first, None), (chosen, chosen)]):
        write_npz(folder, y_train=np.full(12, label))
        assert find_source("mnist", root) == folder / "mnist.npz"
        assert load_data("mnist", n_train=1, root=root).y_train.tolist() == [label]
    # A root that lacks the set is the end of the search: nothing is taken from anywhere else.
    with pytest.raises(DataNotFoundError):
        load_data("mnist", root=tmp_path / "elsewhere")


def test_without_xdg_cache_home_the_cache_lies_in_the_home_folder(tmp_path, monkeypatch):
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert search_path() == [tmp_path / ".cache" / "landscape_helpers"]


@pytest.mark.parametrize("name", [name for name in DATASETS if name != "digits"])
def test_a_missing_data_set_names_the_folders_and_the_remedy(tmp_path, monkeypatch, offline, name):
    monkeypatch.setenv("LANDSCAPE_DATA", str(tmp_path / "mine"))
    with pytest.raises(DataNotFoundError) as error:
        load_data(name)
    folders = (tmp_path / "mine", tmp_path / "unused-cache" / "landscape_helpers")
    one_line(error, repr(name), *folders, "download failed", f"{name}.npz", "LANDSCAPE_DATA")
    assert isinstance(error.value, FileNotFoundError)


# --- Torchvision's layout -------------------------------------------------------------------------------------------


def write_mnist(folder, held, packed=False):
    """Torchvision's four files, as they are or packed; their names and MD5 checksums."""
    raw = folder / "MNIST" / "raw"
    raw.mkdir(parents=True)
    checksums = []
    for part, split in (("train", "train"), ("t10k", "test")):
        x, y = held[f"x_{split}"], held[f"y_{split}"]
        images = struct.pack(">4i", 0x0803, *x.shape) + x.tobytes()
        labels = struct.pack(">2i", 0x0801, len(y)) + y.tobytes()
        for file, content in ((f"{part}-images-idx3-ubyte", images), (f"{part}-labels-idx1-ubyte", labels)):
            small = gzip.compress(content)
            (raw / (f"{file}.gz" if packed else file)).write_bytes(small if packed else content)
            checksums.append((f"{file}.gz", hashlib.md5(small).hexdigest()))
    return checksums


@pytest.mark.parametrize("packed", [False, True])
def test_mnist_in_torchvisions_layout(tmp_path, monkeypatch, packed):
    held = arrays(seed=3)
    checksums = write_mnist(tmp_path, held, packed)
    monkeypatch.setattr(torchvision.datasets.MNIST, "resources", checksums)
    monkeypatch.setattr(torchvision.datasets.MNIST, "mirrors", [NO_SERVER])
    monkeypatch.setenv("LANDSCAPE_DATA", str(tmp_path))
    data = load_data("mnist", n_test=2)
    np.testing.assert_array_equal(data.x_train[:, 0].numpy(), held["x_train"])
    np.testing.assert_array_equal(data.y_train.numpy(), held["y_train"])
    np.testing.assert_array_equal(data.x_test[:, 0].numpy(), held["x_test"][:2])
    assert "torchvision" in data.provenance["source"] and len(data.provenance["sha256"]) == 64
    assert load_data("mnist", root=tmp_path).provenance["sha256"] == data.provenance["sha256"]


def test_a_failed_download_is_reported_every_time(tmp_path, monkeypatch):
    """Torchvision leaves an empty folder behind, which must not pass for the data set afterwards."""
    monkeypatch.setattr(torchvision.datasets.MNIST, "mirrors", [NO_SERVER])
    for _ in range(2):
        with pytest.raises(DataNotFoundError) as error:
            load_data("mnist", root=tmp_path)
        one_line(error, "'mnist'", tmp_path, "download failed", "mnist.npz")
        assert (tmp_path / "MNIST" / "raw").is_dir()


def test_an_incomplete_folder_does_not_pass_for_the_data_set(tmp_path, monkeypatch):
    monkeypatch.setattr(torchvision.datasets.CIFAR10, "url", NO_SERVER + "cifar.tar.gz")
    (tmp_path / "cifar-10-batches-py").mkdir()
    (tmp_path / "cifar-10-batches-py" / "data_batch_1").write_bytes(b"")
    assert find_source("cifar10", tmp_path) is None
    with pytest.raises(DataNotFoundError) as error:
        load_data("cifar10", root=tmp_path)
    one_line(error, "'cifar10'", tmp_path, "download failed")


def test_damaged_files_in_torchvisions_layout_are_refused(tmp_path):
    write_mnist(tmp_path, arrays())
    path = tmp_path / "MNIST" / "raw" / "train-images-idx3-ubyte"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(ValueError) as error:
        load_data("mnist", root=tmp_path)
    one_line(error, "mnist", tmp_path, "fetch them again")


@pytest.mark.parametrize("name", ["svhn", "cifar100"])
def test_svhn_and_cifar100_in_torchvisions_layout(tmp_path, monkeypatch, name):
    module = torchvision.datasets.svhn if name == "svhn" else torchvision.datasets.cifar
    monkeypatch.setattr(module, "check_integrity", lambda *_: True)  # the made-up files have other checksums
    held = arrays((32, 32, 3), seed=4)
    folder = tmp_path / "cifar-100-python"
    folder.mkdir()
    for split in ("train", "test"):
        x, y = held[f"x_{split}"], held[f"y_{split}"]
        if name == "svhn":  # images along the last axis, and class 10 for the digit 0
            numbers = {"X": x.transpose(1, 2, 3, 0), "y": np.where(y == 0, 10, y)[:, None]}
            scipy.io.savemat(tmp_path / f"{split}_32x32.mat", numbers)
        else:  # one row an image, plane after plane
            rows = {"data": x.transpose(0, 3, 1, 2).reshape(len(x), -1), "fine_labels": y.tolist()}
            (folder / split).write_bytes(pickle.dumps(rows))
    (folder / "meta").write_bytes(pickle.dumps({"fine_label_names": []}))
    data = load_data(name, root=tmp_path)
    np.testing.assert_array_equal(data.x_train.numpy(), held["x_train"].transpose(0, 3, 1, 2))
    np.testing.assert_array_equal(data.x_test.numpy(), held["x_test"].transpose(0, 3, 1, 2))
    assert data.y_train.tolist() == held["y_train"].tolist() and data.y_test.tolist() == held["y_test"].tolist()


# --- Folders of images ----------------------------------------------------------------------------------------------


def test_a_folder_of_images(tmp_path):
    root = tmp_path / "pets"
    write_images(
        root,
        {
            "train/dog/1.png": (1, 2, 3),
            "train/dog/2.png": (4, 5, 6),
            "train/cat/9.PNG": (7, 8, 9),
            "train/.hidden/1.png": (0, 0, 0),
            "test/dog/1.bmp": (9, 9, 9),
        },
    )
    Image.new("L", (6, 4), 77).save(root / "train" / "cat" / "grey.png")
    (root / "train" / "cat" / "notes.txt").write_text("no image")
    data = load_data(f"folder:{root}")
    assert data.classes == ("cat", "dog") and data.name == "pets" and data.input_shape == (3, 4, 6)
    colours = [x[:, 0, 0].tolist() for x in data.x_train]
    assert colours == [[7, 8, 9], [77, 77, 77], [1, 2, 3], [4, 5, 6]]
    assert data.y_train.tolist() == [0, 0, 1, 1] and data.y_test.tolist() == [1]
    assert (data.x_train == data.x_train[:, :, :1, :1]).all()
    assert str(tmp_path) not in str(data.provenance)
    for name in (root, str(root)):
        assert torch.equal(load_data(name).x_train, data.x_train)
    part = load_data(f"folder:{root}", n_train=3)
    assert torch.equal(part.x_train, data.x_train[:3]) and part.provenance["sha256"] == data.provenance["sha256"]
    write_images(root, {"test/dog/1.bmp": (9, 9, 8)})
    assert load_data(f"folder:{root}").provenance["sha256"] != data.provenance["sha256"]


def test_a_folder_of_grey_images_has_one_channel(tmp_path):
    for file, grey in (("train/a/1.png", 5), ("train/b/1.png", 250), ("test/a/1.png", 0)):
        path = tmp_path / file
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (6, 4), grey).save(path)
    data = load_data(tmp_path)
    assert data.input_shape == (1, 4, 6) and data.x_train[:, 0, 0, 0].tolist() == [5, 250]


def test_the_checksum_of_a_folder_tells_classes_apart(tmp_path):
    colours = ((1, 1, 1), (2, 2, 2), (3, 3, 3))
    for folder, middle in (("one", "a"), ("other", "b")):
        files = ("train/a/1.png", f"train/{middle}/2.png", "train/b/3.png")
        write_images(tmp_path / folder / "pets", dict(zip(files, colours, strict=True)))
    one, other = (load_data(tmp_path / folder / "pets") for folder in ("one", "other"))
    assert torch.equal(one.x_train, other.x_train) and not torch.equal(one.y_train, other.y_train)
    assert one.provenance["sha256"] != other.provenance["sha256"]


def test_a_test_class_without_training_images_is_refused(tmp_path):
    write_images(tmp_path, {"train/a/1.png": (1, 1, 1), "test/zebra/1.png": (1, 1, 1)})
    with pytest.raises(ValueError) as error:
        load_data(tmp_path)
    one_line(error, tmp_path, "zebra", "train")


@pytest.mark.parametrize("deep", [False, True])
def test_an_image_that_cannot_be_read_as_8_bits_is_refused(tmp_path, deep):
    write_images(tmp_path, {"train/a/1.png": (1, 1, 1)})
    path = tmp_path / "train" / "a" / "2.png"
    if deep:
        Image.fromarray(np.full((4, 6), 1000, np.uint16)).save(path)
    else:
        path.write_bytes(b"no image")
    with pytest.raises(ValueError) as error:
        load_data(tmp_path)
    one_line(error, path, "not a readable 8-bit image")


def test_a_folder_without_test_images_has_an_empty_test_set(tmp_path):
    write_images(tmp_path, {"train/a/1.png": (1, 1, 1), "train/b/1.png": (2, 2, 2)})
    data = load_data(f"folder:{tmp_path}")
    x_train, _, x_test, y_test = data.standardised()
    assert x_train.shape == (2, 3, 4, 6) and x_test.shape == (0, 3, 4, 6) and y_test.shape == (0,)


def test_a_folder_that_holds_no_training_images_is_refused(tmp_path):
    for _ in range(2):  # without train, then with a train that is empty
        with pytest.raises(DataNotFoundError) as error:
            load_data(f"folder:{tmp_path}")
        one_line(error, tmp_path, "train", "CLASS")
        (tmp_path / "train" / "cat").mkdir(parents=True, exist_ok=True)


@pytest.mark.parametrize("split", ["train", "test"])
def test_images_of_different_sizes_are_refused(tmp_path, split):
    write_images(tmp_path, {"train/a/1.png": (1, 1, 1)})
    write_images(tmp_path, {f"{split}/a/2.png": (1, 1, 1)}, size=(5, 5))
    with pytest.raises(ValueError) as error:
        load_data(f"folder:{tmp_path}")
    one_line(error, tmp_path, "(4, 6, 3)", "(5, 5, 3)", "resize")


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
