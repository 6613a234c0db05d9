import pytest
import torch

from models.parts.padding import pad_to_multiple, round_up, unpad


def test_sizes_are_rounded_up_to_multiples() -> None:
    assert [round_up(size, 32) for size in (1, 32, 161)] == [32, 32, 192]


def test_last_row_and_column_are_repeated():
    image = torch.tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0], [7.0, 8.0, 9.0]])
    expected = [[1, 2, 3, 3], [4, 5, 6, 6], [7, 8, 9, 9], [7, 8, 9, 9]]
    assert pad_to_multiple(image, 2).tolist() == expected


@pytest.mark.parametrize("size", [(1, 1), (1, 100), (31, 33), (32, 1), (65, 64)])
def test_any_size_grows_to_the_next_multiple_and_back(size):
    images = torch.rand(2, 5, 3, *size)
    padded = pad_to_multiple(images, 32)
    assert padded.shape == (2, 5, 3, *(-(-side // 32) * 32 for side in size))
    assert torch.equal(unpad(padded, *size), images)
    assert torch.equal(padded[..., -1, -1], images[..., -1, -1])


def test_multiples_are_returned_as_they_are():
    images = torch.rand(3, 64, 32)
    assert pad_to_multiple(images, 32) is images


def test_integers_pad_too():
    padded = pad_to_multiple(torch.full((3, 5, 5), 200, dtype=torch.uint8), 4)
    assert padded.dtype == torch.uint8
    assert padded.unique().tolist() == [200]


def test_gradients_of_repeated_pixels_add_up():
    image = torch.ones(1, 1, 3, dtype=torch.float64, requires_grad=True)
    pad_to_multiple(image, 4).sum().backward()
    assert image.grad.flatten().tolist() == [4.0, 4.0, 8.0]
    assert torch.autograd.gradcheck(lambda x: pad_to_multiple(x, 4), (image,))


def test_impossible_requests_are_refused():
    with pytest.raises(ValueError, match="cannot pad 0x5 to multiples of 4"):
        pad_to_multiple(torch.zeros(3, 0, 5), 4)
    with pytest.raises(ValueError, match="cannot pad 5x5 to multiples of 0"):
        pad_to_multiple(torch.zeros(3, 5, 5), 0)
    with pytest.raises(ValueError, match="cannot cut 9x4 out of 8x8"):
        unpad(torch.zeros(3, 8, 8), 9, 4)
