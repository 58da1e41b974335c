"""The rules of NHF's document since 2020, written by hand in Polars for this document only."""

import polars as pl

from stafett.activity_frames import OSLO_DAY
from stafett.column_mapper import MappedPart
from stafett.column_mapper.program import FailedCheck

_TYPES = {
    "oppsokende_samtale": "Oppsøkende samtale",
    "samtalegruppe": "Samtalegruppe",
    "aktivitetsgruppe": "Aktivitetsgruppe",
    "likepersonskurs": "Likepersonskurs",
    "telefonsamtale": "Telefonsamtale",
    "digital_samtale": "Digital samtale",
    "besok": "Besøk",
    "annet": "Annet",
}
_CATEGORIES = {
    "oppsokende_samtale": "Individuelt likepersonsarbeid",
    "besok": "Individuelt likepersonsarbeid",
    "telefonsamtale": "Individuelt likepersonsarbeid",
    "digital_samtale": "Individuelt likepersonsarbeid",
    "samtalegruppe": "Likepersonsarbeid i gruppe",
    "aktivitetsgruppe": "Likepersonsarbeid i gruppe",
    "likepersonskurs": "Opplæring av likepersoner",
}
_REASONS = {
    "kind_never_counts": "Aktivitetstypen teller ikke",
    "abroad": "Holdt utenfor Norge",
    "not_in_person": "Ikke et fysisk møte",
    "nobody_came": "Ingen deltakere",
    "too_few_participants": "Færre enn 3 deltakere",
    "group_too_short": "Gruppe kortere enn 45 minutter",
    "course_too_short": "Kursdag kortere enn 2 × 45 minutter",  # noqa: RUF001 - as in the document
    "nobody_new_that_day": "Likepersonen har allerede en tellende aktivitet denne dagen, og ingen deltaker er ny",
}
_MENTOR_DAY_KEYS = ("mentor_id", "oslo_day")

_kind, _minutes, _participants = pl.col("activity_type"), pl.col("minutes"), pl.col("participants")
_outreach, _course = _kind == "oppsokende_samtale", _kind == "likepersonskurs"
_group = _kind.is_in(["samtalegruppe", "aktivitetsgruppe"])


def apply(rows: pl.DataFrame) -> MappedPart:
    computed = _add_computed_columns(rows)
    failed_checks = _find_errors(computed)
    rejecting = [check for check in failed_checks if check.rejects_row]
    rejected_indices = {row for check in rejecting for row in check.row_indices}
    rejected = pl.Series([index in rejected_indices for index in range(rows.height)], dtype=pl.Boolean)
    if rejecting:
        computed = _add_computed_columns(rows.filter(~rejected))
    report_rows = computed.select(**_cell_expressions())
    counts_by_reason = dict(computed["reason"].drop_nulls().value_counts().iter_rows())
    totals = computed.group_by(_cell_expressions()["Kategori"].alias("category")).agg(
        pl.col("reason").is_null().sum(),
        pl.col("reason").is_not_null().sum().alias("not"),
        pl.len(),
        pl.col("participants").sum(),
        pl.col("minutes").sum(),
    )
    return MappedPart(
        report_rows=report_rows,
        excluded_rows=report_rows.clear(),
        exclusion_reasons=pl.Series(dtype=pl.String),
        failed_checks=failed_checks,
        rejected_rows=rejected,
        reason_indices=computed["reason"].replace_strict(
            list(_REASONS.values()), list(range(len(_REASONS))), return_dtype=pl.Int32
        ),
        not_countable={code: counts_by_reason.get(text, 0) for code, text in _REASONS.items()},
        totals={label: figures for label, *figures in totals.iter_rows()},
        verdicts=computed.select(OSLO_DAY, "activity_type", pl.col("reason").is_null().alias("counts")),
    )


def _add_computed_columns(rows: pl.DataFrame) -> pl.DataFrame:
    kind_counts = (
        pl.col("in_norway")
        & (_participants >= 1)
        & (
            (_outreach & pl.col("in_person"))
            | (_group & (_participants >= 3) & (_minutes >= 45))
            | (_course & (_minutes >= 90))
        )
    )
    texts = {code: pl.lit(reason) for code, reason in _REASONS.items()}
    reason = (
        pl.when(~(_outreach | _group | _course))
        .then(texts["kind_never_counts"])
        .when(~pl.col("in_norway"))
        .then(texts["abroad"])
        .when(_outreach & ~pl.col("in_person"))
        .then(texts["not_in_person"])
        .when(_participants < 1)
        .then(texts["nobody_came"])
        .when(_group & (_participants < 3))
        .then(texts["too_few_participants"])
        .when(_group & (_minutes < 45))
        .then(texts["group_too_short"])
        .when(_course & (_minutes < 90))
        .then(texts["course_too_short"])
        .when((pl.col("nth") > 1) & (pl.col("new_participants") == 0))
        .then(texts["nobody_new_that_day"])
    )
    return (
        rows.with_columns(minutes=(pl.col("ends_at") - pl.col("starts_at")).dt.total_minutes())
        .with_columns(kind_counts=kind_counts)
        .with_columns(
            row=pl.int_range(pl.len()),
            that_day=pl.len().over(_MENTOR_DAY_KEYS),
        )
        .with_columns(day=pl.col("row").min().over(_MENTOR_DAY_KEYS))
        .with_columns(order=(pl.col("day") * 2**32 + pl.col("row")).arg_sort())
        .with_columns(nth=_rank_within_day())
        .with_columns(reason=reason)
    )


def _rank_within_day() -> pl.Expr:
    """Rank the counted rows of each day with one cumulative sum, because a window per day takes ten times as long."""
    order = pl.col("order")
    number, day = pl.col("kind_counts").cast(pl.Int64).gather(order), pl.col("day").gather(order)
    running = number.cum_sum()
    before = pl.when(day != day.shift(1)).then(running - number).forward_fill().fill_null(0)
    return pl.when("kind_counts").then((running - before).gather(order.arg_sort()))


def _cell_expressions() -> dict[str, pl.Expr]:
    local = pl.col("starts_at").dt.convert_time_zone("Europe/Oslo").dt.time().cast(pl.Int64)
    return {
        "Dato": pl.col("oslo_day"),
        "Kategori": _kind.replace_strict(_CATEGORIES, default="Øvrig aktivitet", return_dtype=pl.String),
        "Aktivitetstype": _kind.replace_strict(_TYPES, default=None, return_dtype=pl.String),
        "Starttid": (local // 60_000_000_000 * 60_000_000_000).cast(pl.Time),
        "Varighet (minutter)": _minutes,
        "Timer": (_minutes / 60).round(2, mode="half_away_from_zero").cast(pl.Decimal(38, 2)),
        "Likeperson": pl.col("mentor_name").str.strip_chars(),
        "Sted": pl.col("place").str.strip_chars(),
        "Deltakere": _participants,
        "Nye deltakere": pl.col("new_participants"),
        "Gruppestørrelse": pl.when(_participants < 1)
        .then(pl.lit("Ingen deltakere"))
        .when(_participants == 1)
        .then(pl.lit("En til en"))
        .when(_participants == 2)
        .then(pl.lit("2 deltakere"))
        .when(_participants <= 12)
        .then(pl.lit("3–12 deltakere"))  # noqa: RUF001 - as in the document
        .otherwise(pl.lit("Mer enn 12 deltakere")),
        "Fysisk møte": _to_yes_no(pl.col("in_person")),
        "I Norge": _to_yes_no(pl.col("in_norway")),
        "Registrert av koordinator": _to_yes_no(pl.col("is_proxy")),
        "Vedlegg": pl.col("attachments"),
        "Tellende": _to_yes_no(pl.col("reason").is_null()),
        "Teller ikke fordi": pl.col("reason"),
        "Merknad": pl.col("note"),
        "Aktivitets-ID": pl.col("id"),
    }


def _to_yes_no(flag: pl.Expr) -> pl.Expr:
    return pl.when(flag).then(pl.lit("Ja")).otherwise(pl.lit("Nei"))


def _find_errors(computed: pl.DataFrame) -> tuple[FailedCheck, ...]:
    place, note = pl.col("place").str.strip_chars(), pl.col("note").str.strip_chars()
    failures = computed.select(
        required_date=pl.col("oslo_day").is_null(),
        unknown_choice_type=~_kind.is_in(list(_TYPES)),
        required_mentor=pl.col("mentor_name").str.strip_chars() == "",
        required_place=pl.col("in_person") & (place == ""),
        required_id=pl.col("id").str.strip_chars() == "",
        course_without_participants=_course & (_participants < 1),
        longer_than_a_day=_minutes > 1440,
        more_than_one_to_one=_outreach & (_participants > 2),
        many_in_one_day=pl.col("that_day") > 6,
        other_without_a_note=(_kind == "annet") & (note.fill_null("") == ""),
    )
    rejecting = {"required_date", "unknown_choice_type", "required_mentor", "required_id"}
    rejecting |= {"course_without_participants", "longer_than_a_day"}
    return tuple(
        FailedCheck(number, _error_code(name), None, name in rejecting, "", failures[name].arg_true().to_list())
        for number, name in enumerate(failures.columns)
        if failures[name].any()
    )


def _error_code(name: str) -> str:
    return next((code for code in ("required", "unknown_choice") if name.startswith(code)), name)
