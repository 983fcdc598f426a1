"""Torchvision imports beside any build of torch, and only when something needs it."""

import os
import subprocess
import sys
from pathlib import Path

import landscape_helpers

ROOT = Path(landscape_helpers.__file__).parent.parent


def run(code):
    """Standard output of ``code`` in a fresh interpreter, in which nothing has been imported yet."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=240, env=environment, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def test_models_datasets_and_transforms_import_and_work():
    out = run(
        "from landscape_helpers._torchvision import torchvision\n"
        "import sys, torch\n"
        "assert torchvision is sys.modules['torchvision']\n"
        "from torchvision import transforms\n"
        "print(torchvision.datasets.MNIST.__name__)\n"
        "model = torchvision.models.get_model('resnet18', weights=None, num_classes=3).eval()\n"
        "print(*model(transforms.CenterCrop(32)(torch.zeros(2, 3, 40, 40))).shape)\n"
    )
    assert out == ["MNIST", "2", "3"]


UNLOADABLE = (
    "import torch\n"
    "def refuse(path):\n"
    "    raise OSError('linked against another build')\n"
    "torch.ops.load_library = refuse\n"
)


def test_where_the_binary_does_not_load_the_operators_are_declared_once():
    out = run(
        UNLOADABLE + "from landscape_helpers import _torchvision as shim\n"
        "print(len(shim._declared), hasattr(torch.ops.torchvision, 'nms'), hasattr(torch.ops.torchvision, 'qnms'))\n"
        "shim._load_operators()\n"
        "print(len(shim._declared))\n"
    )
    assert out == ["1", "True", "True", "1"]


def test_operators_that_are_already_there_are_left_alone():
    """Declaring an operator twice ends in an error, so that the shim must look before it declares."""
    out = run(
        UNLOADABLE + "library = torch.library.Library('torchvision', 'FRAGMENT')\n"
        "for name in ('nms', 'qnms'):\n"
        "    library.define(name + '(Tensor dets, Tensor scores, float iou_threshold) -> Tensor')\n"
        "from landscape_helpers import _torchvision as shim\n"
        "print(len(shim._declared), shim.torchvision.__name__)\n"
    )
    assert out == ["0", "torchvision"]


def test_the_package_does_not_import_torchvision_until_it_is_needed():
    out = run(
        "import sys, landscape_helpers.data, landscape_helpers.models\n"
        "landscape_helpers.data.load_data('digits', n_train=5)\n"
        "landscape_helpers.models.build_model('cnn', 10, (1, 8, 8))\n"
        "print('torchvision' in sys.modules)\n"
        "landscape_helpers.models.build_model('torchvision:resnet18', 10, (3, 32, 32))\n"
        "print('torchvision' in sys.modules)\n"
    )
    assert out == ["False", "True"]


def test_without_torchvision_the_error_says_what_to_install():
    out = run(
        "import importlib.util, sys\n"
        "find = importlib.util.find_spec\n"
        "importlib.util.find_spec = lambda name, *rest: None if name == 'torchvision' else find(name, *rest)\n"
        "try:\n"
        "    import landscape_helpers._torchvision\n"
        "except ImportError as error:\n"
        "    print(str(error))\n"
    )
    assert " ".join(out) == "torchvision is not installed: pip install -r requirements.txt"
