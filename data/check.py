"""Check a data set laid out like RS-GOPRO: `python -m data.check ROOT [--quick]`.

Says per split how many sequences, pairs and true frames there are, and names every problem: images
that are missing, unreadable or of another size, and captures that do not follow each other. The
exit status is 1 if there are any.
"""

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from tqdm import tqdm

from data.files.images import read_image
from data.real_pairs import natural_key
from data.rs_gopro import GS_FILE, RS_FILE, group_files
from utils.errors import InputError
from utils.options.command_line import run

_SPLITS = ("train", "valid", "test")
_SHOWN = 20  # problems of a split that are printed


class Sequence(NamedTuple):
    """Files of a sequence by capture index: views by direction, true frames by number."""

    folder: Path
    views: dict[int, dict[str, Path]]
    frames: dict[int, dict[int, Path]]


def main() -> None:
    """Read the command line, check every split, and print what was found."""
    parser = argparse.ArgumentParser(prog="python -m data.check", description=__doc__)
    parser.add_argument("root", type=Path, help="folder that holds train, valid and test")
    parser.add_argument("--quick", action="store_true", help="do not read the images")
    arguments = parser.parse_args()
    splits = [name for name in _SPLITS if (arguments.root / name).is_dir()]
    if not splits:
        raise InputError(f"{arguments.root}: expected a folder {', '.join(_SPLITS)}, found none")
    problems = sum(_check_split(arguments.root / name, quick=arguments.quick) for name in splits)
    if problems:
        raise InputError(f"{arguments.root}: {problems} problems, see above")


def _check_split(folder: Path, *, quick: bool) -> int:
    """Print counts and problems of a split; the number of problems."""
    found = [
        read_sequence(path)
        for path in sorted(folder.iterdir(), key=lambda path: natural_key(path.name))
        if path.is_dir() and not path.name.startswith(".")
    ]
    pairs = sum(len(sequence.views) for sequence in found)
    counts = [len(frames) for sequence in found for frames in sequence.frames.values()]
    truth = f"{sum(counts)} true frames" if counts else "no true frames"
    each = f" ({min(counts)} a pair)" if counts and min(counts) == max(counts) else ""
    sys.stdout.write(f"{folder}: {len(found)} sequences, {pairs} pairs, {truth}{each}\n")
    problems = [
        problem
        for sequence in tqdm(found, desc=folder.name, unit="sequence", disable=quick or None)
        for problem in sequence_problems(sequence, quick=quick)
    ]
    if counts:
        problems += [
            f"{sequence.folder / 'GS'}: no true frames, other sequences have them"
            for sequence in found
            if sequence.views and not sequence.frames
        ]
    if not found:
        problems.append(f"{folder}: no sequences")
    elif counts and len(set(counts)) > 1:
        problems.append(f"{folder}: pairs have {min(counts)} to {max(counts)} true frames")
    for problem in problems[:_SHOWN]:
        sys.stdout.write(f"  {problem}\n")
    if problems[_SHOWN:]:
        sys.stdout.write(f"  and {len(problems) - _SHOWN} more\n")
    return len(problems)


def read_sequence(folder: Path) -> Sequence:
    """List the files of a sequence."""
    frames = {
        index: {int(number): path for number, path in files.items()}
        for index, files in group_files(folder / "GS", GS_FILE).items()
    }
    return Sequence(folder, group_files(folder / "RS", RS_FILE), frames)


def sequence_problems(sequence: Sequence, *, quick: bool = False) -> Iterator[str]:
    """What is wrong with a sequence, a line each; `quick` does not read its images."""
    folder, views, frames = sequence
    rs, gs = folder / "RS", folder / "GS"
    if not views:
        yield f"{rs}: no captures; expected 00000000_rs_t2b.png and so on"
        return
    missing = sorted(set(range(min(views), max(views) + 1)) - set(views))
    if missing:
        yield f"{rs}: capture {missing[0]:08d} is missing: pairs do not follow each other"
    for index, files in sorted(views.items()):
        for direction in ("t2b", "b2t"):
            if direction not in files:
                yield f"{rs}/{index:08d}_rs_{direction}.png is missing"
        numbers = frames.get(index, {})
        if frames and not numbers:
            yield f"{gs}: no true frames of capture {index:08d}"
        for number in sorted(set(range(max(numbers, default=-1) + 1)) - set(numbers)):
            yield f"{gs}/{index:08d}_gs_{number:03d}.png is missing"
    for index in sorted(set(frames) - set(views)):
        yield f"{gs}: true frames of capture {index:08d}, which is not in RS"
    if not quick:
        yield from _image_problems(sequence)


def _image_problems(sequence: Sequence) -> Iterator[str]:
    expected = None
    files = [path for _, group in sorted(sequence.views.items()) for path in group.values()]
    files += [path for _, group in sorted(sequence.frames.items()) for path in group.values()]
    for path in files:
        try:
            height, width = read_image(path).shape[-2:]
        except InputError as error:
            yield str(error)
            continue
        expected = expected or (width, height)
        if (width, height) != expected:
            yield f"{path}: expected {expected[0]}x{expected[1]} pixels, got {width}x{height}"


if __name__ == "__main__":
    run(main)
