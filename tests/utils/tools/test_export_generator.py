"""Exported programs: their errors, their inputs, and that they give PyTorch's frames."""

import errno
import json
import os
import resource
import sys
import tempfile
import zipfile
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch

from data.time_maps import offset_maps, scan_time
from models.generator import Generator
from models.ifed import IFED
from models.plusplus.network import SelfDRSCPlusPlus
from utils.checkpoint import save_weights
from utils.errors import InputError
from utils.tools import export_generator
from utils.tools.export_generator import (
    INTERFACE_FILE,
    TOLERANCE,
    DeployedGenerator,
    Size,
    check_output,
    describe,
    example_inputs,
    export,
    load_exportable,
    main,
    parse_size,
    trace,
)

BUNDLED = Path("pretrained/drsc_light_generator.safetensors")
NAMES = ("t2b", "b2t", "scan_time", "instants")

needs_onnx = pytest.mark.skipif(
    any(find_spec(name) is None for name in ("onnx", "onnxscript", "onnxruntime")),
    reason="needs the packages of requirements-export.txt",
)


@pytest.fixture(scope="module")
def tiny() -> Generator:
    torch.manual_seed(0)
    return Generator(num_frames=1, n_feats=8, width=0.05, channels="bgr").eval()


def open_onnx(path: Path) -> Callable[..., torch.Tensor]:
    onnxruntime = pytest.importorskip("onnxruntime")
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])

    def call(*inputs: torch.Tensor) -> torch.Tensor:
        named = {name: value.numpy() for name, value in zip(NAMES, inputs, strict=True)}
        return torch.from_numpy(session.run(["frames"], named)[0])

    return call


def test_sizes() -> None:
    assert parse_size("544x960") == Size(rows=544, columns=960)
    assert parse_size("dynamic") is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("540x960", "--size: expected multiples of 32, got 540x960; take 544x960 and pad"),
        ("0x64", "expected multiples of 32, got 0x64; take 32x64"),
        ("large", "--size: expected ROWSxCOLUMNS such as 544x960, or dynamic, got 'large'"),
    ],
)
def test_impossible_sizes(text: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        parse_size(text)


def test_outputs_that_cannot_be(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match=r"expected a name ending in \.pt2 .*, got '\.onnx'"):
        check_output(tmp_path / "a.onnx", "torch_export")
    with pytest.raises(InputError, match="no such folder"):
        check_output(tmp_path / "missing" / "a.pt2", "torch_export")
    monkeypatch.setattr(export_generator, "find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"onnx, .* pip install -r requirements-export\.txt"):
        check_output(tmp_path / "a.onnx", "onnx")
    check_output(tmp_path / "a.pt2", "torch_export")


def test_refiners_are_refused() -> None:
    with pytest.raises(InputError, match="classical means outside any graph; export .*_generator"):
        load_exportable("pretrained/drsc_light.safetensors")


def test_other_weights_are_refused() -> None:
    with pytest.raises(InputError, match="not a generator of this method"):
        load_exportable("pretrained/pwcnet.safetensors")


def test_deployed_generator_computes_the_offsets() -> None:
    torch.manual_seed(0)
    generator = Generator(n_feats=8, width=0.05).eval()
    t2b, b2t, scan, instants = example_inputs(3, 64, 96)
    offsets = offset_maps(scan[None], instants[None]).expand(-1, -1, -1, 96)
    with torch.inference_mode():
        expected = generator(torch.stack((t2b, b2t), dim=1), offsets).frames[0]
        frames = DeployedGenerator(generator)(t2b, b2t, scan, instants)
    assert frames.shape == (3, 3, 64, 96)
    torch.testing.assert_close(frames, expected, atol=1e-6, rtol=0)


def test_interface() -> None:
    fixed = describe(Generator(n_feats=8, width=0.05), Size(64, 96))
    assert fixed["t2b"].startswith("(1, 3, 64, 96) float32 RGB in [0, 1]")
    assert fixed["scan_time"].startswith("(64,)")
    assert fixed["frames"].startswith("(3, 3, 64, 96)")
    anything = describe(Generator(num_frames=1, n_feats=8, width=0.05), None)
    assert anything["t2b"].endswith("H, W multiples of 32 from 64 on")
    assert anything["instants"] == "(1,) float32 in [0, 1]"
    ifed = describe(IFED(num_frames=3, n_feats=8, width=0.05), None)
    assert ifed["instants"] == "(3,) float32: 0, 0.5, 1; no others were learned"
    assert ifed["scan_time"].endswith("of t2b, its last value repeated over the padding")


def test_a_program_that_differs_is_not_left_behind(
    tiny: Generator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    frames = DeployedGenerator(tiny)(*example_inputs(1, 64, 64)).detach()
    monkeypatch.setattr(export_generator, "trace", lambda deployed, size: None)
    monkeypatch.setattr(
        export_generator, "_save_torch", lambda program, path, interface: path.write_bytes(b"x")
    )
    monkeypatch.setattr(
        export_generator, "_load_torch", lambda path: lambda *inputs: frames + 2 * TOLERANCE
    )
    target = tmp_path / "a.pt2"
    target.write_text("earlier")
    with pytest.raises(InputError, match=r"not written: its frames differ .* by 2\.0e-03"):
        export(tiny, target, Size(64, 64), file_format="torch_export")
    assert [path.name for path in tmp_path.iterdir()] == ["a.pt2"]
    assert target.read_text() == "earlier"


@pytest.mark.slow
def test_fixed_size_as_torch_export(
    tiny: Generator,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    weights, target = tmp_path / "tiny.safetensors", tmp_path / "tiny.pt2"
    save_weights(weights, tiny)
    loaded, load = [], torch.export.load
    monkeypatch.setattr(torch.export, "load", lambda path: loaded.append(load(path)) or loaded[-1])
    words = [str(weights), str(target), "--size", "64x96", "--format", "torch_export"]
    monkeypatch.setattr(sys, "argv", ["export_generator", *words])
    main()
    last = capsys.readouterr().out.strip().splitlines()[-1]
    assert last.startswith(f"{target}: t2b: (1, 3, 64, 96) float32 RGB")
    t2b, b2t, scan, _ = example_inputs(1, 64, 96)
    inputs = (b2t, t2b, scan_time(60, rows=64), torch.tensor([0.9]))
    with torch.inference_mode():
        expected = DeployedGenerator(tiny)(*inputs)
    (program,) = loaded  # of the file, as the exporter read it to check it
    torch.testing.assert_close(program.module()(*inputs), expected, atol=1e-5, rtol=0)
    with zipfile.ZipFile(target) as archive:
        (interface,) = (name for name in archive.namelist() if name.endswith(INTERFACE_FILE))
        assert json.loads(archive.read(interface)) == describe(tiny, Size(64, 96))


@pytest.mark.slow
@pytest.mark.timeout(600)
@needs_onnx
def test_any_size(tiny: Generator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    traced = trace(DeployedGenerator(tiny).requires_grad_(requires_grad=False), None)
    monkeypatch.setattr(export_generator, "trace", lambda deployed, size: traced)
    export(tiny, tmp_path / "tiny.onnx", None)
    programs = (traced.module(), open_onnx(tmp_path / "tiny.onnx"))
    for rows, columns in ((64, 64), (96, 128), (64, 224)):
        inputs = example_inputs(1, rows, columns)
        with torch.inference_mode():
            expected = DeployedGenerator(tiny)(*inputs)
        for program in programs:
            torch.testing.assert_close(program(*inputs), expected, atol=TOLERANCE, rtol=0)


@pytest.mark.slow
@pytest.mark.timeout(600)
@needs_onnx
def test_bundled_weights_as_onnx(tmp_path: Path) -> None:
    import onnx

    target, size = tmp_path / "bundled.onnx", Size(96, 128)
    generator = load_exportable(BUNDLED)
    assert export(generator, target, size) <= TOLERANCE
    t2b, b2t, scan, _ = example_inputs(3, *size)
    inputs = (b2t, t2b, scan, torch.tensor([0.0, 0.3, 1.0]))
    with torch.inference_mode():
        expected = DeployedGenerator(generator)(*inputs)
    frames = open_onnx(target)(*inputs)
    np.testing.assert_allclose(frames.numpy(), expected.numpy(), atol=TOLERANCE, rtol=0)
    stated = {entry.key: entry.value for entry in onnx.load(target).metadata_props}
    assert stated.items() >= describe(generator, size).items()


def test_a_full_disk_leaves_nothing_and_does_not_abort(
    tmp_path: Path, tiny: Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = torch.export.export(torch.nn.Linear(64, 64), (torch.ones(1, 64),))
    monkeypatch.setattr(export_generator, "trace", lambda *_: program)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, limits[1]))
    try:
        with pytest.raises(InputError, match="cannot write there: File too large; free space"):
            export(tiny, tmp_path / "g.pt2", Size(32, 32), file_format="torch_export")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_written_is_refused_before_any_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(**_: object) -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr(tempfile, "TemporaryFile", refuse)
    with pytest.raises(InputError, match=f"{tmp_path}: cannot write there: Permission denied"):
        check_output(tmp_path / "g.pt2", "torch_export")


@pytest.mark.slow
def test_selfdrsc_plusplus_at_a_fixed_size(tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = SelfDRSCPlusPlus(num_frames=2, n_feats=8, width=0.5).eval()
    target = tmp_path / "plusplus.pt2"
    assert export(network, target, Size(128, 160), file_format="torch_export") <= TOLERANCE
    assert describe(network, None)["t2b"].endswith("multiples of 32 from 128 on")


@pytest.mark.slow
@pytest.mark.timeout(600)
@needs_onnx
@pytest.mark.parametrize("size", [None, Size(64, 96)])
def test_selfdrsc_plusplus_as_onnx(tmp_path: Path, size: Size | None) -> None:
    torch.manual_seed(0)
    network = SelfDRSCPlusPlus(n_feats=8, width=0.5, channels="bgr").eval()
    target = tmp_path / "plusplus.onnx"
    assert export(network, target, size) <= TOLERANCE
    inputs = example_inputs(3, *(size or (160, 288)))
    with torch.inference_mode():
        expected = DeployedGenerator(network)(*inputs)
    torch.testing.assert_close(open_onnx(target)(*inputs), expected, atol=TOLERANCE, rtol=0)
