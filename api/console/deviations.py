"""The deviations of an export as a CSV file for Excel with Norwegian settings."""

import csv
import io
import re
from collections.abc import Iterable

from stafett.domain.export import PartialFailureReport
from stafett.domain.formula_text import FORMULA_START

_COLUMNS = ("failure_reason", "code", "column", "is_fatal", "affected_count", "row_numbers", "affected_activity_ids")
_BYTE_ORDER_MARK = "\N{ZERO WIDTH NO-BREAK SPACE}"


def render_deviations_csv(failures: Iterable[PartialFailureReport]) -> str:
    """Render one line per deviation. Row numbers count from 1, as on the page."""
    file = io.StringIO(newline="")
    file.write(_BYTE_ORDER_MARK)
    writer = csv.writer(file, delimiter=";", lineterminator="\r\n")
    writer.writerow(_COLUMNS)
    for failure in failures:
        texts = (failure.failure_reason, failure.code, failure.column or "")
        writer.writerow(
            [
                *(f"'{text}" if re.match(FORMULA_START, text) else text for text in texts),
                str(failure.is_fatal).lower(),
                failure.affected_count,
                " ".join(str(index + 1) for index in failure.affected_row_indices),
                " ".join(map(str, failure.affected_activity_ids)),
            ]
        )
    return file.getvalue()
