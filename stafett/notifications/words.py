"""What letters say, in each language of an export."""

from typing import NamedTuple

from stafett.domain.export import Locale


class Words(NamedTuple):
    """``{period}`` and ``{organisation}`` are filled in; an end is named by the job's status."""

    date_format: str
    subject: dict[str, str]
    opening: dict[str, str]
    link: str
    closing: str


WORDS: dict[Locale, Words] = {
    "nb": Words(
        date_format="%d.%m.%Y",
        subject={
            "completed": "Bufdir-eksporten for {period} er klar",
            "completed_empty": "Bufdir-eksporten for {period} er tom",
            "failed": "Bufdir-eksporten for {period} mislyktes",
            "cancelled": "Bufdir-eksporten for {period} er avbrutt",
        },
        opening={
            "completed": "Eksporten du ba om for {organisation}, {period}, er klar til å lastes ned.",
            "completed_empty": "Eksporten du ba om for {organisation}, {period}, er ferdig. "
            "Det er ingen aktiviteter i perioden, så det er ikke laget noen fil.",
            "failed": "Eksporten du ba om for {organisation}, {period}, mislyktes. "
            "Årsaken, og om du kan prøve igjen, ser du her:",
            "cancelled": "Eksporten du ba om for {organisation}, {period}, er avbrutt. Det er ikke laget noen fil.",
        },
        link="Eksporten: {link}",
        closing="Denne meldingen er sendt automatisk og kan ikke besvares.",
    ),
    "nn": Words(
        date_format="%d.%m.%Y",
        subject={
            "completed": "Bufdir-eksporten for {period} er klar",
            "completed_empty": "Bufdir-eksporten for {period} er tom",
            "failed": "Bufdir-eksporten for {period} gjekk ikkje",
            "cancelled": "Bufdir-eksporten for {period} er avbroten",
        },
        opening={
            "completed": "Eksporten du bad om for {organisation}, {period}, er klar til å lastast ned.",
            "completed_empty": "Eksporten du bad om for {organisation}, {period}, er ferdig. "
            "Det er ingen aktivitetar i perioden, så det er ikkje laga noka fil.",
            "failed": "Eksporten du bad om for {organisation}, {period}, gjekk ikkje. "
            "Årsaka, og om du kan prøve på nytt, ser du her:",
            "cancelled": "Eksporten du bad om for {organisation}, {period}, er avbroten. Det er ikkje laga noka fil.",
        },
        link="Eksporten: {link}",
        closing="Denne meldinga er send automatisk og kan ikkje svarast på.",
    ),
    "en": Words(
        date_format="%Y-%m-%d",
        subject={
            "completed": "The Bufdir export for {period} is ready",
            "completed_empty": "The Bufdir export for {period} is empty",
            "failed": "The Bufdir export for {period} failed",
            "cancelled": "The Bufdir export for {period} was cancelled",
        },
        opening={
            "completed": "The export you asked for, for {organisation}, {period}, is ready to be downloaded.",
            "completed_empty": "The export you asked for, for {organisation}, {period}, has ended. "
            "There are no activities in the period, so no file was made.",
            "failed": "The export you asked for, for {organisation}, {period}, failed. "
            "The reason, and whether you can try again, is shown here:",
            "cancelled": "The export you asked for, for {organisation}, {period}, was cancelled. No file was made.",
        },
        link="The export: {link}",
        closing="This message was sent automatically and cannot be replied to.",
    ),
}
