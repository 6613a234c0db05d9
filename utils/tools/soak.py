"""Kill runs, damage files, fill a disk, watch memory: `python -m utils.tools.soak --minutes 20`.

Trials are drawn at random until the time is over. The figures are printed; the exit status is 1 if
a promise of docs/RELIABILITY.md was broken.
"""

import argparse
import hashlib
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from typing import NamedTuple

import numpy as np
import torch

from data.dataset_writer.folder import read_runs
from data.files.images import read_image, write_image
from data.files.videos import write_video
from data.video.sources import open_video
from models.architecture import load_network
from models.generator import Generator
from models.inference.correction import correct_classically
from utils.checkpoint import save_weights
from utils.errors import InputError, one_line
from utils.options.command_line import run
from utils.options.files import load_options
from utils.options.real import RealOptions

ROOT = Path(__file__).parents[2]
_SIZE = (48, 64)
_FULL = 40_960  # bytes of a disk too small for any of the runs
_MAX_GROWTH = 30.0  # MB, of the memory of repeated corrections


class Job(NamedTuple):
    """A command that writes results below `--output`, and the results that must not differ."""

    name: str
    words: list[str]
    results: str  # pattern


class Soak:
    """The trials, with inputs and outputs below a folder of their own."""

    def __init__(self, folder: Path, seed: int) -> None:
        """Write the inputs, and run each job once without a kill."""
        self.rng = random.Random(seed)
        self.folder = folder
        self.figures: Counter[str] = Counter()
        self.broken: list[str] = []
        self._memory: list[float] = []
        self.inputs = folder / "inputs"
        self.inputs.mkdir()
        self._write_inputs()
        self.jobs = self._list_jobs()
        self.expected = {}
        self.seconds = {}
        for job in self.jobs:
            begin = time.monotonic()
            done = self._start(job, folder / "unbroken" / job.name).wait()
            self.seconds[job.name] = time.monotonic() - begin
            self.expected[job.name] = _digest(folder / "unbroken" / job.name, job.results)
            self._expect(done == 0 and self.expected[job.name] != {}, f"{job.name}: no results")

    def kill(self) -> None:
        """Kill a run at random moments, let it finish, and compare with the unbroken run."""
        job = self.rng.choice(self.jobs)
        output = self.folder / f"killed{self.figures['runs killed']}" / job.name
        self.figures["runs killed"] += 1
        for _ in range(self.rng.randint(1, 3)):
            process = self._start(job, output)
            try:
                process.wait(self.rng.uniform(0.2, 1) * self.seconds[job.name])
                break
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
                self.figures["kills"] += 1
                if _digest(output, job.results) == self.expected[job.name]:
                    break  # killed after its last step; a data set is not written twice
        else:
            self._expect(self._start(job, output).wait() == 0, f"{job.name}: failed after a kill")
        same = _digest(output, job.results) == self.expected[job.name]
        self._expect(same, f"{job.name}: another result after a kill in {output}")
        left = [path for path in output.parent.rglob(".*") if path.name != ".inputs.json"]
        self._expect(not left, f"{job.name}: left behind: {left}")

    def mutate(self) -> None:
        """Read a damaged copy of a file: its content or an `InputError`, all else is a defect."""
        name, read = self.rng.choice(list(self._readers().items()))
        data = bytearray((self.inputs / name).read_bytes())
        for _ in range(self.rng.randint(1, 4)):
            place = self.rng.randrange(len(data))
            kind = self.rng.randrange(4)
            if kind == 0:
                data[place] ^= 1 << self.rng.randrange(8)
            elif kind == 1:
                data[place : place + 8] = self.rng.randbytes(8)
            elif kind == 2:
                data[place:place] = self.rng.randbytes(self.rng.randrange(64))
            else:
                del data[place : place + self.rng.randrange(len(data))]
            data = data or bytearray(1)
        damaged = self.folder / "damaged" / name
        damaged.parent.mkdir(exist_ok=True)
        damaged.write_bytes(data)
        self.figures["files damaged"] += 1
        try:
            read(damaged)
        except InputError:
            self.figures["files refused"] += 1
        except Exception as error:  # noqa: BLE001 - a defect, whatever it is
            kept = damaged.rename(self.folder / f"defect{len(self.broken)}-{name}")
            self._expect(False, f"{kept}: {type(error).__name__}: {error}")

    def fill_disk(self) -> None:
        """Write onto a disk that is too small: one line, and no file under another's name."""
        job = self.rng.choice(self.jobs)
        disk = self.folder / "disk"
        disk.mkdir(exist_ok=True)
        mount = ["mount", "-t", "tmpfs", "-o", f"size={_FULL}", "soak", str(disk)]
        if subprocess.run(mount, capture_output=True, check=False).returncode != 0:
            self.figures["full disks skipped: mounting is not allowed"] = 1
            return
        try:
            output = disk / "out"
            process = self._start(job, output)
            _, said = process.communicate()
            lines = [line for line in said.splitlines() if line.startswith("error: ")]
            self.figures["full disks"] += 1
            told = process.returncode == 1 and len(lines) == 1 and "Traceback" not in said
            self._expect(told, f"{job.name} on a full disk: {said[-300:]}")
            self._expect(not _digest(output, job.results), f"{job.name}: results on a full disk")
        finally:
            subprocess.run(["umount", str(disk)], check=False)

    def repeat(self) -> None:
        """Correct a pair again and again, and note the memory that is taken then."""
        pair = torch.stack([read_image(self.inputs / f"0_{view}.png") for view in ("t2b", "b2t")])
        for _ in range(10):
            correct_classically(pair, (0.0, 0.5, 1.0))
            self.figures["pairs corrected"] += 1
        self._memory.append(_resident_megabytes())

    def compare_memory(self) -> None:
        """Memory must not have grown with the number of corrections."""
        growth = growth_of(self._memory)
        self.figures["memory growth in MB"] = round(growth)
        self._expect(growth < _MAX_GROWTH, f"memory grew by {growth:.0f} MB")

    def _expect(self, holds: bool, problem: str) -> None:
        if not holds:
            self.broken.append(problem)
            sys.stdout.write(f"broken: {one_line(problem)}\n")

    def _start(self, job: Job, output: Path) -> "subprocess.Popen[str]":
        words = [word.replace("OUTPUT", str(output)) for word in job.words]
        return subprocess.Popen(
            [sys.executable, *words],
            cwd=ROOT,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE if output.is_relative_to(self.folder / "disk") else None,
            text=True,
        )

    def _list_jobs(self) -> list[Job]:
        real = ["main_test_real.py", "--method", "classical", "--output", "OUTPUT", "--frames", "3"]
        real += ["--set", "device=cpu", "check=false"]
        clip = ["--t2b", f"{self.inputs}/left.mp4", "--b2t", f"{self.inputs}/right.mp4"]
        pair = ["--t2b", f"{self.inputs}/0_t2b.png", "--b2t", f"{self.inputs}/0_b2t.png"]
        scenes = ["-m", "data.create_rs_dataset", "OUTPUT", "--count", "6", "--size", "64x64"]
        return [
            Job("clip", [*real, *clip, "--save-frames"], "left/**/*.*"),
            Job("capture", [*real, *pair], "*/frame_*.png"),
            Job("scenes", scenes, "test/**/*.png"),
        ]

    def _write_inputs(self) -> None:
        rng = np.random.default_rng(self.rng.randrange(1 << 32))
        scene = rng.integers(0, 256, (12, 40, 3), np.uint8).repeat(8, 0).repeat(4, 1)
        frames = [scene[: _SIZE[0], 2 * n : 2 * n + _SIZE[1]].copy() for n in range(24)]
        for name, shift in (("left", 0), ("right", 1)):
            write_video(self.inputs / f"{name}.mp4", frames[shift : shift + 20], 30)
        write_image(self.inputs / "0_t2b.png", frames[0])
        write_image(self.inputs / "0_b2t.png", frames[1])
        save_weights(self.inputs / "w.safetensors", Generator(n_feats=8, width=0.05))
        torch.save(Generator(n_feats=8, width=0.05).state_dict(), self.inputs / "w.pth")
        (self.inputs / "o.json").write_bytes((ROOT / "options" / "test_real.json").read_bytes())
        run = '{"split": "test", "versions": {}, "sequences": {"0000": {"seed": 3, "strength": 1}}}'
        (self.inputs / "dataset.json").write_text(f'{{"runs": [{run}]}}')

    def _readers(self) -> dict[str, Callable[[Path], object]]:
        return {
            "0_t2b.png": read_image,
            "left.mp4": lambda path: list(open_video(path).frames()),
            "w.safetensors": load_network,
            "w.pth": load_network,
            "o.json": lambda path: load_options(path, [], RealOptions),
            "dataset.json": lambda path: read_runs(path.parent),
        }


def main() -> None:
    """Read the command line, run the trials, print the figures."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0], allow_abbrev=False)
    parser.add_argument("--minutes", type=float, default=20, help="default: %(default)s")
    parser.add_argument("--seed", type=int, default=0, help="of the trials")
    arguments = parser.parse_args()
    if not 0 < arguments.minutes <= 10_000:
        raise InputError(f"--minutes {arguments.minutes:g}: expected more than 0, up to 10000")
    broken = soak(arguments.minutes, arguments.seed)
    if broken:
        raise InputError(f"{len(broken)} promises broken, see the lines above")


def soak(minutes: float, seed: int) -> list[str]:
    """Run trials for some minutes, print the figures, and return what was broken."""
    with tempfile.TemporaryDirectory(prefix="soak-") as folder:
        trials = Soak(Path(folder), seed)
        end = time.monotonic() + 60 * minutes
        kinds = (trials.kill, trials.mutate, trials.repeat, trials.fill_disk)
        for kind in kinds:
            kind()
        while time.monotonic() < end:
            trials.rng.choices(kinds, weights=(2, 40, 4, 1))[0]()
        trials.compare_memory()
    for name, count in sorted(trials.figures.items()):
        sys.stdout.write(f"{count:8d} {name}\n")
    sys.stdout.write(f"{len(trials.broken):8d} promises broken\n")
    return trials.broken


def growth_of(memory: Sequence[float]) -> float:
    """Growth between the second and the last quarter of measurements, of their medians.

    What is taken once, early, is no leak. 0 with fewer than four measurements.
    """
    quarter = len(memory) // 4
    return median(memory[-quarter:]) - median(memory[quarter : 2 * quarter]) if quarter else 0.0


def _digest(folder: Path, pattern: str) -> dict[str, str]:
    """Digests of results, by name; what is hidden is under way, or of our own concern."""
    found = {path.relative_to(folder): path for path in sorted(folder.glob(pattern))}
    return {
        name.as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for name, path in found.items()
        if path.is_file() and not any(part.startswith(".") for part in name.parts)
    }


def _resident_megabytes() -> float:
    status = Path("/proc/self/statm").read_text(encoding="ascii").split()
    return int(status[1]) * 4096 / 1e6


if __name__ == "__main__":
    run(main)
