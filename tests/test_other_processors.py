"""The laws hold with the code that is generated for other processors: AVX2, and no vector extensions at all."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

LAWS = ["test_law_of_the_trace.py", "test_law_of_dyson.py"]


@pytest.mark.slow
@pytest.mark.parametrize("processor", ["haswell", "generic"])
def test_laws_hold(processor, record):
    folder = Path(__file__).parent
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *(str(folder / name) for name in LAWS)]
    environment = os.environ | {"NUMBA_CPU_NAME": processor}
    environment.pop("DLNMC_RECORD", None)
    result = subprocess.run(command, env=environment, cwd=folder.parent, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout[-3000:]
    record(processor=processor, outcome=result.stdout.splitlines()[-1].split(" in ")[0])
