"""Small uncompressed images, encoded by hand: the output of compressors differs between machines."""

import struct
import zlib

_WIDTH, _HEIGHT = 120, 80
_COLOURS = 128
_GIF_CLEAR_CODE, _GIF_END_CODE = 128, 129
# Clearing the decoder's table before it needs a ninth bit keeps every code a whole byte.
_PIXELS_PER_GIF_RUN = 120


def render_png(variant: int) -> bytes:
    """Render stripes in the colours of the variant as a PNG."""
    pixels = _pixels(variant)
    lines = b"".join(b"\0" + pixels[start : start + _WIDTH] for start in range(0, len(pixels), _WIDTH))
    header = struct.pack(">IIBBBBB", _WIDTH, _HEIGHT, 8, 3, 0, 0, 0)
    chunks = (
        _png_chunk(b"IHDR", header),
        _png_chunk(b"PLTE", _palette(variant)),
        _png_chunk(b"IDAT", _store_uncompressed(lines)),
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks) + _png_chunk(b"IEND", b"")


def render_gif(variant: int) -> bytes:
    """Render the same stripes as a GIF."""
    screen = struct.pack("<6sHHBBB", b"GIF89a", _WIDTH, _HEIGHT, 0b1111_0110, 0, 0)
    image = struct.pack("<BHHHHBB", 0x2C, 0, 0, _WIDTH, _HEIGHT, 0, 7)
    return screen + _palette(variant) + image + _gif_blocks(_pixels(variant)) + b"\0;"


def _pixels(variant: int) -> bytes:
    slope = 1 + variant % 7
    return bytes((x * slope + y + variant) % _COLOURS for y in range(_HEIGHT) for x in range(_WIDTH))


def _palette(variant: int) -> bytes:
    return bytes(part for shade in range(_COLOURS) for part in (2 * shade, (variant * 37) % 256, 255 - 2 * shade))


def _png_chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def _store_uncompressed(content: bytes) -> bytes:
    """Build a zlib stream of one stored block, which is limited to 64 KB."""
    block = struct.pack("<BHH", 1, len(content), len(content) ^ 0xFFFF) + content
    return b"\x78\x01" + block + struct.pack(">I", zlib.adler32(content))


def _gif_blocks(pixels: bytes) -> bytes:
    runs = [pixels[start : start + _PIXELS_PER_GIF_RUN] for start in range(0, len(pixels), _PIXELS_PER_GIF_RUN)]
    codes = b"".join(bytes([_GIF_CLEAR_CODE]) + run for run in runs) + bytes([_GIF_END_CODE])
    blocks = [codes[start : start + 255] for start in range(0, len(codes), 255)]
    return b"".join(bytes([len(block)]) + block for block in blocks)
