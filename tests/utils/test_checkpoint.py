"""Weights and training checkpoints: exact, strict, atomic, and never executed."""

import json
import os
import pickle
import random
import re
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from models.architecture import Architecture
from models.generator import Generator
from models.weight_files import read_state
from utils.checkpoint import (
    TrainingState,
    latest,
    load_generator,
    load_training,
    prune,
    save_training,
    save_weights,
    write_state,
)
from utils.errors import InputError

REFERENCES = Path(__file__).parents[1] / "references"


@pytest.fixture
def generator() -> Generator:
    torch.manual_seed(3)
    return Generator(3, 16, 0.0834, channels="rgb")


def state(generator: Generator, step: int = 7) -> TrainingState:
    return TrainingState(
        step=step,
        architecture=vars(Architecture.of(generator)),
        network=generator.state_dict(),
        teacher=None,
        optimizer={"state": {0: {"step": torch.tensor(1.0)}}, "param_groups": [{"lr": 0.1}]},
        progress={"step": step, "best": None},
        random=[{"torch": torch.get_rng_state(), "python": (3, [1, 2], None)}],
        options={"task": "a", "netG": {"width": 0.5}},
        versions={"torch": "2"},
    )


def same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


@pytest.mark.parametrize("channels", ["rgb", "bgr"])
def test_our_weights_come_back_exactly(tmp_path: Path, channels) -> None:
    saved = Generator(3, 16, 0.0834, channels=channels)
    save_weights(tmp_path / "g.safetensors", saved)
    loaded = load_generator(tmp_path / "g.safetensors")
    assert Architecture.of(loaded) == Architecture.of(saved)
    assert loaded.channels == channels
    assert not loaded.training
    assert same(loaded.state_dict(), saved.state_dict())


def test_half_precision_files_are_half_the_size(tmp_path: Path, generator: Generator) -> None:
    save_weights(tmp_path / "full.safetensors", generator)
    save_weights(tmp_path / "half.safetensors", generator, half=True)
    sizes = [(tmp_path / f"{name}.safetensors").stat().st_size for name in ("full", "half")]
    assert sizes[1] < 0.6 * sizes[0]
    loaded = load_generator(tmp_path / "half.safetensors")
    for name, weight in loaded.state_dict().items():
        assert weight.dtype == torch.float32
        assert torch.equal(weight, generator.state_dict()[name].half().float())


@pytest.mark.parametrize("nested", [None, "params", "state_dict", "netG"])
@pytest.mark.parametrize("prefix", ["", "module."])
def test_released_style_files(tmp_path: Path, generator: Generator, nested, prefix: str) -> None:
    weights = {prefix + name: value for name, value in generator.state_dict().items()}
    torch.save(weights if nested is None else {nested: weights}, tmp_path / "205000_G.pth")
    loaded = load_generator(tmp_path / "205000_G.pth")
    assert loaded.channels == "bgr"
    assert same(loaded.state_dict(), generator.state_dict())


def test_released_size_is_read_off_the_shapes(tmp_path: Path) -> None:
    shapes = json.loads((REFERENCES / "generator_state.json").read_text())["state"]
    state = {name: torch.zeros(()).expand(shape) for name, shape in shapes.items()}
    torch.save(state, tmp_path / "g.pth")
    loaded = load_generator(tmp_path / "g.pth")
    assert Architecture.of(loaded) == Architecture(32, 1.0, 3, "bgr")


@pytest.mark.parametrize(("n_feats", "width"), [(32, 0.5), (32, 0.25), (16, 1.0), (48, 0.5)])
def test_other_sizes_are_read_off_the_shapes(tmp_path: Path, n_feats: int, width: float) -> None:
    save_file(Generator(3, n_feats, width).state_dict(), tmp_path / "g.safetensors")
    loaded = load_generator(tmp_path / "g.safetensors")
    assert (loaded.n_feats, loaded.width) == (n_feats, width)


@pytest.mark.parametrize("name", ["width", "n_feats", "num_frames"])
@pytest.mark.parametrize(
    "value", ["nan", "inf", "0", "-1", "1e308", "1" + 40 * "0", 5000 * "9", ""]
)
def test_stated_sizes_have_limits(tmp_path: Path, name: str, value: str) -> None:
    path = tmp_path / "g.safetensors"
    stated = {"n_feats": "32", "width": "1", "num_frames": "3", "channels": "rgb", name: value}
    save_file({"a": torch.zeros(1)}, path, stated)
    with pytest.raises(InputError, match="damaged description of its network: ") as caught:
        load_generator(path)
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize("net_type", ["generator", "refiner"])
def test_a_small_file_does_not_take_the_memory_of_the_network_it_states(
    tmp_path: Path, net_type: str
) -> None:
    path = tmp_path / "g.safetensors"
    sizes = {"n_feats": "1024", "width": "8", "num_frames": "3"}  # 100 GB and more
    save_file({"a": torch.zeros(1)}, path, {**sizes, "channels": "rgb", "net_type": net_type})
    with pytest.raises(InputError, match=r"not weights of this \w+: \d+ missing"):
        load_generator(path)


@pytest.mark.parametrize("shape", [(0, 12, 3, 3), (192, 0, 3, 3), (0, 0, 0, 0), (2000, 12, 3, 3)])
def test_odd_shapes_name_no_network(tmp_path: Path, shape: tuple[int, ...]) -> None:
    first, context = "flow_net.block0.conv0.0.0.weight", "ife_net.conv0.conv1.0.weight"
    state = {
        first: torch.zeros(shape),
        context: torch.zeros(32, 3, 3, 3),
        "flow_net.conv0.0.weight": torch.zeros(12, 64, 3, 3),
    }
    save_file(state, tmp_path / "g.safetensors")
    with pytest.raises(InputError, match="not weights of this|damaged description of its network"):
        load_generator(tmp_path / "g.safetensors")


def test_every_flipped_bit_of_weights_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    state = {"a": torch.rand(3, 4), "b": torch.rand(5)}
    write_state(path, state, {"kind": "test"}, half=False)
    assert same(read_state(path), state)
    content = bytearray(path.read_bytes())
    begin = 8 + int.from_bytes(content[:8], "little")
    for bit in range(8 * begin, 8 * len(content)):
        damaged = bytearray(content)
        damaged[bit // 8] ^= 1 << bit % 8
        path.write_bytes(damaged)
        with pytest.raises(InputError, match="damaged: its checksum differs; copy it again"):
            read_state(path)


def test_metadata_is_part_of_the_checksum(tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    write_state(path, {"a": torch.ones(2)}, {"width": "0.5"}, half=True)
    path.write_bytes(path.read_bytes().replace(b"0.5", b"0.7"))
    with pytest.raises(InputError, match="its checksum differs"):
        read_state(path)


def test_training_checkpoints_serve_as_weights(tmp_path: Path) -> None:
    trained = Generator(3, 16, 0.1, channels="bgr")
    path = save_training(tmp_path, state(trained))
    loaded = load_generator(path)
    assert Architecture.of(loaded) == Architecture.of(trained)
    assert same(loaded.state_dict(), trained.state_dict())


def test_training_checkpoints_come_back_exactly(tmp_path: Path, generator: Generator) -> None:
    written = state(generator)
    path = save_training(tmp_path, written)
    assert path.name == "step_00000007.pt"
    read = load_training(path)
    assert same(read.network, written.network)
    assert read.optimizer == written.optimizer
    assert torch.equal(read.random[0]["torch"], written.random[0]["torch"])
    for name in ("step", "architecture", "teacher", "progress", "options", "versions"):
        assert getattr(read, name) == getattr(written, name)


def test_latest_goes_by_number_and_prune_keeps_the_newest(tmp_path: Path) -> None:
    assert latest(tmp_path) is None
    for name in ("step_00000002.pt", "step_00000010.pt", "step_100000000.pt", "step_x.pt"):
        (tmp_path / name).touch()
    (tmp_path / "best.safetensors").touch()
    assert latest(tmp_path) == tmp_path / "step_100000000.pt"
    prune(tmp_path, 2)
    kept = {path.name for path in tmp_path.iterdir()}
    assert kept == {"step_00000010.pt", "step_100000000.pt", "step_x.pt", "best.safetensors"}


def test_a_full_disk_leaves_the_earlier_file_alone(
    tmp_path: Path, generator: Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = save_training(tmp_path, state(generator))
    before = path.read_bytes()

    def write(file: Path, data: bytes) -> None:
        file.touch()
        with Path("/dev/full").open("wb", buffering=0) as full:
            full.write(data)

    monkeypatch.setattr(Path, "write_bytes", write)
    with pytest.raises(InputError, match=f"{tmp_path}: cannot write there: No space left"):
        save_training(tmp_path, state(generator))
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_a_missing_folder(tmp_path: Path, generator: Generator) -> None:
    with pytest.raises(InputError, match="cannot write there: No such file or directory"):
        save_weights(tmp_path / "none" / "g.safetensors", generator)


def test_wrong_types_in_a_checkpoint_are_refused(tmp_path: Path, generator: Generator) -> None:
    content = torch.load(save_training(tmp_path, state(generator)), weights_only=True)
    content["generator"] = {"a": torch.ones(1)}
    path = tmp_path / "damaged.pt"
    for field in content:
        for value in (3.5, "text", -1, torch.ones(3), [torch.ones(1)] if field != "random" else {}):
            torch.save({**content, field: value}, path)
            with pytest.raises(InputError) as caught:
                load_training(path)
            assert str(caught.value).startswith(f"{path}: ")
            assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize("load", [load_generator, load_training])
def test_missing_file(tmp_path: Path, load) -> None:
    with pytest.raises(InputError, match=r"none\.pt: expected a weight file, got no such file"):
        load(tmp_path / "none.pt")


@pytest.mark.parametrize("fraction", [0.0, 0.3, 0.999])
def test_truncated_files(tmp_path: Path, generator: Generator, fraction: float) -> None:
    save_weights(tmp_path / "g.safetensors", generator)
    save_training(tmp_path, state(generator)).rename(tmp_path / "g.pt")
    for name in ("g.safetensors", "g.pt"):
        path = tmp_path / name
        path.write_bytes(path.read_bytes()[: int(fraction * path.stat().st_size)])
        with pytest.raises(InputError, match="truncated or not a weight file"):
            load_generator(path)
    with pytest.raises(InputError, match="truncated or not a weight file"):
        load_training(tmp_path / "g.pt")


def test_flipped_bits_are_never_read_as_another_state(tmp_path: Path, generator: Generator) -> None:
    written = state(generator)
    path = save_training(tmp_path, written)
    sound, draw = path.read_bytes(), random.Random(4)
    refused = 0
    for _ in range(30):
        damaged = bytearray(sound)
        damaged[draw.randrange(len(sound))] ^= 1 << draw.randrange(8)
        path.write_bytes(damaged)
        try:
            read = load_training(path)
        except InputError as error:
            refused += 1
            assert re.search("damaged: |truncated or not|could execute code", str(error))
        else:  # a bit of the padding between parts
            assert same(read.network, written.network)
            assert (read.step, read.optimizer) == (written.step, written.optimizer)
    assert refused > 25


class Malicious:
    """Runs code when it is unpickled."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self):
        return os.mkdir, (str(self.trace),)


@pytest.mark.parametrize("load", [load_generator, load_training])
@pytest.mark.parametrize(
    "write", [torch.save, lambda obj, path: path.write_bytes(pickle.dumps(obj))]
)
def test_files_that_would_execute_code_are_refused(tmp_path: Path, load, write) -> None:
    trace, path = tmp_path / "executed", tmp_path / "evil.pt"
    write({"generator": Malicious(trace), "kind": "dual-reversed-rs training"}, path)
    with pytest.raises(InputError, match="refused: loading it could execute code"):
        load(path)
    assert not trace.exists()


def test_other_networks_are_refused(tmp_path: Path) -> None:
    torch.save({"features.0.weight": torch.zeros(64, 3, 3, 3)}, tmp_path / "vgg.pth")
    with pytest.raises(InputError, match=r"not a generator .* got features.0.weight"):
        load_generator(tmp_path / "vgg.pth")


def test_missing_and_unexpected_names_are_listed(tmp_path: Path, generator: Generator) -> None:
    weights = generator.state_dict()
    weights["extra.bias"] = weights.pop("ife_net.up0.0.bias")
    torch.save(weights, tmp_path / "g.pth")
    with pytest.raises(InputError) as caught:
        load_generator(tmp_path / "g.pth")
    assert "1 missing (ife_net.up0.0.bias)" in str(caught.value)
    assert "1 unexpected (extra.bias)" in str(caught.value)


def test_stated_and_actual_width_must_agree(tmp_path: Path, generator: Generator) -> None:
    save_weights(tmp_path / "g.safetensors", generator)
    tensors = load_file(tmp_path / "g.safetensors")
    stated = {"n_feats": "16", "width": "0.5", "num_frames": "3", "channels": "rgb"}
    save_file(tensors, tmp_path / "g.safetensors", stated)
    with pytest.raises(InputError, match="of another shape"):
        load_generator(tmp_path / "g.safetensors")


@pytest.mark.parametrize("wrong", [{"width": "wide"}, {"channels": "cmyk"}, {"width": None}])
def test_damaged_description(tmp_path: Path, generator: Generator, wrong) -> None:
    stated = {"n_feats": "16", "width": "0.5", "num_frames": "3", "channels": "rgb"} | wrong
    stated = {name: value for name, value in stated.items() if value is not None}
    save_file(generator.state_dict(), tmp_path / "g.safetensors", stated)
    with pytest.raises(InputError, match="damaged description of its network"):
        load_generator(tmp_path / "g.safetensors")


def test_weights_are_no_training_checkpoint(tmp_path: Path, generator: Generator) -> None:
    torch.save(generator.state_dict(), tmp_path / "g.pth")
    with pytest.raises(InputError, match="expected a training checkpoint .* got a file of weights"):
        load_training(tmp_path / "g.pth")


def test_safetensors_are_no_training_checkpoint(tmp_path: Path, generator: Generator) -> None:
    save_weights(tmp_path / "g.safetensors", generator)
    with pytest.raises(InputError, match="expected a training checkpoint .* got a file of weights"):
        load_training(tmp_path / "g.safetensors")


def test_equal_weights_make_equal_files(tmp_path: Path, generator: Generator) -> None:
    for number in range(8):  # the library's order of the metadata changes from call to call
        save_weights(tmp_path / f"{number}.safetensors", generator)
    contents = {path.read_bytes() for path in tmp_path.iterdir()}
    assert len(contents) == 1
    (content,) = contents
    length = int.from_bytes(content[:8], "little")
    assert length % 8 == 0
    assert list(json.loads(content[8 : 8 + length])["__metadata__"]) == [
        *("channels", "format", "kind", "n_feats", "net_type", "num_frames", "sha256", "width")
    ]


def test_metadata_is_readable_without_our_code(tmp_path: Path, generator: Generator) -> None:
    path = tmp_path / "g.safetensors"
    save_weights(path, generator)
    content = path.read_bytes()
    header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    assert re.fullmatch("[0-9a-f]{64}", header["__metadata__"].pop("sha256"))
    assert header["__metadata__"] == {
        "kind": "generator",
        "format": "1",
        "n_feats": "16",
        "width": "0.0834",
        "num_frames": "3",
        "channels": "rgb",
        "net_type": "generator",
    }
