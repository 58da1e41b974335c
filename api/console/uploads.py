"""Files that a page carries from their check to the next step, so that the user chooses each file once."""

import base64
import zlib

from api.concurrency import run_in_threadpool
from api.console.security import UploadedForm
from api.problems import MAX_BODY_BYTES

CARRIED_FILE_FIELD = "carried"


async def carry_file(content: bytes) -> str:
    """Return the value of a hidden field with the file: compressed, and without line ends that browsers change."""
    return await run_in_threadpool(_compress, content)


async def read_file(upload: UploadedForm) -> bytes:
    """Return the file that the user has chosen, or else the one that the page carries, or else nothing."""
    if upload.file is not None:
        return await upload.file.read()
    return await run_in_threadpool(_extract_file, upload.fields.get(CARRIED_FILE_FIELD, ""))


def _compress(content: bytes) -> str:
    return base64.b64encode(zlib.compress(content)).decode()


def _extract_file(carried: str) -> bytes:
    decompressor = zlib.decompressobj()
    try:
        content = decompressor.decompress(base64.b64decode(carried, validate=True), MAX_BODY_BYTES)
    except (ValueError, zlib.error):
        return b""
    return content if decompressor.eof else b""
