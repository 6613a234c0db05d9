import torch
import torch.nn.functional as F

from models.parts.generator_layers import enlarge_where_read, resize, resize_flow, warp_to_frames
from models.warping import backward_warp, prepare_canvas

SOURCE = torch.Generator().manual_seed(4)
FLOW = 5 * torch.randn(2, 8, 12, 20, generator=SOURCE)


def test_a_resize_is_bilinear_with_pixel_areas_aligned() -> None:
    expanded = FLOW[..., :1].expand(-1, -1, -1, 20)
    for maps in (FLOW, expanded, FLOW.to(memory_format=torch.channels_last)):
        for factor in (0.25, 0.5, 2):
            expected = F.interpolate(
                maps.contiguous(), scale_factor=factor, mode="bilinear", align_corners=False
            )
            torch.testing.assert_close(resize(maps, factor), expected)


def test_enlarged_flow_is_whole_where_a_resize_reads_every_pixel() -> None:
    for shrink in (1, 2):
        assert torch.equal(enlarge_where_read(FLOW, shrink), resize_flow(FLOW, 2))


def test_enlarged_flow_is_the_middle_of_every_four_pixels_where_a_resize_reads_no_others() -> None:
    whole = resize_flow(FLOW, 2)
    rows, columns = ([i for i in range(size) if i % 4 in (1, 2)] for size in whole.shape[-2:])
    read = enlarge_where_read(FLOW, 4)
    torch.testing.assert_close(read, whole[..., rows, :][..., columns])
    torch.testing.assert_close(resize(read, 0.5), resize(whole, 0.25))


def test_images_are_warped_before_they_are_made_smaller() -> None:
    images = torch.rand(2, 2, 3, 24, 40, generator=SOURCE)
    for shrink in (1, 2, 4):
        warped = warp_to_frames(prepare_canvas(images), enlarge_where_read(FLOW, shrink), shrink)
        for index, found in enumerate(warped):
            flow = resize_flow(FLOW, 2)[:, 2 * index : 2 * index + 2]
            expected = resize(backward_warp(images[:, index // 2], flow).warped, 1 / shrink)
            torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)
