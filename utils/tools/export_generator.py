"""Export a generator, or SelfDRSC++, for deployment.

`python -m utils.tools.export_generator WEIGHTS OUT`

The exported program takes a capture and instants and returns frames, all RGB. It does not need this
code, and as ONNX not even PyTorch. `describe` documents its inputs and output; an ONNX file carries
the same text as metadata, a `torch.export` file as the extra file `interface.json`.
"""

import argparse
import io
import json
import re
import sys
import warnings
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram

from data.files.folders import prepare_output_folder, replacing
from data.time_maps import scan_time as scan_of_rows
from models.architecture import load_network
from models.parts.network import CorrectionNetwork
from models.parts.padding import round_up
from models.parts.settings import SIZE_MULTIPLE, list_instants
from utils.errors import InputError
from utils.options.command_line import run
from utils.system.console import progress_bar

Format = Literal["onnx", "torch_export"]

SUFFIXES: dict[Format, str] = {"onnx": ".onnx", "torch_export": ".pt2"}
INTERFACE_FILE = "interface.json"
TOLERANCE = 1e-3

_INPUTS = ("t2b", "b2t", "scan_time", "instants")
_TRACED_SIZE, _CHECKED_SIZE = (96, 128), (160, 96)  # of a program for any size
_PACKAGES = ("onnx", "onnxscript", "onnxruntime")


class Size(NamedTuple):
    """Rows and columns of the images."""

    rows: int
    columns: int


class DeployedGenerator(nn.Module):
    """A generator with the interface of the exported program."""

    def __init__(self, generator: CorrectionNetwork) -> None:
        """Wrap a generator."""
        super().__init__()
        self.generator = generator

    def forward(self, t2b: Tensor, b2t: Tensor, scan_time: Tensor, instants: Tensor) -> Tensor:
        """Frames (T, 3, H, W) RGB in [0, 1] of one capture.

        Args:
            t2b: (1, 3, H, W) RGB in [0, 1]; H and W multiples of 32.
            b2t: the other view, in the same form.
            scan_time: (H,) exposure time of each t2b row.
            instants: (T,) in [0, 1], as many as the generator makes frames.
        """
        # Not `data.time_maps.offset_maps`: its check of the instants cannot be exported.
        scans = torch.stack((scan_time, 1 - scan_time))
        rows = (scans[:, None] - instants[:, None]).flatten(0, 1)
        offsets = rows[None, :, :, None].expand(-1, -1, -1, t2b.shape[-1]).contiguous()
        frames: Tensor = self.generator(torch.stack((t2b, b2t), dim=1), offsets).frames[0]
        return frames


def main() -> None:
    """Read the command line, export, print how to use the file."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0], allow_abbrev=False)
    parser.add_argument(
        "weights", type=Path, metavar="WEIGHTS", help="of a generator or SelfDRSC++"
    )
    parser.add_argument("output", type=Path, metavar="OUT", help="NAME.onnx or NAME.pt2")
    parser.add_argument(
        "--size",
        metavar="ROWSxCOLUMNS|dynamic",
        default="dynamic",
        help="of the images, multiples of 32; dynamic (default): any size, takes minutes to export",
    )
    parser.add_argument("--format", choices=SUFFIXES, default="onnx", help="default: %(default)s")
    arguments = parser.parse_args()
    size = parse_size(arguments.size)
    check_output(arguments.output, arguments.format)
    generator = load_exportable(arguments.weights)
    difference = export(generator, arguments.output, size, file_format=arguments.format)
    usage = "; ".join(f"{name}: {text}" for name, text in describe(generator, size).items())
    checked = f"largest difference from PyTorch {difference:.1e}"
    sys.stdout.write(f"{arguments.output}: {usage}; {checked}\n")


def parse_size(text: str) -> Size | None:
    """Parse "ROWSxCOLUMNS"; "dynamic" gives None.

    Raises:
        InputError: the text is neither, or a side is not a positive multiple of 32.
    """
    if text == "dynamic":
        return None
    match = re.fullmatch(r"(\d+)x(\d+)", text)
    if match is None:
        raise InputError(f"--size: expected ROWSxCOLUMNS such as 544x960, or dynamic, got '{text}'")
    size = Size(int(match[1]), int(match[2]))
    if any(side % SIZE_MULTIPLE or not side for side in size):
        rows, columns = (round_up(max(1, side), SIZE_MULTIPLE) for side in size)
        raise InputError(
            f"--size: expected multiples of {SIZE_MULTIPLE}, got {text}; take {rows}x{columns} and "
            "pad the images to it"
        )
    return size


def check_output(path: Path, file_format: Format) -> None:
    """Check the output path and the installed packages before any work.

    Raises:
        InputError: the suffix does not fit the format, the folder does not exist or cannot be
            written, or packages are missing.
    """
    suffix = SUFFIXES[file_format]
    if path.suffix != suffix:
        raise InputError(
            f"{path}: expected a name ending in {suffix} for --format {file_format}, got "
            f"'{path.suffix}'"
        )
    if not path.parent.is_dir():
        raise InputError(f"{path.parent}: no such folder; make it first")
    prepare_output_folder(path.parent)
    missing = [name for name in _PACKAGES if find_spec(name) is None]
    if file_format == "onnx" and missing:
        raise InputError(
            f"{', '.join(missing)} missing: pip install -r requirements-export.txt; "
            "--format torch_export needs nothing more"
        )


def load_exportable(path: str | Path) -> CorrectionNetwork:
    """Load the weight file of a generator or of SelfDRSC++.

    Raises:
        InputError: `load_network` refuses the file, or it holds a refiner.
    """
    corrector = load_network(path)
    if corrector.needs_cues:
        raise InputError(
            f"{path}: a refiner cannot be exported: it estimates motion by classical means outside "
            "any graph; export a generator such as pretrained/drsc_light_generator.safetensors"
        )
    return corrector


def export(
    generator: CorrectionNetwork, path: Path, size: Size | None, *, file_format: Format = "onnx"
) -> float:
    """Export a generator, and check the written program's frames against PyTorch's.

    Args:
        generator: in evaluation mode, on the CPU.
        path: the file to write, replaced atomically after the check; see `check_output`.
        size: of the images; None: any multiples of 32 from `smallest_exported` on.
        file_format: of the file.

    Returns:
        The largest difference of the frames.

    Raises:
        InputError: the frames differ by more than 0.001, or the file cannot be written.
    """
    deployed = DeployedGenerator(generator).requires_grad_(requires_grad=False)
    interface = describe(generator, size)
    save, load = (_save_onnx, _load_onnx) if file_format == "onnx" else (_save_torch, _load_torch)
    inputs = example_inputs(generator.num_frames, *(size or _enlarged(_CHECKED_SIZE, generator)))
    # To trace, to write and to check.
    with progress_bar(total=3, desc=path.name, unit="step") as bar, replacing(path) as temporary:
        program = trace(deployed, size)
        bar.update()
        save(program, temporary, interface)
        bar.update()
        difference = float((load(temporary)(*inputs) - deployed(*inputs)).abs().max())
        if not difference <= TOLERANCE:
            raise InputError(
                f"{path}: not written: its frames differ from PyTorch's by {difference:.1e}, "
                f"expected at most {TOLERANCE}; try a fixed --size"
            )
        bar.update()
    return difference


def trace(deployed: DeployedGenerator, size: Size | None) -> ExportedProgram:
    """Trace a deployed generator for one image size, or with None for any."""
    network = deployed.generator
    inputs = example_inputs(network.num_frames, *(size or _enlarged(_TRACED_SIZE, network)))
    shapes = None
    if size is None:
        # A side of 1 at the coarsest level would be exported as a constant.
        least = network.smallest_exported // SIZE_MULTIPLE
        rows, columns = (SIZE_MULTIPLE * Dim(name, min=least) for name in ("rows", "columns"))
        image = {2: rows, 3: columns}
        shapes = {"t2b": image, "b2t": image, "scan_time": {0: rows}, "instants": None}
    return torch.export.export(deployed, inputs, dynamic_shapes=shapes, strict=False)


def describe(generator: CorrectionNetwork, size: Size | None) -> dict[str, str]:
    """Inputs and output of an exported program, by name."""
    height, width = size or ("H", "W")
    least = generator.smallest_exported
    multiples = "" if size else f"; H, W multiples of {SIZE_MULTIPLE} from {least} on"
    image = f"(1, 3, {height}, {width}) float32 RGB in [0, 1]"
    count, fixed = generator.num_frames, generator.instants
    instants = f"({count},) float32 in [0, 1]" + (", such as 0, t, 1" if count == 3 else "")
    below = "continued past 1"
    if fixed is not None:
        instants = f"({count},) float32: {list_instants(fixed)}; no others were learned"
        below = "its last value repeated"
    return {
        "t2b": f"{image}, padded right and bottom by repeating the last column and row{multiples}",
        "b2t": "the same of the view read bottom to top, stored upright",
        "scan_time": f"({height},) float32, row / (rows without padding - 1) of t2b, "
        f"{below} over the padding",
        "instants": instants,
        "frames": f"({count}, 3, {height}, {width}) float32 RGB in [0, 1], cut the padding off",
    }


def example_inputs(num_frames: int, rows: int, columns: int) -> tuple[Tensor, ...]:
    """Inputs of an exported program: a smooth random image, and the same shifted by 3 px."""
    noise = torch.rand(1, 3, rows // 16, columns // 16, generator=torch.Generator().manual_seed(0))
    t2b = F.interpolate(noise, size=(rows, columns), mode="bilinear")
    instants = torch.linspace(0, 1, num_frames + 2)[1:-1]
    return t2b, t2b.roll(3, dims=-1), scan_of_rows(rows), instants


def _enlarged(size: tuple[int, int], network: CorrectionNetwork) -> tuple[int, int]:
    """A size for networks that take sides from 64 on, for one that takes only larger ones."""
    more = network.smallest_exported - CorrectionNetwork.smallest_exported
    return size[0] + more, size[1] + more


def _save_onnx(program: ExportedProgram, path: Path, interface: dict[str, str]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # from the exporter's own code
        exported = torch.onnx.export(
            program, input_names=_INPUTS, output_names=["frames"], dynamo=True, verbose=False
        )
    assert exported is not None
    exported.model.metadata_props.update(interface)
    path.write_bytes(exported.model_proto.SerializeToString())


def _load_onnx(path: Path) -> Callable[..., Tensor]:
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])

    def call(*inputs: Tensor) -> Tensor:
        named = {name: value.numpy() for name, value in zip(_INPUTS, inputs, strict=True)}
        return torch.from_numpy(session.run(None, named)[0])

    return call


def _save_torch(program: ExportedProgram, path: Path, interface: dict[str, str]) -> None:
    # Into memory first: torch's own writer aborts the process when the disk is full.
    content = io.BytesIO()
    torch.export.save(program, content, extra_files={INTERFACE_FILE: json.dumps(interface)})
    path.write_bytes(content.getbuffer())


def _load_torch(path: Path) -> Callable[..., Tensor]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # from PyTorch's own code
        return torch.export.load(path).module()


if __name__ == "__main__":
    run(main)
