"""TF32: told of where it would be used, and switched off around runs."""

from __future__ import annotations

import warnings

import pytest
import torch

from landscape_helpers import runner
from landscape_helpers.precision import _switches, full_precision, rounds_to_tf32, warn_of_tf32

CUDA, CPU = torch.device("cuda"), torch.device("cpu")


def settings() -> list[object]:
    return [getattr(holder, name) for holder, name, _ in _switches()]


def test_torch_rounds_convolutions_on_cuda_by_default_and_nothing_else() -> None:
    assert rounds_to_tf32(CUDA, torch.float32)
    assert not rounds_to_tf32(CPU, torch.float32) and not rounds_to_tf32(CUDA, torch.float64)
    with pytest.warns(UserWarning, match=r"TF32.*full_precision"):
        warn_of_tf32(CUDA, torch.float32)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warn_of_tf32(CPU, torch.float32)


def test_full_precision_switches_it_off_and_puts_back_what_was_there() -> None:
    before = settings()
    with pytest.raises(RuntimeError, match="in between"), full_precision():
        assert not rounds_to_tf32(CUDA, torch.float32)
        assert torch.backends.cudnn.allow_tf32 is False and torch.backends.cuda.matmul.allow_tf32 is False
        raise RuntimeError("in between")
    assert settings() == before and rounds_to_tf32(CUDA, torch.float32)


def test_matrix_products_that_someone_let_be_rounded_are_noticed() -> None:
    with full_precision():
        torch.set_float32_matmul_precision("high")
        try:
            assert rounds_to_tf32(CUDA, torch.float32)
            with full_precision():
                assert not rounds_to_tf32(CUDA, torch.float32)
            assert rounds_to_tf32(CUDA, torch.float32)
        finally:
            torch.set_float32_matmul_precision("highest")
    assert torch.backends.cuda.matmul.allow_tf32 is False


@pytest.mark.skipif(not hasattr(torch.backends.cudnn, "conv"), reason="torch before 2.9 has one way to set it")
@pytest.mark.parametrize(("one", "value"), [("conv", "ieee"), ("rnn", "ieee"), ("matmul", "tf32")])
def test_settings_made_in_the_newer_way_alone_are_kept(one: str, value: str) -> None:
    """The others stay as they are: now the older way cannot be read."""
    holders = {"conv": torch.backends.cudnn.conv, "rnn": torch.backends.cudnn.rnn, "matmul": torch.backends.cuda.matmul}
    before = holders[one].fp32_precision
    try:
        holders[one].fp32_precision = value
        set_so = {name: holder.fp32_precision for name, holder in holders.items()}
        assert rounds_to_tf32(CUDA, torch.float32)
        with full_precision():
            assert {holder.fp32_precision for holder in holders.values()} == {"ieee"}
            assert not rounds_to_tf32(CUDA, torch.float32)
        assert {name: holder.fp32_precision for name, holder in holders.items()} == set_so
    finally:
        holders[one].fp32_precision = before


def test_runs_are_computed_in_full_precision(monkeypatch: pytest.MonkeyPatch, tmp_path) -> None:
    seen: list[bool] = []

    class Stub:
        @staticmethod
        def run(*_: object, **__: object) -> None:
            seen.append(rounds_to_tf32(CUDA, torch.float32))
            raise RuntimeError("seen")

    monkeypatch.setattr(runner, "experiment", lambda name: Stub)
    (spec,) = runner.specs_for(["GO-F01"], "smoke")
    with pytest.raises(RuntimeError, match="seen"):
        runner.compute(runner.Job(spec, 7), runner.Store(tmp_path), again=True)
    assert seen == [False]
