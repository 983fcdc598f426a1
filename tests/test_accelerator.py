"""Everything that runs on the CPU runs on an accelerator, as far as a pretended one can tell."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parent / "accelerator"


@pytest.mark.slow
@pytest.mark.skipif(shutil.which(os.environ.get("CXX", "c++")) is None, reason="needs a C++ compiler")
def test_a_pretended_accelerator():
    """In a process of its own: what is told to torch about devices cannot be taken back."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--timeout", "280", str(FOLDER)]
    environment = {**os.environ, "ACCELERATOR_TESTS": "1"}
    done = subprocess.run(command, cwd=FOLDER.parent.parent, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-2000:]
