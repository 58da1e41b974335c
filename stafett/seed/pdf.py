"""A PDF of one page, encoded by hand: no byte depends on a clock or on a library's version."""

from collections.abc import Sequence

_HEADER = b"%PDF-1.4\n%\xe2\xe3\xcf\xd3\n"
_FONT = b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding >>"
_PAGE = (
    b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Contents 4 0 R /Resources << /Font << /F1 5 0 R >> >> >>"
)


def render_pdf(lines: Sequence[str]) -> bytes:
    """Render the lines on an A4 page; all characters must be in Windows-1252."""
    text = _render_text(lines)
    return _assemble_document(
        [
            b"<< /Type /Catalog /Pages 2 0 R /Lang (nb-NO) >>",
            b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
            _PAGE,
            b"<< /Length %d >>\nstream\n%b\nendstream" % (len(text), text),
            _FONT,
        ]
    )


def _render_text(lines: Sequence[str]) -> bytes:
    operators = b"\n".join(b"(%b) Tj T*" % _escape_text(line) for line in lines)
    return b"BT /F1 12 Tf 16 TL 72 770 Td\n%b\nET" % operators


def _escape_text(line: str) -> bytes:
    return line.replace("\\", r"\\").replace("(", r"\(").replace(")", r"\)").encode("cp1252")


def _assemble_document(objects: Sequence[bytes]) -> bytes:
    body, offsets = bytearray(_HEADER), []
    for number, content in enumerate(objects, start=1):
        offsets.append(len(body))
        body += b"%d 0 obj\n%b\nendobj\n" % (number, content)
    count = len(objects) + 1
    entries = b"".join(b"%010d 00000 n \n" % offset for offset in offsets)
    trailer = b"trailer\n<< /Size %d /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF\n" % (count, len(body))
    return bytes(body) + b"xref\n0 %d\n0000000000 65535 f \n" % count + entries + trailer
