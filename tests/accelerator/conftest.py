"""The pretended accelerator, compiled and made known to torch; ``tests/test_accelerator.py`` runs what is here."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from types import ModuleType

import pytest
import torch

SOURCE = Path(__file__).with_name("pretended.cpp")


@pytest.fixture(scope="session")
def device(tmp_path_factory: pytest.TempPathFactory) -> torch.device:
    """``pretended:0``, which holds its tensors apart from the CPU's."""
    library, root = tmp_path_factory.mktemp("accelerator") / "pretended.so", Path(torch.__file__).parent
    headers = [f"-I{root / 'include'}", f"-I{root / 'include/torch/csrc/api/include'}"]
    strings = f"-D_GLIBCXX_USE_CXX11_ABI={int(torch.compiled_with_cxx11_abi())}"  # as torch itself was compiled
    compiler = [os.environ.get("CXX", "c++"), "-std=c++20", "-O1", "-w", "-shared", "-fPIC", strings]
    libraries = [f"-L{root / 'lib'}", "-ltorch_cpu", "-lc10"]
    subprocess.run([*compiler, *headers, SOURCE, "-o", library, *libraries], check=True)
    torch.ops.load_library(str(library))
    torch.utils.rename_privateuse1_backend("pretended")
    module = ModuleType("torch.pretended")
    answers = {
        "is_available": True, "is_initialized": True, "_is_in_bad_fork": False, "_lazy_init": None,
        "device_count": 1, "current_device": 0, "manual_seed_all": None, "get_amp_supported_dtype": [torch.bfloat16],
    }  # fmt: skip
    for name, answer in answers.items():
        setattr(module, name, lambda *_, answer=answer: answer)
    torch._register_device_module("pretended", module)
    return torch.device("pretended:0")
