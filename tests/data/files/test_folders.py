import subprocess
import sys
from pathlib import Path

import pytest

from data.files.folders import sole_use
from utils.errors import InputError

HOLD = """
import sys
from pathlib import Path
from data.files.folders import sole_use
with sole_use(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_folder_is_for_one_run_until_its_process_ends(tmp_path: Path) -> None:
    command = [sys.executable, "-c", HOLD, str(tmp_path)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as other:
        assert other.stdout is not None and other.stdout.readline() == "held\n"
        expected = f"^{tmp_path}: another run is at work there"
        with pytest.raises(InputError, match=expected), sole_use(tmp_path):
            pass
        other.kill()
    with sole_use(tmp_path):
        assert list(tmp_path.iterdir()) == []
