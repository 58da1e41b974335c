"""Wrong uses of the command line: each is answered in one sentence that names what is wrong, and with its exit code."""

from pathlib import Path

import pytest

from tests.support.dev_stack import DevStack, run_stafett

_ID = "00000000-0000-4000-8000-000000000000"
_NHF = ("--org", "nhf")
_START = ("export", "start", *_NHF)
_YEAR = ("--start", "01.01.2026", "--end", "31.12.2026")
_WRONG_USES = [
    (2, "No such command 'fly'.", ("fly",)),
    (2, "An argument is not text in UTF-8.", ("mentor", "add", "\udcff", *_NHF)),
    (2, "'--org': specify one of your organisations: blindeforbundet, hlf, nhf", ("export", "start", *_YEAR)),
    (2, "'--org': specify one of your organisations: ", ("bulk", "start", "/dev/null")),
    (2, "'--org': specify one of your organisations: ", ("report", "list")),
    (2, "Missing option '--start' / '--from'.", (*_START, "--end", "31.12.2026")),
    (2, "Invalid value for '--format': 'pdf' is not one of 'csv', 'xlsx'.", (*_START, *_YEAR, "--format", "pdf")),
    (2, "'--locale': 'de' is not one of 'nb', 'nn', 'en'.", (*_START, *_YEAR, "--locale", "de")),
    (2, "31.11.2026 is not a day of the calendar.", (*_START, "--start", "31.11.2026", "--end", "31.12.2026")),
    (2, "Invalid value for '--start': ", (*_START, "--start", "2026-02-30", "--end", "2026-12-31")),
    (2, "'--end': the period ends before it starts", (*_START, "--start", "31.12.2026", "--end", "01.01.2026")),
    (
        2,
        "'--org' (env var: 'STAFETT_ORG'): an organisation's id is expected, such as nhf.",
        ("export", "start", "--org", "NHF!", *_YEAR),
    ),
    (
        2,
        "Invalid value for 'ID': 'x' is not an id, nor the first 8 or more",
        ("export", "show", "x"),
    ),
    (1, "There is no such export.", ("export", "show", _ID)),
    (1, "There is no such export.", ("export", "show", _ID[:8])),
    (2, "Invalid value for '--status': ", ("export", "list", *_NHF, "--status", "lost")),
    (2, "Invalid value for '--limit': ", ("bulk", "list", "--limit", "0")),
    (2, "Invalid value for 'REPORT': 'x' is not an id, nor the first", ("reexport", "start", "x")),
    (1, "There is no such report.", ("report", "show", _ID)),
    (1, "There is no such report.", ("report", "show", _ID[:8], *_NHF)),
    (1, "There is no such activity.", ("activity", "show", _ID)),
    (2, "must be a whole number.", ("activity", "correct", _ID, *_NHF, "--duration", "long")),
    (2, "'x' is not the name of an event", ("audit", "list", *_NHF, "--event", "x")),
    (2, "possible are a member's address, user:ID", ("audit", "list", *_NHF, "--actor", "kari")),
    (2, "no id starts with 00000000", ("activity", "list", *_NHF, "--mentor", "00000000")),
    (2, "Did you mean 'download'?", ("export", "dowload", "x")),
    (2, "'--org': there is no organisation bf", ("audit", "verify", "--org", "bf")),
    (1, "There is no such activity. Only nhf was searched", ("activity", "show", _ID, *_NHF)),
    (1, "There is no such export. Only nhf was searched", ("export", "show", _ID, *_NHF)),
    (2, "specify at least one field to correct", ("activity", "correct", _ID, *_NHF)),
    (2, "'31.11.2026 10:00' is not a time such as", ("activity", "correct", _ID, *_NHF, "--start", "31.11.2026 10:00")),
    (2, "together with --note", ("activity", "correct", _ID, *_NHF, "--note", "x", "--no-note")),
    (2, "Invalid value for '--mentor': ", ("activity", "list", *_NHF, "--mentor", "x")),
    (2, "'yesterday' is not a date such as", ("report", "submitted", _ID, *_NHF, "--at", "yesterday")),
    (1, "missing.csv cannot be read: No such file or directory.", ("bulk", "start", "missing.csv", *_NHF)),
    (1, "missing.json cannot be read", ("export", "preview", *_NHF, *_YEAR, "--mapping", "missing.json")),
    (2, "32.01.2026 is not a day of the calendar.", ("mentor", "add", "Kari", *_NHF, "--approved", "32.01.2026")),
    (2, "'ADDRESS': an email address is expected", ("member", "add", "kari", *_NHF, "--role", "admin")),
    (2, "'--role': 'chief' is not one of", ("member", "add", "kari@nhf.example", *_NHF, "--role", "chief")),
    (
        2,
        "'--expires': must be in the future",
        ("api-key", "add", "x", *_NHF, "--role", "admin", "--expires", "1.1.2020"),
    ),
    (2, "Invalid value for 'URL': must use https", ("webhook", "add", "ftp://nhf.example", *_NHF)),
    (2, "'never' is not a date such as", ("mapping", "show", *_NHF, "--at", "never")),
    (2, "'ADDRESS': an email address is expected", ("operator", "add", "nonsense")),
    (1, "report.csv cannot be read", ("export", "verify", "report.csv")),
]


@pytest.mark.parametrize(("exit_code", "sentence", "args"), _WRONG_USES, ids=[" ".join(use[2]) for use in _WRONG_USES])
async def test_wrong_use_is_answered_in_one_sentence(
    dev_stack: DevStack, exit_code: int, sentence: str, args: tuple[str, ...]
) -> None:
    result = await run_stafett(*args, env={"STAFETT_DATA_DIR": str(dev_stack.data_dir)})
    result.assert_one_line_error(sentence)
    assert result.exit_code == exit_code
    assert result.stderr.startswith("stafett: ")


async def test_many_errors_of_a_file_are_one_per_line_and_at_most_ten(dev_stack: DevStack, empty_folder: Path) -> None:
    header = (
        "mentor_id;activity_type;starts_at;duration_minutes;participants;new_participants;place;in_person;in_norway"
    )
    file = empty_folder / "batch.csv"
    file.write_text("\n".join([header, *["x;annet;02.03.2026 10:00;60;5;1;Oslo;ja;ja"] * 14]))
    result = await dev_stack.run("bulk", "start", file, *_NHF, "--locale", "en")
    first, *errors, rest = result.stderr.splitlines()
    assert (result.exit_code, rest) == (1, "  and 4 more")
    assert first.startswith("stafett: The request is not valid.")
    assert [error.partition(":")[2].partition("/")[0] for error in errors] == [str(line) for line in range(2, 12)]
