"""Folders of images as ImageNet, Tiny ImageNet and CUB-200-2011 lay them out, in turns of their classes, and cut."""

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from data_files import one_line, write_images
from PIL import Image

from landscape_helpers.data import DataNotFoundError, load_data
from landscape_helpers.data.layouts import layout
from landscape_helpers.data.subset import first_classes
from landscape_helpers.doctor import _data_set

pytestmark = pytest.mark.usefixtures("isolated")


def grey(value: int) -> tuple[int, int, int]:
    return (value, value, value)


def values(x: torch.Tensor) -> list[int]:
    return x[:, 0, 0, 0].tolist()


def write_cub(folder: Path) -> Path:
    """Two birds with three images each, the tables in another order than the files."""
    rows = [
        ("4", "002.Laysan/b_1.jpg", 1),
        ("1", "001.Footed/a_1.jpg", 0),
        ("3", "001.Footed/a_3.jpg", 1),
        ("2", "001.Footed/a_2.jpg", 1),
        ("6", "002.Laysan/b_3.jpg", 0),
        ("5", "002.Laysan/b_2.jpg", 1),
    ]
    for number, file, _ in rows:
        path = folder / "images" / file
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 6), grey(10 * int(number))).save(path.with_suffix(".png"))
    (folder / "images.txt").write_text("".join(f"{n} {file.replace('jpg', 'png')}\n" for n, file, _ in rows))
    (folder / "train_test_split.txt").write_text("".join(f"{n} {flag}\n" for n, _, flag in sorted(rows)))
    return folder


def write_tiny(folder: Path) -> Path:
    """Two classes as Tiny ImageNet's archive has them; its test images have no labels."""
    write_images(
        folder,
        {
            "train/n02/images/n02_0.JPEG": grey(20),
            "train/n02/images/n02_1.JPEG": grey(21),
            "train/n01/images/n01_0.JPEG": grey(10),
            "val/images/val_1.JPEG": grey(120),
            "val/images/val_0.JPEG": grey(110),
            "val/images/val_2.JPEG": grey(121),
            "test/images/test_0.JPEG": grey(250),
        },
    )
    (folder / "train" / "n01" / "n01_boxes.txt").write_text("n01_0.JPEG\t0\t0\t1\t1\n")
    (folder / "wnids.txt").write_text("n02\nn01\n")
    (folder / "val" / "val_annotations.txt").write_text(
        "val_1.JPEG\tn02\t0\t0\t1\t1\nval_0.JPEG\tn01\t0\t0\t1\t1\nval_2.JPEG\tn02\t0\t0\t1\t1\n"
    )
    return folder


def test_an_image_that_a_table_lists_and_the_folder_lacks_is_named(tmp_path: Path) -> None:
    folder = write_cub(tmp_path)
    missing = folder / "images" / "001.Footed" / "a_2.png"
    missing.unlink()
    with pytest.raises(ValueError, match="is not a readable 8-bit image") as error:
        load_data(folder)
    assert str(missing) in str(error.value)


def test_classes_take_turns_so_that_a_first_part_holds_them_alike(tmp_path: Path) -> None:
    write_images(tmp_path, {f"train/{c}/{i}.png": grey(10 * k + i) for k, c in enumerate("abc") for i in range(k + 2)})
    data = load_data(tmp_path)
    assert values(data.x_train) == [0, 10, 20, 1, 11, 21, 12, 22, 23]
    assert data.y_train.tolist() == [0, 1, 2, 0, 1, 2, 1, 2, 2]
    for n in range(1, 7):
        counts = np.bincount(load_data(tmp_path, n_train=n).y_train.numpy(), minlength=3)
        assert counts.max() - counts.min() <= 1
    assert values(first_classes(data, 2).x_train) == [0, 10, 1, 11, 12]


def test_only_the_images_asked_for_are_read(tmp_path: Path) -> None:
    write_images(tmp_path, {"train/a/1.png": grey(1), "train/b/1.png": grey(2), "test/a/1.png": grey(3)})
    for late in ("train/a/2.png", "test/b/2.png"):
        (tmp_path / late).parent.mkdir(exist_ok=True)
        (tmp_path / late).write_bytes(b"no image")
    data = load_data(tmp_path, n_train=2, n_test=1)
    assert values(data.x_train) == [1, 2] and values(data.x_test) == [3]
    assert (data.provenance["available_train"], data.provenance["available_test"]) == (3, 2)
    with pytest.raises(ValueError) as error:
        load_data(tmp_path, n_train=3, n_test=1)
    one_line(error, tmp_path / "train" / "a" / "2.png", "not a readable")


def test_more_images_than_there_are(tmp_path: Path) -> None:
    write_images(tmp_path / "pets", {"train/a/1.png": grey(1), "train/b/1.png": grey(2), "test/a/1.png": grey(3)})
    for wanted, count in (({"n_train": 3}, "2 training"), ({"n_test": 2}, "1 test")):
        with pytest.raises(ValueError) as error:
            load_data(tmp_path / "pets", **wanted)
        one_line(error, "pets", count, next(iter(wanted.values())))


def test_cub_as_its_archive_unpacks(tmp_path: Path) -> None:
    data = load_data(f"folder:{write_cub(tmp_path / 'CUB_200_2011')}")
    assert data.classes == ("001.Footed", "002.Laysan") and data.name == "CUB_200_2011"
    assert values(data.x_train) == [20, 40, 30, 50] and data.y_train.tolist() == [0, 1, 0, 1]
    assert values(data.x_test) == [10, 60] and data.y_test.tolist() == [0, 1]


def test_images_of_cub_stand_in_the_order_of_their_files_whatever_their_numbers(tmp_path: Path) -> None:
    names = ("001.Footed/a.png", "001.Footed/b.png", "001.Footed/c.png")
    write_images(tmp_path / "images", {name: grey(k) for k, name in enumerate(names)})
    table = "".join(f"{number} {name}\n\n" for number, name in zip((10, 9, 2), names, strict=True))
    (tmp_path / "images.txt").write_text(table)
    (tmp_path / "train_test_split.txt").write_text("\n2 1\n \n9 1\n10 1\n")
    assert values(load_data(tmp_path).x_train) == [0, 1, 2]


@pytest.mark.parametrize("table", ["images.txt", "train_test_split.txt", "wnids.txt", "val/val_annotations.txt"])
def test_one_table_alone_makes_no_archive(tmp_path: Path, table: str) -> None:
    write_images(tmp_path, {"train/a/1.png": grey(1), "train/b/1.png": grey(2), "val/b/1.png": grey(3)})
    (tmp_path / table).write_text("1 b\n")
    data = load_data(tmp_path)
    assert values(data.x_train) == [1, 2] and values(data.x_test) == [3] and data.y_test.tolist() == [1]


def test_tables_of_cub_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    folder = write_cub(tmp_path)
    split = folder / "train_test_split.txt"
    split.write_text(split.read_text().replace("6 0\n", ""))
    with pytest.raises(ValueError) as error:
        load_data(folder)
    one_line(error, folder, "6 and 5", "images.txt")
    split.write_text("1 0\n2\n")
    with pytest.raises(ValueError) as error:
        load_data(folder)
    one_line(error, split, "line 2", "2 fields")


def test_a_class_without_training_images_is_told_with_the_folder_that_was_looked_at(tmp_path: Path) -> None:
    folder = write_cub(tmp_path / "CUB")
    split = folder / "train_test_split.txt"
    split.write_text("1 0\n2 1\n3 1\n4 0\n5 0\n6 0\n")
    with pytest.raises(ValueError) as error:
        load_data(folder)
    one_line(error, f"{folder / 'images'} holds test images of 002.Laysan, but {folder / 'images'} has none")
    split.write_text("".join(f"{number} 0\n" for number in range(1, 7)))
    with pytest.raises(DataNotFoundError) as missing:
        load_data(folder)
    one_line(missing, f"{folder / 'images'} holds no training images", "expected images/CLASS/*.png")
    folder = tmp_path / "pets"
    write_images(folder, {"train/a/1.png": grey(1), "val/a/1.png": grey(2), "val/b/1.png": grey(3)})
    with pytest.raises(ValueError) as error:
        load_data(folder)
    one_line(error, f"{folder / 'val'} holds test images of b, but {folder / 'train'} has none")
    folder = write_tiny(tmp_path / "tiny")
    (folder / "train" / "n03").mkdir()
    with pytest.raises(ValueError) as error:
        load_data(folder)
    one_line(error, f"{folder / 'train' / 'n03'} holds no images")


def test_tiny_imagenet_as_its_archive_unpacks(tmp_path: Path) -> None:
    data = load_data(write_tiny(tmp_path / "tiny-imagenet-200"))
    assert data.classes == ("n01", "n02")
    # JPEG keeps a constant grey to within a level.
    assert np.abs(np.array(values(data.x_train)) - [10, 20, 21]).max() <= 1
    assert np.abs(np.array(values(data.x_test)) - [110, 120, 121]).max() <= 1
    assert data.y_train.tolist() == [0, 1, 1] and data.y_test.tolist() == [0, 1, 1]


def test_imagenet_is_validated_on_val_where_its_test_images_have_no_labels(tmp_path: Path) -> None:
    write_images(
        tmp_path,
        {
            "train/n01/n01_1.JPEG": grey(10),
            "train/n02/n02_1.JPEG": grey(20),
            "val/n02/ILSVRC2012_val_1.JPEG": grey(120),
            "test/ILSVRC2012_test_1.JPEG": grey(250),
        },
    )
    data = load_data(tmp_path)
    assert data.y_train.tolist() == [0, 1] and data.y_test.tolist() == [1] and len(data.x_test) == 1


def test_class_folders_of_the_test_part_that_hold_no_images_leave_it_to_val(tmp_path: Path) -> None:
    write_images(tmp_path, {"train/a/1.png": grey(1), "val/a/1.png": grey(2)})
    (tmp_path / "test" / "a").mkdir(parents=True)
    assert values(load_data(tmp_path).x_test) == [2]
    write_images(tmp_path, {"test/a/1.png": grey(3)})
    assert values(load_data(tmp_path).x_test) == [3]


def test_only_folders_are_classes_and_only_files_are_images(tmp_path: Path) -> None:
    suffixes = ("png", "JPG", "jpeg", "bmp", "webp")
    write_images(tmp_path, {f"train/a/{k}.{suffix}": grey(8 * k) for k, suffix in enumerate(suffixes)})
    write_images(tmp_path, {"train/a/9.png/inside.png": grey(80)})
    (tmp_path / "train" / "readme.txt").write_text("no class")
    data = load_data(tmp_path)
    assert data.classes == ("a",)
    assert np.abs(np.array(values(data.x_train)) - [0, 8, 16, 24, 32, 80]).max() <= 1  # JPEG and WebP are not exact
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "train").write_text("a file")
    with pytest.raises(DataNotFoundError) as error:
        load_data(tmp_path / "other")
    one_line(error, "other has no sub-folder train")


def test_hidden_files_and_folders_are_left_out_at_any_depth(tmp_path: Path) -> None:
    write_images(
        tmp_path / ".photos",
        {"train/a/deep/1.png": grey(1), "train/a/.thumbs/1.png": grey(2), "train/a/deep/.1.png": grey(3)},
    )
    assert values(load_data(tmp_path / ".photos").x_train) == [1]


def test_images_are_listed_in_the_order_of_their_paths_without_a_look_at_each(tmp_path: Path, monkeypatch) -> None:
    files = ["b/1.png", "a/z.png", "a.png", "a b.png", "B.png", "9.png", "c.d/e/1.png", "c.png", "a/.png/1.png"]
    for file in files:
        (tmp_path / "train" / "one" / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "train" / "one" / file).touch()
    (tmp_path / "train" / "one" / "gone.png").symlink_to(tmp_path / "nowhere.png")
    (tmp_path / "train" / "one" / "linked.png").symlink_to(tmp_path / "train" / "one" / "9.png")
    looked_at, listed, stat, scandir = [], [], Path.stat, os.scandir
    monkeypatch.setattr(Path, "stat", lambda path, **how: looked_at.append(path.name) or stat(path, **how))
    monkeypatch.setattr(os, "scandir", lambda folder: listed.append(Path(folder).name) or scandir(folder))
    found = layout(tmp_path).train["one"]
    monkeypatch.undo()
    assert found == [str(tmp_path / "train" / "one" / file) for file in sorted([*files[:-1], "linked.png"], key=Path)]
    assert not any(name.endswith(".png") for name in looked_at)
    inside = [name for name in listed if name not in ("train", "test", "val")]
    assert sorted(inside) == ["a", "b", "c.d", "e", "one"]


def test_images_of_any_size_are_scaled_and_cut_about_their_centre(tmp_path: Path) -> None:
    wide = np.repeat(np.arange(10, dtype=np.uint8)[None] * 10, 6, axis=0)  # 6 x 10: the middle six columns stay
    tall = np.repeat(np.arange(12, dtype=np.uint8)[:, None] * 10, 6, axis=1)  # 12 x 6: the middle six rows
    for name, pixels in (("a", wide), ("b", tall), ("c", np.full((3, 3), 77, np.uint8))):
        (tmp_path / "train" / name).mkdir(parents=True)
        Image.fromarray(pixels).save(tmp_path / "train" / name / "1.png")
    with pytest.raises(ValueError) as error:
        load_data(tmp_path)
    one_line(error, "one size", "folder:PATH@SIDE")
    data = load_data(f"folder:{tmp_path}@6")
    assert data.input_shape == (1, 6, 6) and "cut to 6x6" in data.provenance["source"]
    np.testing.assert_array_equal(data.x_train[0, 0].numpy(), wide[:, 2:8])
    np.testing.assert_array_equal(data.x_train[1, 0].numpy(), tall[3:9])
    assert (data.x_train[2] == 77).all()
    half = load_data(f"{tmp_path}@3").x_train[0, 0].numpy()
    # Halved along a ramp: away from the ends, the mean of what each new pixel covers.
    np.testing.assert_allclose(half[:, 1], [45, 45, 45], atol=1)


def test_a_side_needs_a_pixel_and_a_folder_of_that_very_name_is_taken_as_it_is(tmp_path: Path) -> None:
    write_images(tmp_path / "icons@2", {"train/a/1.png": grey(1)})
    assert load_data(f"folder:{tmp_path / 'icons@2'}").input_shape == (3, 4, 6)
    assert load_data(f"folder:{tmp_path / 'icons@2'}@2").input_shape == (3, 2, 2)
    assert load_data(f"folder:{tmp_path / 'icons@2'}@1").input_shape == (3, 1, 1)
    with pytest.raises(DataNotFoundError) as error:
        load_data(tmp_path / "icons@2@2")  # a path object names a folder, and no side
    one_line(error, "icons@2@2 not found")
    with pytest.raises(ValueError) as error:
        load_data(f"folder:{tmp_path / 'icons@2'}@0")
    one_line(error, "icons@2@0", "at least 1 pixel")


def test_a_relative_folder_is_looked_for_here_and_where_data_sets_lie(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_images(tmp_path / "sets" / "pets", {"train/a/1.png": grey(1)})
    write_images(tmp_path / "here" / "pets", {"train/a/1.png": grey(2)})
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    with pytest.raises(DataNotFoundError) as error:
        load_data("folder:pets")
    one_line(error, "pets not found", "train/CLASS")
    assert _data_set("folder:pets") == {"found": None, "train_images": None}
    assert values(load_data("folder:pets", root=tmp_path / "sets").x_train) == [1]
    monkeypatch.setenv("LANDSCAPE_DATA", str(tmp_path / "sets"))
    assert values(load_data("folder:pets").x_train) == [1]
    assert load_data("folder:pets@5").input_shape == (3, 5, 5)
    assert _data_set("folder:pets@5") == {"found": str(tmp_path / "sets" / "pets"), "train_images": 1}
    monkeypatch.chdir(tmp_path / "here")
    assert values(load_data("folder:pets").x_train) == [2]
