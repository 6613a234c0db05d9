import os
import time
from contextlib import ExitStack

import cv2
import numpy as np
import pytest
import torch

from models.flow import dis
from models.flow.dis import DISFlow, single_threaded_opencv, to_luma


def texture(height, width, *, seed=0):
    """(1, 3, H, W) smooth random colours that fill [0, 1]."""
    noise = np.random.default_rng(seed).random((height, width, 3)).astype(np.float32)
    smooth = cv2.GaussianBlur(noise, (0, 0), 2.5)
    smooth = (smooth - smooth.min()) / (smooth.max() - smooth.min())
    return torch.from_numpy(smooth).permute(2, 0, 1)[None]


def test_finds_the_displacement_from_first_to_second():
    scene = texture(140, 170)
    first = scene[..., 20:120, 20:150]
    second = scene[..., 17:117, 25:155]  # what was at (x, y) is now at (x - 5, y + 3)
    flow = DISFlow()(first, second)
    assert flow.shape == (1, 2, 100, 130)
    inner = flow[0, :, 16:-16, 16:-16]
    torch.testing.assert_close(inner[0], torch.full_like(inner[0], -5), rtol=0, atol=0.3)
    torch.testing.assert_close(inner[1], torch.full_like(inner[1], 3), rtol=0, atol=0.3)


def test_images_of_a_batch_are_independent_and_in_order():
    first = torch.cat([texture(40, 48, seed=seed) for seed in range(5)])
    second = torch.cat([texture(40, 48, seed=seed).roll(seed, dims=-1) for seed in range(5)])
    together = DISFlow()(first, second)
    for item in range(5):
        alone = DISFlow()(first[item, None], second[item, None])
        assert torch.equal(together[item, None], alone)


def test_equal_images_do_not_move():
    image = texture(33, 47)
    flow = DISFlow()(image, image)
    torch.testing.assert_close(flow, torch.zeros(1, 2, 33, 47), rtol=0, atol=1e-3)


@pytest.mark.parametrize(("height", "width"), [(1, 1), (3, 64), (64, 11), (12, 64), (15, 200)])
def test_any_size(height, width):
    noise = torch.rand(2, 3, height, width, generator=torch.Generator().manual_seed(0))
    flow = DISFlow()(noise[:1], noise[1:])
    assert flow.shape == (1, 2, height, width)
    assert flow.isfinite().all()


def test_no_gradient_and_the_type_of_the_images():
    image = texture(32, 32).double().requires_grad_()
    flow = DISFlow()(image, image)
    assert flow.dtype == torch.float64
    assert not flow.requires_grad
    assert not list(DISFlow().parameters())


def test_refuses_images_of_different_shapes():
    with pytest.raises(ValueError, match=r"got \(1, 3, 16, 16\) and \(1, 3, 16, 17\)"):
        DISFlow()(torch.zeros(1, 3, 16, 16), torch.zeros(1, 3, 16, 17))


def test_thread_count_of_opencv_is_left_as_it_was():
    before = cv2.getNumThreads()
    DISFlow()(texture(32, 32), texture(32, 32))
    assert cv2.getNumThreads() == before


def test_opencv_has_one_thread_until_the_last_user_leaves():
    before = cv2.getNumThreads()
    cv2.setNumThreads(3)
    first, second = ExitStack(), ExitStack()  # of two threads, which overlap
    first.enter_context(single_threaded_opencv())
    second.enter_context(single_threaded_opencv())
    first.close()
    assert cv2.getNumThreads() == 1
    second.close()
    assert cv2.getNumThreads() == 3
    cv2.setNumThreads(before)


@pytest.mark.skipif(not os.path.isdir("/proc/self/task"), reason="counts threads as Linux does")
def test_leaves_no_threads_for_forked_workers_to_wait_for():
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)  # ends the threads of earlier tests
    cv2.setNumThreads(4)
    images = torch.rand(2, 3, 256, 256)
    before = set(os.listdir("/proc/self/task"))
    DISFlow()(images, images)
    time.sleep(0.5)  # joined threads leave the list a moment later
    assert set(os.listdir("/proc/self/task")) <= before
    cv2.setNumThreads(threads)


def test_flow_between_equal_images_is_searched_once_in_a_block(monkeypatch):
    views = [to_luma(texture(40, 48, seed=seed)[0].permute(1, 2, 0).numpy()) for seed in (0, 1)]
    expected, searches = dis.search_flow(*views), []
    search = dis._search
    monkeypatch.setattr(dis, "_search", lambda *images: searches.append(1) or search(*images))
    with dis.remembered_flows():
        for _ in range(2):
            assert np.array_equal(dis.search_flow(*(view.copy() for view in views)), expected)
        assert len(searches) == 1
        assert not np.array_equal(dis.search_flow(*views[::-1]), expected)
        assert len(searches) == 2
    dis.search_flow(*views)
    assert len(searches) == 3  # nothing is kept after the block
