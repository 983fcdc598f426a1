"""Every experiment of the book runs on an accelerator as it does on the CPU: what `verify` repeats of its runs."""

import numpy as np
import pytest

from landscape_helpers.catalogue import load_catalogue
from landscape_helpers.runner import experiment, specs_for

STEPS = 4
ROUNDING = 1e-14


def runs() -> dict[str, dict]:
    """Of each experiment one run at the smallest scale, by the experiment's name: its parameters."""
    catalogue, found = load_catalogue(), {}
    for name, run in catalogue.runs.items():
        if "smoke" in run.scales:
            for spec in specs_for([name], "smoke"):
                found.setdefault(spec.experiment, dict(spec.parameters))
    return found


RUNS = runs()


@pytest.mark.parametrize("name", RUNS)
def test_an_experiment_gives_the_same_numbers(name, device, tmp_path):
    module, parameters = experiment(name), RUNS[name]
    if hasattr(module, "beginning"):
        parameters = module.beginning(parameters)
    elif "steps" in parameters:
        parameters["steps"] = min(STEPS, parameters["steps"])
    on_cpu, on_device = (
        module.run(parameters, seed=0, device=where, checkpoint=tmp_path / where.partition(":")[0])
        for where in ("cpu", str(device))
    )
    assert on_cpu.sizes == on_device.sizes and list(on_cpu) == list(on_device)
    for variable, a in on_cpu.items():
        if a.dtype.kind == "f":
            size = float(np.nanmax(np.abs(a.values), initial=0.0))
            # What is rounding alone is another number on every device.
            np.testing.assert_allclose(on_device[variable], a, rtol=0, atol=1e-3 * size + ROUNDING, err_msg=variable)
