"""The tables of slices and the memory of intermediate results."""

import numpy as np
import pytest

from landscape_helpers.experiments.landscape.memory import Memory
from landscape_helpers.experiments.landscape.tables import Tables


def test_curves_of_different_length_are_filled_with_nan():
    tables = Tables()
    tables.curve([-1, 0, 1], [3.0, 1.0, 2.0], family="gaussian", epoch=10, scale=1.0)
    tables.curve([0, 1], [5.0, 4.0], family="later", target=50)
    dataset = tables.dataset()
    assert dict(dataset.sizes) == {"curve": 2, "point": 3}
    assert np.array_equal(dataset.curve_loss, [[3, 1, 2], [5, 4, np.nan]], equal_nan=True)
    assert np.array_equal(dataset.curve_at, [[-1, 0, 1], [0, 1, np.nan]], equal_nan=True)
    assert dataset.curve_family.values.tolist() == ["gaussian", "later"]
    assert dataset.curve_target.values[1] == 50 and np.isnan(dataset.curve_target.values[0])


def test_planes_keep_rows_and_columns_apart():
    tables = Tables()
    surface = np.arange(6.0).reshape(2, 3)
    tables.plane([0, 1], [-1, 0, 1], surface, first="Gau.", second="N.E.1", cosine=0.2)
    tables.plane([0], [0], [[7.0]], first="Mine", second="Gau.")
    dataset = tables.dataset()
    assert dict(dataset.sizes) == {"plane": 2, "row": 2, "column": 3}
    assert np.array_equal(dataset.plane_loss[0], surface)
    assert dataset.plane_loss[1, 0, 0] == 7 and int(dataset.plane_loss[1].isnull().sum()) == 5
    assert np.array_equal(dataset.plane_at2[0], [-1, 0, 1])


def test_an_unknown_field_is_refused():
    with pytest.raises(ValueError, match="unknown field 'colour': expected one of family, epoch"):
        Tables().curve([0, 1], [1, 2], colour="red")


def test_what_was_computed_is_recalled_and_what_differs_is_not(tmp_path):
    calls = []

    def compute(unfinished):
        calls.append(unfinished)
        return {"value": np.array([len(calls)])}

    code = "experiments.landscape.tables"
    first = Memory(tmp_path).recall("thing", {"a": 1}, code, compute)
    again = Memory(tmp_path).recall("thing", {"a": 1}, code, compute)
    other = Memory(tmp_path).recall("thing", {"a": 2}, code, compute)
    other_code = Memory(tmp_path).recall("thing", {"a": 1}, "experiments.landscape.memory", compute)
    assert [int(d["value"][0]) for d in (first, again, other, other_code)] == [1, 1, 2, 3]
    assert all(c.parent == tmp_path for c in calls)
    assert sorted(p.suffix for p in tmp_path.iterdir()) == [".npz"] * 3


def test_without_a_folder_it_is_remembered_as_long_as_the_object_lives():
    calls = []

    def compute(unfinished):
        assert unfinished is None
        calls.append(1)
        return {"value": np.zeros(1)}

    memory = Memory(None)
    for _ in range(2):
        memory.recall("thing", {}, "experiments.landscape.tables", compute)
    assert len(calls) == 1


def test_a_failed_computation_leaves_nothing_behind(tmp_path):
    def fail(unfinished):
        raise RuntimeError("no")

    with pytest.raises(RuntimeError):
        Memory(tmp_path / "kept").recall("thing", {}, "experiments.landscape.tables", fail)
    assert not list(tmp_path.rglob("*.npz"))
