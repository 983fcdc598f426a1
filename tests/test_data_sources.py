"""Where data sets are looked for, and torchvision's layout of them."""

import gzip
import hashlib
import pickle
import struct

import numpy as np
import pytest
import scipy.io
from data_files import NO_SERVER, arrays, one_line, write_npz

import landscape_helpers.data.load as load_module
from landscape_helpers._torchvision import torchvision
from landscape_helpers.data import DATASETS, DataNotFoundError, find_source, load_data, search_path

pytestmark = pytest.mark.usefixtures("isolated")


@pytest.fixture
def offline(monkeypatch):
    def refuse(*_args, **_keywords):
        raise OSError("no network here\nsecond line")

    monkeypatch.setattr(load_module, "read_torchvision", refuse)


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


def test_a_tilde_is_the_home_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    write_npz(tmp_path / "sets", y_train=np.full(12, 7))
    assert load_data("mnist", n_train=1, root="~/sets").y_train.tolist() == [7]
    monkeypatch.setenv("LANDSCAPE_DATA", "~/sets")
    assert search_path()[0] == tmp_path / "sets"
    assert load_data("mnist", n_train=1).y_train.tolist() == [7]


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


@pytest.mark.parametrize("name", [name for name in DATASETS if name != "digits"])
def test_torchvisions_layout_is_there_where_each_of_its_files_is(tmp_path, name):
    """The files are those that torchvision's own classes name."""
    sets = torchvision.datasets
    files = {
        "mnist": [f"MNIST/raw/{file.removesuffix('.gz')}" for file, _ in sets.MNIST.resources],
        "svhn": [file for split, (_, file, _) in sets.SVHN.split_list.items() if split != "extra"],
    }
    for key, kind in (("cifar10", sets.CIFAR10), ("cifar100", sets.CIFAR100)):
        parts = [file for file, _ in (*kind.train_list, *kind.test_list)]
        files[key] = [f"{kind.base_folder}/{file}" for file in (*parts, kind.meta["filename"])]
    for file in files[name]:
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file).write_bytes(b"")
    assert find_source(name, tmp_path) == tmp_path / files[name][0]
    for file in files[name]:
        (tmp_path / file).unlink()
        assert find_source(name, tmp_path) is None
        packed = tmp_path / f"{file}.gz"
        packed.write_bytes(b"")
        assert find_source(name, tmp_path) == packed
        packed.rename(tmp_path / file)


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


# The four bytes that open a file of images are 0, 0, the type of a number (8: uint8) and the number of dimensions.
@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize(
    ("opening", "why"),
    [
        (b"\0\0\x08\x09", "a header or a field is not as the format asks"),
        (b"\0\0\x03\x03", "a header or a field is not as the format asks"),
        (b"\0\0\x0a\x03", "a header or a field is not as the format asks"),
        (b"\0\0\x09\x03", "int8"),
    ],
    ids=["dimensions", "no-type", "gap-in-types", "signed"],
)
def test_wrong_files_are_refused_with_a_reason(tmp_path, monkeypatch, opening, why, packed):
    write_mnist(tmp_path, arrays(), packed)
    raw = tmp_path / "MNIST" / "raw"
    if packed:
        path = raw / "train-images-idx3-ubyte.gz"
        path.write_bytes(gzip.compress(opening + gzip.decompress(path.read_bytes())[4:]))
        monkeypatch.setattr(torchvision.datasets.utils, "check_integrity", lambda *_: True)
    else:
        path = raw / "train-images-idx3-ubyte"
        path.write_bytes(opening + path.read_bytes()[4:])
    with pytest.raises(ValueError) as error:
        load_data("mnist", root=tmp_path)
    one_line(error, "mnist", tmp_path, f"({why}" if "header" in why else why, "fetch them again")


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
