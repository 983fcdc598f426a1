"""The experiments on slices, curvature and mining, on digits, against the instruments called by hand."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from landscape_helpers import directions
from landscape_helpers.accuracy import accuracy_on
from landscape_helpers.experiments import landscape_curvature, landscape_mining, landscape_slices
from landscape_helpers.experiments.landscape.peaks import mined_peak
from landscape_helpers.experiments.landscape.setting import Setting
from landscape_helpers.experiments.landscape.training import TRAINING, load_images, start_model

SMALL = {"data": "digits", "n_train": 120, "epochs": 4, "keep": [0, 2, 4], "train_batch": 60, "n_eval": 100}
MLP = SMALL | {"model": "mlp", "model_options": {"hidden": [8]}}
RESNET = SMALL | {"model": "resnet8", "model_options": {"width": 2}}
HERE = {"epoch": 4, "normalize": "model", "batchnorm": "re-estimated", "scale": 1.0}
SLICES = {
    "points": 5,
    "draws": 2,
    "plane_points": 3,
    "conditions": [HERE, HERE | {"normalize": "filter", "batchnorm": "frozen", "scale": 0.5, "epoch": 2}],
    "planes": [HERE],
    "descents": [{"epoch": 0, "later": 4}, {"epoch": 4, "later": None}],
    "angle_epochs": [2],
    "angle_draws": 6,
    "batches": 3,
    "barriers": [[2, 4]],
}


@pytest.fixture(scope="module", params=["mlp", "resnet"])
def sliced(request):
    p = (MLP if request.param == "mlp" else RESNET) | SLICES
    return p, landscape_slices.run(p, seed=1)


def chosen(dataset, **fields):
    rows = np.ones(dataset.sizes["curve"], dtype=bool)
    for name, value in fields.items():
        rows &= dataset[f"curve_{name}"].values == value
    return np.flatnonzero(rows)


def test_every_part_is_recorded(sliced):
    _, record = sliced
    families = record.curve_family.values.tolist()
    expected = {"gaussian": 4, "gaussian-fine": 2, "gradient": 2, "later": 1, "independent": 1}
    expected |= {"gradient-view": 3, "best-gaussian": 3}
    assert {name: families.count(name) for name in set(families)} == expected
    assert record.sizes["interpolation"] == 4 and record.sizes["centre"] == 11
    assert record.attrs["n_eval"] == 100 and record.attrs["random_guess"] == pytest.approx(np.log(10))
    assert json.loads(record.attrs["parameters"])["draws"] == 2


def test_every_curve_meets_the_loss_of_its_checkpoint(sliced):
    _, record = sliced
    loss = dict(zip(record.epoch.values, record.eval_loss.values, strict=True))
    for i in range(record.sizes["curve"]):
        at, losses = record.curve_at.values[i], record.curve_loss.values[i]
        origin = np.flatnonzero(at == 0)
        assert len(origin) == 1
        frozen = record.curve_batchnorm.values[i] == "frozen"
        assert losses[origin[0]] == pytest.approx(loss[record.curve_epoch.values[i]], rel=1e-3 if frozen else 1e-5)


def test_directions_are_what_their_family_says(sliced):
    p, record = sliced
    setting = Setting(landscape_slices.validate(p), 1)
    objective, theta = setting.objective, setting.theta(4)
    (i,) = chosen(record, family="gaussian", epoch=4, draw=1)
    direction = directions.gaussian(objective, theta, seed=10_001, normalize="model")
    assert direction.norm() == pytest.approx(float(theta.norm()), rel=1e-5)
    assert record.curve_loss.values[i, 0] == pytest.approx(objective.loss(theta - direction), rel=1e-4)
    (i,) = chosen(record, family="independent")
    at = record.curve_at.values[i]
    end = record.curve_loss.values[i][np.flatnonzero(np.isclose(at, 1))[0]]
    assert end == pytest.approx(objective.loss(setting.independent(4)), rel=1e-4)
    (i,) = chosen(record, family="later")
    assert record.curve_loss.values[i, 4] == pytest.approx(objective.loss(theta), rel=1e-4)
    (i,) = chosen(record, family="gradient", epoch=0)
    slope = -float(objective.gradient(setting.theta(0)).norm() ** 2)
    assert record.curve_slope.values[i] == pytest.approx(slope, rel=1e-4)


def test_the_best_gaussian_looks_ten_times_further_than_the_gradient(sliced):
    _, record = sliced
    for scale in (0.01, 0.1, 1.0):
        (a,), (b,) = (chosen(record, family=f, scale=scale) for f in ("gradient-view", "best-gaussian"))
        assert np.allclose(record.curve_at.values[b, :5], 10 * record.curve_at.values[a, :5])
        assert record.curve_norm.values[a] == pytest.approx(record.curve_norm.values[b], rel=1e-5)


def test_the_interpolation_carries_slopes_and_ends(sliced):
    p, record = sliced
    setting = Setting(landscape_slices.validate(p), 1)
    assert record.interpolation_kind.values.tolist() == ["GMI"] * 3 + ["MLI"]
    assert record.interpolation_loss.values[3, 0] == pytest.approx(setting.objective.loss(setting.theta(0)), rel=1e-5)
    assert np.allclose(record.interpolation_loss.values[:, -1], setting.objective.loss(setting.theta(4)), rtol=1e-5)
    h = 0.05
    ahead, here = record.interpolation_ahead.values, record.interpolation_loss.values
    slope, curvature = record.interpolation_slope.values, record.interpolation_curvature.values
    model = here + slope * h + 0.5 * curvature * h**2
    assert np.abs(model - ahead)[:, -1].max() < 0.2 * np.abs(ahead - here).max()


@pytest.mark.parametrize("p", [MLP, RESNET], ids=["mlp", "resnet"])
def test_curvature_record(p):
    p = p | {
        "hessian_at": [0, 4], "density_at": [4], "eigenpairs": 3, "shown": 2, "points": 5, "plane_points": 3,
        "planes_at": [4], "probes": 2, "lanczos_steps": 8, "noise_draws": 4, "kink_at": [4], "kink_steps": [1e-6, 0.1],
    }  # fmt: skip
    record = landscape_curvature.run(p, seed=0)
    setting = Setting(landscape_curvature.validate(p), 0)
    theta = setting.theta(4)
    for epoch in (0, 1):
        assert (np.diff(record.eigenvalue_positive.values[epoch]) <= 0).all()
        assert (np.diff(record.eigenvalue_negative.values[epoch]) >= 0).all()
    top, _ = setting.eigenpairs(4, 3)
    v = top.vectors[:, 0]
    value = float(v @ setting.objective.hvp(theta, v))
    assert record.eigenvalue_positive.values[1, 0] == pytest.approx(value, rel=1e-2)
    assert sorted(zip(record.plane_first.values, record.plane_second.values, strict=True)) == sorted(
        landscape_curvature.PAIRS
    )
    assert record.curve_family.values.tolist().count("positive") == 2 * 2 * 2
    assert float(np.nansum(record.density_weight.values[0, 0])) == pytest.approx(1, rel=1e-6)
    # Where the step is short enough to cross no kink, second differences are the Hessian's.
    assert record.kink_secant.values[0, :, 0] == pytest.approx(record.kink_hessian.values[0], rel=0.05, abs=0.05)


def test_mining_record():
    p = MLP | {
        "mine_at": [2], "mining_epochs": 6, "mining_lr": 0.5, "mining_batch": 60, "eigenpairs": 2, "points": 5,
        "triple_at": 4, "triple_epochs": 3, "alphas": [0.0], "gammas": [0.1, 0.5], "plane_points": 3,
        "planes": [[0, "E=4", "Neg. Grad."], [2, "Mine", "E'=4"]],
    }  # fmt: skip
    record = landscape_mining.run(p, seed=0)
    setting = Setting(landscape_mining.validate(p), 0)
    mined = mined_peak(setting, 2)[0]
    (i,) = chosen(record, family="mined")
    assert record.curve_norm.values[i] == pytest.approx(float(mined.norm() / setting.theta(2).norm()), rel=1e-5)
    assert record.mined_norm.values[0, -1] == pytest.approx(float(mined.norm()), rel=1e-5)
    (j,) = chosen(record, family="null-peak")
    assert record.curve_norm.values[j] == pytest.approx(record.curve_norm.values[i], rel=1e-5)
    assert int(record.null_draws[0]) >= 1
    v = setting.eigenvectors(2, 2)["N.E.1"]
    cosine = directions.cosines(torch.stack([mined, v], 1))[0, 1]
    assert record.overlap_negative.values[0, 0] == pytest.approx(abs(cosine), abs=1e-4)
    # Training has followed the gradient, so that the two overlap and the plane is drawn again with orthogonal axes.
    overlapping = record.plane_first.values == "E=4"
    assert record.plane_orthogonalised.values[overlapping].tolist() == [0, 1]
    assert record.plane_cosine.values[overlapping][0] > 0.1
    families = record.curve_family.values.tolist()
    assert families.count("triple") == 2 and families.count("null-triple") == 1 and families.count("random-triple") == 1


def test_fine_tuning_starts_from_the_body_of_the_pre_trained_network():
    p = TRAINING | RESNET | {"pretrain": {"classes": [0, 1, 2, 3, 4], "epochs": 2, "lr": 0.1}}
    images = load_images(p)
    start = start_model(p, images, 0).state_dict()
    fresh = start_model(p | {"pretrain": None}, images.of_classes([5, 6, 7, 8, 9]), 0).state_dict()
    for name, value in start.items():
        if name.startswith(list(start)[-1].rpartition(".")[0]):
            assert torch.equal(value, fresh[name])
    moved = [n for n, v in start.items() if v.is_floating_point() and not torch.equal(v, fresh[n])]
    assert len(moved) > len(start) / 3


def test_accuracy_on_other_images_uses_the_statistics_of_the_objective():
    setting = Setting(landscape_slices.validate(RESNET), 0)
    theta, objective = setting.theta(4), setting.objective
    x, y = setting.task.x[:100], setting.task.y[:100]
    assert accuracy_on(objective, theta, x, y, batch=7) == pytest.approx(objective.accuracy(theta), abs=0.02)


@pytest.mark.parametrize(
    ("module", "change", "message"),
    [
        (landscape_slices, {"points": 2}, "points must be a whole number of at least 3, got 2"),
        (landscape_slices, {"pionts": 5}, "unknown parameter 'pionts'"),
        (landscape_slices, {"conditions": [HERE | {"epoch": 3}]}, "conditions names epoch 3: expected one of the kept"),
        (landscape_slices, {"conditions": [HERE | {"normalize": "row"}]}, "normalize must be one of"),
        (landscape_slices, {"barriers": [[2]]}, "barriers must be a list of pairs"),
        (landscape_slices, {"keep": [0, 9]}, "keep names epoch 9: expected 0 to 4"),
        (landscape_slices, {"lr": 0}, "lr must be a finite learning rate above 0, got 0"),
        (landscape_slices, {"pretrain": {"classes": []}}, "pretrain must be null, "),
        (landscape_curvature, {"hessian_at": [3]}, "hessian_at names epoch 3"),
        (landscape_curvature, {"hessian_at": [2], "density_at": [2], "shown": 11}, "shown must be at most eigenpairs"),
        (landscape_mining, {"mine_at": [2], "planes": [[2, "Gau.", "Up"]]}, "planes names direction 'Up'"),
        (landscape_mining, {"mine_at": [2], "planes": [[4, "Gau.", "Mine"]]}, "a direction mined at epoch 4"),
        (landscape_mining, {"mine_at": [2], "planes": [[2, "Gau.", "P.E.11"]]}, "there are 10 eigenpairs a side"),
        (landscape_mining, {"mine_at": [2], "alphas": [0.6]}, r"alphas must lie in \[0, 0.5\], got \[0.6\]"),
    ],
)
def test_requests_that_cannot_be_met_are_refused_before_any_data_is_read(module, change, message, monkeypatch):
    monkeypatch.setattr("landscape_helpers.experiments.landscape.setting.load_images", lambda p: pytest.fail("read"))
    with pytest.raises(ValueError, match=message):
        module.run(MLP | change, seed=0)


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs SIGKILL")
def test_a_killed_run_goes_on_to_the_same_record(tmp_path):
    p = MLP | SLICES | {"epochs": 40, "keep": [0, 2, 4, 40]}
    file = tmp_path / "run.npz"
    script = (
        "import sys, json; from pathlib import Path; from landscape_helpers.experiments import landscape_slices as e;"
        f"e.run(json.loads(sys.argv[1]), seed=3, checkpoint=Path({str(file)!r}))"
    )
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    process = subprocess.Popen([sys.executable, "-c", script, json.dumps(p)], env=environment)
    folder = file.parent / "remembered"
    deadline = time.monotonic() + 60
    while not list(folder.glob("checkpoints-*.npz")) and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    kept = sorted(folder.glob("checkpoints-*.npz"))
    assert kept, "the trained checkpoints were not kept"
    stamps = {k: k.stat().st_mtime_ns for k in kept if "unfinished" not in k.name}
    resumed = landscape_slices.run(p, seed=3, checkpoint=file)
    whole = landscape_slices.run(p, seed=3)
    assert all(Path(k).stat().st_mtime_ns == stamp for k, stamp in stamps.items())
    for name in whole.variables:
        a, b = whole[name].values, resumed[name].values
        assert np.array_equal(a, b, equal_nan=a.dtype.kind == "f"), name


@pytest.mark.parametrize("module", [landscape_slices, landscape_curvature, landscape_mining])
def test_the_beginning_of_a_run_repeats_and_a_difference_is_named(module):
    from landscape_helpers.verify import part_difference

    wanted = {
        landscape_slices: SLICES,
        landscape_curvature: {
            "hessian_at": [2, 4], "density_at": [4], "eigenpairs": 2, "shown": 1, "points": 3, "probes": 1,
            "lanczos_steps": 4, "noise_draws": 2,
        },
        landscape_mining: {"mine_at": [2], "mining_epochs": 2, "mining_batch": 60, "eigenpairs": 2, "points": 3},
    }[module]  # fmt: skip
    p = module.validate(MLP | wanted)
    stored = module.run(p, seed=0)
    fresh = module.run(module.beginning(p), seed=0)
    assert set(module.REPEATS) <= set(fresh)
    assert part_difference(stored, fresh, module.REPEATS) == ""
    other = stored.copy(deep=True)
    other["train_loss"][1] *= 1 + 1e-7
    assert part_difference(other, fresh, module.REPEATS).startswith("train_loss at (1,)")
