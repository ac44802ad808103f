"""Pictures of every kind against the array they were written from."""

from __future__ import annotations

import numpy as np
import pytest
import tifffile
from PIL import Image

from napari_smoother.errors import InputError
from napari_smoother.io.images import TooLarge, is_blank, read_picture, share_inside


def noise(shape, dtype=np.uint8):
    return np.random.default_rng(5).integers(0, np.iinfo(dtype).max, size=shape, dtype=dtype)


@pytest.mark.parametrize("shape", [(30, 50), (30, 50, 3), (30, 50, 4)])
@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_pixels_are_rows_columns_channels(tmp_path, shape, suffix):
    pixels = noise(shape)
    path = tmp_path / f"picture{suffix}"
    if suffix == ".tif":
        tifffile.imwrite(path, pixels)
    else:
        Image.fromarray(pixels).save(path)
    np.testing.assert_array_equal(read_picture(path).pixels, pixels)


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_sixteen_bit_grey(tmp_path, suffix):
    pixels = noise((30, 50), np.uint16)
    path = tmp_path / f"picture{suffix}"
    if suffix == ".tif":
        tifffile.imwrite(path, pixels)
    else:
        Image.fromarray(pixels).save(path)
    read = read_picture(path).pixels
    np.testing.assert_array_equal(read, pixels)
    assert read.dtype.itemsize >= 2


def test_jpeg_is_close(tmp_path):
    pixels = np.zeros((32, 48, 3), np.uint8)
    pixels[:, 24:] = (200, 100, 50)
    Image.fromarray(pixels).save(tmp_path / "a.jpg", quality=95)
    read = read_picture(tmp_path / "a.jpg").pixels
    assert read.shape == (32, 48, 3)
    assert np.abs(read[:, 40].astype(int) - (200, 100, 50)).max() < 8
    assert read[:, 8].max() < 8


@pytest.mark.parametrize(
    ("mode", "channels"), [("P", (3,)), ("LA", (4,)), ("1", ()), ("RGBA", (4,))]
)
def test_other_colour_modes(tmp_path, mode, channels):
    Image.fromarray(noise((30, 50, 3))).convert(mode).save(tmp_path / "a.png")
    read = read_picture(tmp_path / "a.png").pixels
    assert read.shape == (30, 50, *channels)
    assert read.dtype == np.uint8


def test_tif_with_channels_first(tmp_path):
    pixels = noise((3, 30, 50))
    tifffile.imwrite(tmp_path / "a.tif", pixels, photometric="rgb", planarconfig="separate")
    np.testing.assert_array_equal(
        read_picture(tmp_path / "a.tif").pixels, np.moveaxis(pixels, 0, -1)
    )


def test_tif_with_many_channels_is_refused(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", noise((7, 30, 50)), photometric="minisblack")
    with pytest.raises(InputError, match=r"7, 30, 50.*a\.tif"):
        read_picture(tmp_path / "a.tif")


def test_large_plain_tif_is_mapped_not_read(tmp_path):
    pixels = noise((60, 80, 3))
    tifffile.imwrite(tmp_path / "a.tif", pixels)
    picture = read_picture(tmp_path / "a.tif", largest=1000)
    base = picture.pixels
    while not isinstance(base, np.memmap) and base.base is not None:
        base = base.base
    assert isinstance(base, np.memmap)
    assert not picture.pixels.flags.writeable
    np.testing.assert_array_equal(picture.pixels, pixels)
    assert picture.reduction == 1


def test_large_pyramid_gives_the_finest_level_that_fits(tmp_path):
    pixels = noise((256, 384, 3))
    with tifffile.TiffWriter(tmp_path / "a.tif") as file:
        options = {"tile": (32, 32), "compression": "zlib", "photometric": "rgb"}
        file.write(pixels, subifds=2, **options)
        file.write(pixels[::2, ::2], subfiletype=1, **options)
        file.write(pixels[::4, ::4], subfiletype=1, **options)
    picture = read_picture(tmp_path / "a.tif", largest=100_000)
    np.testing.assert_array_equal(picture.pixels, pixels[::2, ::2])
    assert picture.reduction == 0.5


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_large_compressed_picture_is_refused_with_its_size(tmp_path, suffix):
    path = tmp_path / f"a{suffix}"
    if suffix == ".tif":
        tifffile.imwrite(path, noise((1000, 2000)), compression="zlib")
    else:
        Image.fromarray(noise((1000, 2000))).save(path)
    with pytest.raises(TooLarge, match="2 MB of pixels"):
        read_picture(path, largest=1000)


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.tif"])
def test_text_is_not_a_picture(tmp_path, name):
    (tmp_path / name).write_text("no picture at all")
    with pytest.raises(InputError, match="cannot be read") as caught:
        read_picture(tmp_path / name)
    assert caught.value.where == str(tmp_path / name)


@pytest.mark.parametrize("suffix", ["png", "jpg", "tif"])
def test_truncated_picture(tmp_path, suffix):
    path = tmp_path / f"a.{suffix}"
    if suffix == "tif":
        tifffile.imwrite(path, noise((90, 90, 3)), compression="zlib")
    else:
        Image.fromarray(noise((90, 90, 3))).save(path)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match="cannot be read"):
        read_picture(path)


def test_blank_means_one_colour_or_transparent():
    assert is_blank(np.full((5, 6), 7, np.uint8))
    assert is_blank(np.full((5, 6, 3), (1, 2, 3), np.uint8))
    transparent = noise((5, 6, 4))
    transparent[..., 3] = 0
    assert is_blank(transparent)
    opaque = np.zeros((5, 6, 4), np.uint8)
    opaque[..., 3] = noise((5, 6))  # opacity alone shows nothing
    assert is_blank(opaque)
    dot = np.zeros((5, 6, 3), np.uint8)
    dot[4, 5, 2] = 1
    assert not is_blank(dot)
    assert not is_blank(noise((5, 6)))


def test_share_inside_takes_x_for_columns():
    positions = np.array([[70.0, 10.0], [10.0, 70.0], [79.9, 59.9], [-0.1, 5.0]])
    assert share_inside(positions, (60, 80, 3), 1.0) == 0.5
    assert share_inside(positions, (30, 40), 0.5) == 0.5
    assert share_inside(positions, (60, 80), 0.5) == 0.75


def test_a_tif_with_impossible_sides(tmp_path):
    """Its tags say that it is no pixel wide: tifffile divides by that."""
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, np.zeros((20, 30, 3), np.uint8), rowsperstrip=4)
    data = bytearray(path.read_bytes())
    start = int.from_bytes(data[4:8], "little")
    for entry in range(int.from_bytes(data[start : start + 2], "little")):
        place = start + 2 + 12 * entry
        if int.from_bytes(data[place : place + 2], "little") == 256:  # ImageWidth
            data[place + 8 : place + 12] = bytes(4)
    path.write_bytes(data)
    with pytest.raises(InputError, match="cannot be read") as caught:
        read_picture(path)
    assert caught.value.where == str(path)
