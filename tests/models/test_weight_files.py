import io
import os
import pickle
import re
import zipfile
from collections import OrderedDict
from email.message import Message

import pytest
import torch
from safetensors.torch import save_file
from torch import nn
from torchvision.models import VGG19_Weights

from models.weight_files import download_state, load_strictly, read_architecture, read_state
from utils.errors import InputError

STATE = OrderedDict(weight=torch.tensor([[1.0, 2.0]]), bias=torch.tensor([3.0]))


class RunsCode:
    """Unpickled, it would create the file `evidence`."""

    def __init__(self, evidence):
        self.evidence = str(evidence)

    def __reduce__(self):
        return os.mkdir, (self.evidence,)


def assert_is_state(state):
    assert list(state) == ["weight", "bias"]
    assert all(torch.equal(state[name], STATE[name]) for name in STATE)


def refusal(path):
    with pytest.raises(InputError) as caught:
        read_state(path)
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    assert "\n" not in message
    return message.removeprefix(f"{path}: ")


@pytest.mark.parametrize("zipped", [True, False])
def test_reads_both_formats_of_torch(tmp_path, zipped):
    torch.save(STATE, tmp_path / "w.pth", _use_new_zipfile_serialization=zipped)
    assert_is_state(read_state(tmp_path / "w.pth"))


def test_reads_safetensors(tmp_path):
    save_file(dict(STATE), tmp_path / "w.safetensors")
    state = read_state(str(tmp_path / "w.safetensors"))
    assert_is_state({name: state[name] for name in STATE})


@pytest.mark.parametrize("name", ["params", "state_dict", "netG", "net", "model", "generator"])
def test_descends_one_level(tmp_path, name):
    other = {"step": 7, "rng": torch.zeros(3), "optimizer": {"state": {0: torch.ones(1)}}}
    torch.save({**other, name: STATE}, tmp_path / "w.pth")
    assert_is_state(read_state(tmp_path / "w.pth"))


def test_strips_the_prefix_of_data_parallel_training_only_where_all_have_it(tmp_path):
    torch.save({f"module.{name}": value for name, value in STATE.items()}, tmp_path / "w.pth")
    assert_is_state(read_state(tmp_path / "w.pth"))
    torch.save({"module.weight": STATE["weight"], "bias": STATE["bias"]}, tmp_path / "mixed.pth")
    assert list(read_state(tmp_path / "mixed.pth")) == ["module.weight", "bias"]


@pytest.mark.parametrize("suffix", ["pth", "safetensors"])
def test_pipes_and_devices_are_refused(tmp_path, suffix):
    os.mkfifo(tmp_path / f"w.{suffix}")
    assert refusal(tmp_path / f"w.{suffix}").startswith("expected a regular file, got a pipe")
    (tmp_path / f"z.{suffix}").symlink_to("/dev/zero")
    assert refusal(tmp_path / f"z.{suffix}").startswith(
        "expected a regular file, got a socket or a"
    )


def test_archives_that_unpack_to_more_are_refused(tmp_path):
    torch.save({"a": torch.zeros(10**6)}, tmp_path / "w.pth")
    with (
        zipfile.ZipFile(tmp_path / "w.pth") as stored,
        zipfile.ZipFile(tmp_path / "z.pth", "w", zipfile.ZIP_DEFLATED) as deflated,
    ):
        for name in stored.namelist():
            deflated.writestr(name, stored.read(name))
    assert re.match(r"refused: \d+ bytes that unpack to 4\d{6}; ", refusal(tmp_path / "z.pth"))


@pytest.mark.parametrize("zipped", [True, False])
def test_tensors_larger_than_their_file_are_refused(tmp_path, zipped):
    state = {"a": torch.zeros(1).expand(10**5, 10**5)}
    torch.save(state, tmp_path / "w.pth", _use_new_zipfile_serialization=zipped)
    expected = r"refused: \d+ bytes that would become tensors of 40000000000; save them with all"
    assert re.match(expected, refusal(tmp_path / "w.pth"))


@pytest.mark.parametrize(
    ("kind", "tensor"),
    [
        ("sparse", torch.eye(3).to_sparse()),
        ("quantised", torch.quantize_per_tensor(torch.ones(2), 0.1, 0, torch.qint8)),
        ("complex", torch.ones(2, dtype=torch.complex64)),
        ("meta", torch.ones(2, device="meta")),
    ],
)
def test_tensors_of_other_kinds_are_refused(tmp_path, kind, tensor):
    torch.save({"a": tensor}, tmp_path / "w.pth")
    assert refusal(tmp_path / "w.pth") == f"a: expected a plain tensor, got a {kind} one"


def test_missing_file_and_folder(tmp_path):
    assert refusal(tmp_path / "none.pth") == "expected a weight file, got no such file"
    assert refusal(tmp_path) == "expected a weight file, got a folder"


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root reads everything")
def test_unreadable_file(tmp_path):
    torch.save(STATE, tmp_path / "w.pth")
    (tmp_path / "w.pth").chmod(0)
    assert refusal(tmp_path / "w.pth") == "cannot be read: Permission denied"


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
@pytest.mark.parametrize("kept", [0.0, 0.02, 0.5, 0.99])
def test_truncated_files(tmp_path, suffix, kept):
    path = tmp_path / f"w{suffix}"
    state = {"weight": torch.ones(100, 100)}
    save_file(state, path) if suffix == ".safetensors" else torch.save(state, path)
    content = path.read_bytes()
    path.write_bytes(content[: int(kept * len(content))])
    assert refusal(path) == "truncated or not a weight file"


@pytest.mark.parametrize("content", [b"hello", b"<html>not found</html>", b"\x89PNG\r\n\x1a\n"])
@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_files_of_another_kind(tmp_path, content, suffix):
    path = tmp_path / f"w{suffix}"
    path.write_bytes(content)
    assert refusal(path) == "truncated or not a weight file"


@pytest.mark.parametrize("zipped", [True, False])
def test_files_that_run_code_are_refused_and_do_not_run_it(tmp_path, zipped):
    evidence = tmp_path / "evidence"
    content = {"state_dict": STATE, "extra": RunsCode(evidence)}
    torch.save(content, tmp_path / "w.pth", _use_new_zipfile_serialization=zipped)
    message = refusal(tmp_path / "w.pth")
    assert message.startswith("refused: loading it could execute code (posix.mkdir)")
    assert not evidence.exists()


@pytest.mark.parametrize("protocol", [0, 2, 4, 5])
@pytest.mark.filterwarnings("error")
def test_plain_pickles_that_run_code_are_refused(tmp_path, protocol):
    evidence = tmp_path / "evidence"
    (tmp_path / "w.pth").write_bytes(pickle.dumps(RunsCode(evidence), protocol=protocol))
    assert refusal(tmp_path / "w.pth").startswith("refused: loading it could execute code")
    assert not evidence.exists()


def test_a_pickled_module_is_refused(tmp_path):
    torch.save(nn.Linear(1, 1), tmp_path / "w.pth")
    assert "torch.nn.modules.linear.Linear" in refusal(tmp_path / "w.pth")


@pytest.mark.parametrize(
    ("content", "got"),
    [
        ([1, 2], "a list"),
        (torch.ones(2), "a Tensor"),
        ({}, "a dict with nothing"),
        ({"step": 1, "lr": 2.0, "a": 1, "b": 2}, "a dict with step, lr, a, ..."),
        ({0: torch.ones(1)}, "a dict with 0"),
    ],
)
def test_files_without_named_tensors(tmp_path, content, got):
    torch.save(content, tmp_path / "w.pth")
    assert refusal(tmp_path / "w.pth") == f"expected named tensors, got {got}"


def test_loads_strictly_and_converts_types():
    module = nn.Linear(2, 1)
    load_strictly(module, {name: value.half() for name, value in STATE.items()}, "w.pth")
    assert module.weight.dtype == torch.float32
    assert_is_state(module.state_dict())


def test_mismatches_are_counted_and_the_first_few_listed():
    module = nn.Sequential(nn.Linear(2, 1), nn.Linear(1, 2), nn.Linear(2, 1))
    before = {name: value.clone() for name, value in module.state_dict().items()}
    state = {"0.weight": torch.zeros(1, 3), "0.bias": torch.zeros(1), "extra": torch.zeros(1)}
    with pytest.raises(InputError) as caught:
        load_strictly(module, state, "w.pth")
    assert str(caught.value) == (
        "w.pth: not weights of this Sequential: "
        "4 missing (1.weight, 1.bias, 2.weight, ...); 1 unexpected (extra); "
        "1 of another shape (0.weight: expected (1, 2), got (1, 3))"
    )
    assert all(torch.equal(value, before[name]) for name, value in module.state_dict().items())


def test_what_files_say_of_their_network(tmp_path):
    save_file({"a": torch.zeros(1)}, tmp_path / "said.safetensors", {"channels": "bgr"})
    save_file({"a": torch.zeros(1)}, tmp_path / "silent.safetensors")
    torch.save({"architecture": {"width": 0.5}, "net": {"a": torch.zeros(1)}}, tmp_path / "said.pt")
    torch.save({"a": torch.zeros(1)}, tmp_path / "silent.pt")
    assert read_architecture(tmp_path / "said.safetensors") == {"channels": "bgr"}
    assert read_architecture(tmp_path / "said.pt") == {"width": 0.5}
    assert read_architecture(tmp_path / "silent.safetensors") == {}
    assert read_architecture(tmp_path / "silent.pt") == {}


class Answer(io.BytesIO):
    """What a server sends."""

    def info(self):
        return Message()


@pytest.fixture
def hub(monkeypatch, tmp_path):
    """torch's hub folder, and a server that sends what a test puts into the list."""
    sent = []
    monkeypatch.setattr("torch.hub.get_dir", lambda: str(tmp_path))
    monkeypatch.setattr("torch.hub.urlopen", lambda _: sent.pop(0))
    return tmp_path / "checkpoints", sent


WEIGHTS = VGG19_Weights.IMAGENET1K_V1


def test_a_download_with_another_hash_leaves_nothing(hub, capsys):
    folder, sent = hub
    sent.append(Answer(b"something else"))
    with pytest.raises(InputError) as caught:
        download_state(WEIGHTS, name="VGG-19", otherwise=", or give up")
    message = str(caught.value)
    assert message.startswith("VGG-19 weights could not be downloaded (invalid hash value")
    assert f"fetch {WEIGHTS.url} elsewhere and put it at {folder}" in message
    assert message.endswith(".pth, or give up")
    assert not list(folder.iterdir())
    assert capsys.readouterr().out == ""


def test_a_file_in_torch_s_folder_is_read_without_a_network(hub):
    folder, _ = hub
    folder.mkdir()
    path = folder / WEIGHTS.url.rpartition("/")[2]
    torch.save({"a": torch.ones(2)}, path)
    assert download_state(WEIGHTS, name="VGG-19")["a"].tolist() == [1, 1]
    path.write_bytes(b"cut short")
    with pytest.raises(InputError, match="truncated or not a weight file"):
        download_state(WEIGHTS, name="VGG-19")
