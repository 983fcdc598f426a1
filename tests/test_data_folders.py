"""Folders of images."""

import hashlib
import zlib

import numpy as np
import pytest
import torch
from data_files import one_line, write_images
from PIL import Image

from landscape_helpers.data import DataNotFoundError, load_data

pytestmark = pytest.mark.usefixtures("isolated")


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
    assert colours == [[7, 8, 9], [1, 2, 3], [77, 77, 77], [4, 5, 6]]  # the first of each class, then the second
    assert data.y_train.tolist() == [0, 1, 0, 1] and data.y_test.tolist() == [1]
    assert (data.x_train == data.x_train[:, :, :1, :1]).all()
    assert str(tmp_path) not in str(data.provenance)
    for name in (root, str(root)):
        assert torch.equal(load_data(name).x_train, data.x_train)
    part = load_data(f"folder:{root}", n_train=3)
    assert torch.equal(part.x_train, data.x_train[:3]) and part.provenance["sha256"] != data.provenance["sha256"]
    assert (part.provenance["n_train"], part.provenance["available_train"]) == (3, 4)
    assert part.provenance["subset"] == "first of each class in turn"
    write_images(root, {"test/dog/1.bmp": (9, 9, 8)})
    assert load_data(f"folder:{root}").provenance["sha256"] != data.provenance["sha256"]


def test_a_folder_of_grey_images_has_one_channel(tmp_path):
    for file, mode, grey in (("train/a/1.png", "L", 5), ("train/b/1.png", "LA", (250, 9)), ("test/a/1.png", "L", 0)):
        path = tmp_path / file
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new(mode, (6, 4), grey).save(path)  # how transparent it is does not count
    data = load_data(tmp_path)
    assert data.input_shape == (1, 4, 6) and data.x_train[:, 0, 0, 0].tolist() == [5, 250]


def test_the_checksum_of_a_folder_is_of_names_and_contents_in_the_order_read(tmp_path):
    files = ("train/a/1.png", "train/b/2.png", "train/a/3.png", "test/b/1.png")
    write_images(tmp_path, {file: (k, k, k) for k, file in enumerate(files)})
    held = b"".join(f"{file}\0".encode() + (tmp_path / file).read_bytes() for file in files)
    provenance = load_data(tmp_path).provenance
    assert provenance["sha256"] == hashlib.sha256(held).hexdigest()
    assert provenance["sha256_of"] == "names and contents of the image files read"


def test_the_checksum_of_a_folder_tells_classes_apart(tmp_path):
    colours = ((1, 1, 1),) * 3
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


@pytest.mark.parametrize("text", [False, True])
def test_a_class_folder_without_images_is_no_class(tmp_path, text):
    write_images(tmp_path, {"train/a/1.png": (1, 1, 1), "test/a/1.png": (1, 1, 1)})
    (tmp_path / "test" / "b").mkdir()
    assert load_data(tmp_path).classes == ("a",)
    (tmp_path / "train" / "b").mkdir()
    if text:
        (tmp_path / "train" / "b" / "1.txt").write_text("no image")
    with pytest.raises(ValueError) as error:
        load_data(tmp_path)
    one_line(error, tmp_path / "train" / "b", "no images", ".png", "remove")


@pytest.mark.parametrize("kind", ["none", "16 bits", "numbers", "chunk", "huge"])
def test_an_image_that_cannot_be_read_as_8_bits_is_refused(tmp_path, monkeypatch, kind):
    write_images(tmp_path, {"train/a/1.png": (1, 1, 1)})
    path = tmp_path / "train" / "a" / "2.png"
    whole = (tmp_path / "train" / "a" / "1.png").read_bytes()
    if kind == "16 bits":
        Image.fromarray(np.full((4, 6), 1000, np.uint16)).save(path)
    elif kind == "numbers":
        Image.fromarray(np.full((4, 6), 0.5, np.float32)).save(path, "TIFF")
    elif kind == "chunk":  # half of the pixels, and then a part of the file that has no name
        at = whole.index(b"IDAT")
        half = int.from_bytes(whole[at - 4 : at], "big") // 2
        part = whole[at : at + 4 + half]
        held = half.to_bytes(4, "big") + part + zlib.crc32(part).to_bytes(4, "big")
        path.write_bytes(whole[: at - 4] + held + bytes(12))
    elif kind == "huge":
        write_images(tmp_path, {"train/a/2.png": (1, 1, 1)}, size=(60, 40))
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
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
