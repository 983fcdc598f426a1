"""Data sets that are damaged, incomplete or inconsistent: refused in one line, whatever part of them is asked for."""

import hashlib
import socket
import struct
import zipfile

import numpy as np
import pytest
import torch
from PIL import Image

import landscape_helpers.data.load as load_module
import landscape_helpers.data.sources as sources
from landscape_helpers.data import Data, DataNotFoundError, find_source, load_data

pytestmark = pytest.mark.usefixtures("isolated")


def write(folder, name="mnist", **changes):
    shape = (28, 28) if name == "mnist" else (32, 32, 3)
    rng = np.random.default_rng(0)
    held = {
        "x_train": rng.integers(0, 256, (12, *shape), dtype=np.uint8),
        "y_train": np.arange(12) % 10,
        "x_test": rng.integers(0, 256, (5, *shape), dtype=np.uint8),
        "y_test": np.arange(5),
        **changes,
    }
    np.savez(folder / f"{name}.npz", **held)
    return held


def image(path, mode="RGB", colour=(1, 2, 3), size=(6, 4)):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, size, colour).save(path)


def refused(kind, *fragments, call):
    with pytest.raises(kind) as error:
        call()
    assert "\n" not in str(error.value)
    for fragment in fragments:
        assert fragment in str(error.value)


@pytest.mark.parametrize(
    ("changes", "fragments"),
    [
        ({"y_train": np.zeros(11, int)}, ("12 images", "(11,)", "training")),
        ({"y_test": np.eye(5, 10, dtype=int)}, ("5 images", "(5, 10)", "test")),
        ({"index_train": np.arange(11)}, ("index", "12", "(11,)")),
        ({"index_train": np.arange(12.0)}, ("index", "float64")),
        ({"index_test": np.array([0, 1, 1, 2, 3])}, ("index", "once")),
        ({"y_train": np.array([0] * 11 + [10])}, ("0 to 10", "10 classes")),
        ({"y_test": np.array([0, 0, 0, 0, -1])}, ("-1", "10 classes")),
        ({"x_test": np.zeros((5, 32, 32), np.uint8)}, ("test", "(1, 32, 32)", "(1, 28, 28)")),
        ({"x_train": np.zeros((0, 28, 28), np.uint8), "y_train": np.zeros(0, int)}, ("no training images",)),
    ],
)
def test_the_whole_file_is_checked_before_a_part_is_taken(tmp_path, changes, fragments):
    write(tmp_path, **changes)
    refused(ValueError, *fragments, call=lambda: load_data("mnist", n_train=1, n_test=1, root=tmp_path))


def test_training_and_test_images_have_one_shape():
    zero = torch.zeros(1, dtype=torch.int64)
    x_train, x_test = torch.zeros(1, 1, 2, 2), torch.zeros(1, 3, 2, 2)
    refused(ValueError, "(1, 2, 2)", "(3, 2, 2)", call=lambda: Data("made", x_train, zero, x_test, zero, ("only",), {}))


def test_the_first_n_are_the_first_of_the_original_set(tmp_path):
    index = np.random.default_rng(1).permutation(40)[:12]
    held = write(tmp_path, index_train=index, index_test=np.arange(5)[::-1])
    data = load_data("mnist", n_train=4, n_test=2, root=tmp_path)
    rows = np.argsort(index)[:4]
    np.testing.assert_array_equal(data.x_train[:, 0].numpy(), held["x_train"][rows])
    assert data.y_train.tolist() == held["y_train"][rows].tolist()
    assert data.y_test.tolist() == [4, 3]
    digest = hashlib.sha256(np.sort(index)[:4].astype("<i8").tobytes()).hexdigest()
    first, last = np.sort(index)[[0, 3]]
    assert data.provenance["index_train"] == f"first {first}, last {last}, sha256 {digest}"


def test_provenance_names_the_set_the_rule_and_what_the_checksum_is_of(tmp_path):
    write(tmp_path, index_train=np.arange(12))
    write(tmp_path, "cifar10", index_train=np.arange(12))
    digits, mnist = load_data("digits"), load_data("mnist", root=tmp_path)
    assert digits.provenance["name"] == "digits" and digits.provenance["subset"] == "first of a fixed shuffle"
    assert "arrays" in digits.provenance["sha256_of"] and mnist.provenance["sha256_of"] == "file mnist.npz"
    assert mnist.provenance["subset"] == "first in original order"
    assert "batch" in load_data("cifar10", root=tmp_path).provenance["subset"]
    position = np.random.default_rng(0).permutation(1797)
    assert digits.provenance["index_train"].startswith(f"first {position[0]}, last {position[1499]}, ")


def test_pooling_twice_multiplies():
    data = load_data("digits", n_train=3).pooled(2).pooled(2)
    assert data.provenance["pooled"] == 4 and data.input_shape == (1, 2, 2)
    torch.testing.assert_close(data.x_train, load_data("digits", n_train=3).pooled(4).x_train)
    refused(ValueError, "True", call=lambda: data.pooled(True))


@pytest.mark.parametrize("what", ["n_train", "n_test"])
@pytest.mark.parametrize("count", [True, 1.5, "3", 2.0])
def test_counts_are_whole_numbers(what, count):
    refused(ValueError, what, repr(count), call=lambda: load_data("digits", **{what: count}))


def test_numpy_counts_will_do():
    assert len(load_data("digits", n_train=np.int64(3)).y_train) == 3


def test_standardising_in_blocks_is_standardising_at_once():
    x = torch.from_numpy(np.random.default_rng(5).integers(0, 256, (2345, 2, 3, 3), dtype=np.uint8))
    y = torch.zeros(2345, dtype=torch.int64)
    whole = x.double()
    mean, deviation = whole.mean((0, 2, 3), keepdim=True), whole.std((0, 2, 3), correction=0, keepdim=True)
    for dtype in (torch.float32, torch.float64):
        train, _, test, _ = Data("made", x, y, x, y, ("only",), {}).standardised(dtype)
        assert torch.equal(train, ((whole - mean) / deviation).to(dtype)) and torch.equal(test, train)


# --- Damaged files --------------------------------------------------------------------------------------------------


def test_a_truncated_npz_is_refused(tmp_path):
    write(tmp_path)
    path = tmp_path / "mnist.npz"
    path.write_bytes(path.read_bytes()[:5000])
    refused(ValueError, "mnist.npz", "not a readable .npz", call=lambda: load_data("mnist", root=tmp_path))


def test_an_npz_with_a_wrong_byte_is_refused(tmp_path):
    write(tmp_path)
    path = tmp_path / "mnist.npz"
    content = bytearray(path.read_bytes())
    content[2000] ^= 1
    path.write_bytes(content)
    assert zipfile.is_zipfile(path)
    refused(ValueError, "mnist.npz", "not a readable .npz", call=lambda: load_data("mnist", root=tmp_path))


def test_a_npy_under_the_name_of_an_npz_is_refused(tmp_path):
    with (tmp_path / "mnist.npz").open("wb") as file:
        np.save(file, np.zeros(3))
    refused(ValueError, "mnist.npz", ".npy", call=lambda: load_data("mnist", root=tmp_path))


# --- Torchvision's files --------------------------------------------------------------------------------------------


def idx(folder, packed=False):
    import gzip

    folder.mkdir(parents=True)
    for part, n in (("train", 4), ("t10k", 2)):
        images = struct.pack(">4i", 0x0803, n, 28, 28) + bytes(n * 784)
        labels = struct.pack(">2i", 0x0801, n) + bytes(range(n))
        for kind, content in (("images-idx3", images), ("labels-idx1", labels)):
            name = f"{part}-{kind}-ubyte"
            if packed:
                (folder / f"{name}.gz").write_bytes(gzip.compress(content))
            else:
                (folder / name).write_bytes(content)


def test_what_a_failed_download_leaves_is_not_taken_for_the_data_set(tmp_path, monkeypatch):
    raw = tmp_path / "MNIST" / "raw"
    raw.mkdir(parents=True)
    assert find_source("mnist", tmp_path) is None
    (raw / "train-images-idx3-ubyte").write_bytes(b"")
    assert find_source("mnist", tmp_path) is None
    asked = []

    def fail(name, root, download):
        asked.append(download)
        raise OSError("no network")

    monkeypatch.setattr(load_module, "read_torchvision", fail)
    for _ in range(2):
        refused(DataNotFoundError, "'mnist'", "download failed", call=lambda: load_data("mnist", root=tmp_path))
    assert asked == [True, True]


def test_packed_mnist_is_found_and_unpacked(tmp_path, monkeypatch):
    from landscape_helpers._torchvision import torchvision

    monkeypatch.setattr(torchvision.datasets.utils, "check_integrity", lambda path, md5=None: True)
    idx(tmp_path / "MNIST" / "raw", packed=True)
    assert find_source("mnist", tmp_path).name == "train-images-idx3-ubyte.gz"
    assert load_data("mnist", root=tmp_path).y_train.tolist() == [0, 1, 2, 3]


def test_damaged_files_of_torchvision_are_refused(tmp_path):
    idx(tmp_path / "MNIST" / "raw")
    path = tmp_path / "MNIST" / "raw" / "train-images-idx3-ubyte"
    path.write_bytes(path.read_bytes()[:100])
    refused(ValueError, "mnist", "cannot be read", call=lambda: load_data("mnist", root=tmp_path))


def test_torchvision_is_quiet_and_does_not_wait_for_ever(tmp_path, monkeypatch, capsys):
    from landscape_helpers._torchvision import torchvision

    seen = []

    class Loud:
        data, targets = np.zeros((2, 28, 28), np.uint8), [0, 1]

        def __init__(self, *_args, **_keywords):
            print("Downloading")
            seen.append(socket.getdefaulttimeout())

    monkeypatch.setattr(torchvision.datasets, "MNIST", Loud)
    before = socket.getdefaulttimeout()
    load_data("mnist", root=tmp_path)
    assert capsys.readouterr().out == ""
    assert seen == [sources.DOWNLOAD_TIMEOUT] * 2 and socket.getdefaulttimeout() == before


def test_cifar100_names_its_classes(tmp_path):
    write(tmp_path, "cifar100")
    classes = load_data("cifar100", root=tmp_path).classes
    assert len(set(classes)) == 100 and list(classes) == sorted(classes)
    assert (classes[0], classes[8], classes[99]) == ("apple", "bicycle", "worm")


# --- Folders of images ----------------------------------------------------------------------------------------------


def test_a_path_is_a_folder_of_images(tmp_path, monkeypatch):
    image(tmp_path / "pets" / "train" / "cat" / "1.png")
    monkeypatch.chdir(tmp_path)
    for name in (tmp_path / "pets", str(tmp_path / "pets"), "./pets", f"folder:{tmp_path / 'pets'}", "folder:pets"):
        data = load_data(name)
        assert data.name == "pets" and data.provenance["source"] == "folder pets"
    monkeypatch.chdir(tmp_path / "pets")
    assert load_data("./").name == "pets"
    refused(ValueError, "'pets'", "folder:", call=lambda: load_data("pets"))
    refused(ValueError, "None", call=lambda: load_data(None))


def test_a_folder_called_cifar10_is_not_cifar10(tmp_path):
    image(tmp_path / "cifar10" / "train" / "cat" / "1.png")
    data = load_data(tmp_path / "cifar10")
    assert data.input_shape == (3, 4, 6) and data.provenance["subset"] == "first of each class in turn"


@pytest.mark.parametrize("empty", [False, True])
def test_a_test_class_without_training_images_is_refused(tmp_path, empty):
    image(tmp_path / "train" / "cat" / "1.png")
    image(tmp_path / "test" / "dog" / "1.png")
    if empty:
        (tmp_path / "train" / "dog").mkdir()
    refused(ValueError, "dog", "test", "train", call=lambda: load_data(tmp_path))


@pytest.mark.parametrize("mode", ["L", "1"])
def test_grey_images_keep_one_channel(tmp_path, mode):
    image(tmp_path / "train" / "a" / "1.png", "L", 77)
    image(tmp_path / "test" / "a" / "1.png", mode, 1)
    data = load_data(tmp_path)
    assert data.input_shape == (1, 4, 6) and (data.x_train == 77).all()
    assert (data.x_test == (1 if mode == "L" else 255)).all()
    image(tmp_path / "test" / "a" / "2.png")
    coloured = load_data(tmp_path)
    assert coloured.input_shape == (3, 4, 6) and (coloured.x_train == 77).all()


def test_unreadable_images_are_refused(tmp_path):
    image(tmp_path / "train" / "a" / "1.png")
    path = tmp_path / "train" / "a" / "2.png"
    path.write_bytes((tmp_path / "train" / "a" / "1.png").read_bytes()[:-30])
    refused(ValueError, str(path), "readable", call=lambda: load_data(tmp_path))
    path.write_text("no image")
    refused(ValueError, str(path), "readable", call=lambda: load_data(tmp_path))
    Image.fromarray(np.full((4, 6), 40_000, np.uint16)).save(path)
    refused(ValueError, str(path), "8 bits", call=lambda: load_data(tmp_path))


def test_the_checksum_of_a_folder_is_of_the_classes_too(tmp_path):
    image(tmp_path / "train" / "a" / "1.png")
    image(tmp_path / "train" / "b" / "1.png", colour=(9, 9, 9))
    before = load_data(tmp_path).provenance["sha256"]
    (tmp_path / "train" / "b").rename(tmp_path / "train" / "c")
    assert load_data(tmp_path).provenance["sha256"] != before
