"""Email texts in each language of an export."""

from collections.abc import Mapping
from typing import NamedTuple

from stafett.domain.export import Locale
from stafett.domain.membership import Role
from stafett.domain.notification import JobOutcome, JobType


class EmailText(NamedTuple):
    """Subject and opening of the email about one outcome, with placeholders ``{period}`` and ``{organisation}``."""

    subject: str
    opening: str


class EmailTemplate(NamedTuple):
    """Texts and date format of one language."""

    date_format: str
    texts: Mapping[tuple[JobType, JobOutcome], EmailText]
    link_line: str
    closing: str


_EXPORT, _REEXPORT, _BULK = JobType.EXPORT, JobType.REEXPORT, JobType.BULK_REGISTRATION

_NB = {
    (_EXPORT, JobOutcome.COMPLETED): EmailText(
        "Bufdir-eksporten for {period} er klar",
        "Eksporten du ba om for {organisation}, {period}, er klar til å lastes ned.",
    ),
    (_EXPORT, JobOutcome.COMPLETED_EMPTY): EmailText(
        "Bufdir-eksporten for {period} er tom",
        "Eksporten du ba om for {organisation}, {period}, er ferdig. "
        "Det er ingen aktiviteter i perioden, så det er ikke laget noen fil.",
    ),
    (_EXPORT, JobOutcome.FAILED): EmailText(
        "Bufdir-eksporten for {period} mislyktes",
        "Eksporten du ba om for {organisation}, {period}, mislyktes. Årsaken, og om du kan prøve igjen, ser du her:",
    ),
    (_EXPORT, JobOutcome.CANCELLED): EmailText(
        "Bufdir-eksporten for {period} er avbrutt",
        "Eksporten du ba om for {organisation}, {period}, er avbrutt. Det er ikke laget noen fil.",
    ),
    (_REEXPORT, JobOutcome.COMPLETED): EmailText(
        "Bufdir-rapporten for {period} er laget på nytt",
        "Rapporten du ba om å få laget på nytt for {organisation}, {period}, er klar til å lastes ned.",
    ),
    (_REEXPORT, JobOutcome.FAILED): EmailText(
        "Bufdir-rapporten for {period} kunne ikke lages på nytt",
        "Rapporten du ba om å få laget på nytt for {organisation}, {period}, kunne ikke lages. "
        "Den tidligere rapporten er som før. Årsaken, og om du kan prøve igjen, ser du her:",
    ),
    (_REEXPORT, JobOutcome.CANCELLED): EmailText(
        "Ny utgave av Bufdir-rapporten for {period} er avbrutt",
        "Rapporten du ba om å få laget på nytt for {organisation}, {period}, er avbrutt. "
        "Den tidligere rapporten er som før.",
    ),
    (_BULK, JobOutcome.COMPLETED): EmailText(
        "Registreringen for flere likepersoner er ferdig",
        "Alle aktivitetene du ba om å få registrert for {organisation}, er registrert.",
    ),
    (_BULK, JobOutcome.COMPLETED_WITH_FAILURES): EmailText(
        "Registreringen for flere likepersoner er ferdig, med unntak",
        "Noen av aktivitetene du ba om å få registrert for {organisation}, kunne ikke registreres. "
        "Hvilke, og hvorfor, ser du her:",
    ),
    (_BULK, JobOutcome.FAILED): EmailText(
        "Registreringen for flere likepersoner mislyktes",
        "Ingen av aktivitetene du ba om å få registrert for {organisation}, kunne registreres. Hvorfor ser du her:",
    ),
    (_BULK, JobOutcome.CANCELLED): EmailText(
        "Registreringen for flere likepersoner er avbrutt",
        "Registreringen du ba om for {organisation}, er avbrutt. Det som var registrert før det, står.",
    ),
}

_NN = {
    (_EXPORT, JobOutcome.COMPLETED): EmailText(
        "Bufdir-eksporten for {period} er klar",
        "Eksporten du bad om for {organisation}, {period}, er klar til å lastast ned.",
    ),
    (_EXPORT, JobOutcome.COMPLETED_EMPTY): EmailText(
        "Bufdir-eksporten for {period} er tom",
        "Eksporten du bad om for {organisation}, {period}, er ferdig. "
        "Det er ingen aktivitetar i perioden, så det er ikkje laga noka fil.",
    ),
    (_EXPORT, JobOutcome.FAILED): EmailText(
        "Bufdir-eksporten for {period} gjekk ikkje",
        "Eksporten du bad om for {organisation}, {period}, gjekk ikkje. "
        "Årsaka, og om du kan prøve på nytt, ser du her:",
    ),
    (_EXPORT, JobOutcome.CANCELLED): EmailText(
        "Bufdir-eksporten for {period} er avbroten",
        "Eksporten du bad om for {organisation}, {period}, er avbroten. Det er ikkje laga noka fil.",
    ),
    (_REEXPORT, JobOutcome.COMPLETED): EmailText(
        "Bufdir-rapporten for {period} er laga på nytt",
        "Rapporten du bad om å få laga på nytt for {organisation}, {period}, er klar til å lastast ned.",
    ),
    (_REEXPORT, JobOutcome.FAILED): EmailText(
        "Bufdir-rapporten for {period} kunne ikkje lagast på nytt",
        "Rapporten du bad om å få laga på nytt for {organisation}, {period}, kunne ikkje lagast. "
        "Den tidlegare rapporten er som før. Årsaka, og om du kan prøve på nytt, ser du her:",
    ),
    (_REEXPORT, JobOutcome.CANCELLED): EmailText(
        "Ny utgåve av Bufdir-rapporten for {period} er avbroten",
        "Rapporten du bad om å få laga på nytt for {organisation}, {period}, er avbroten. "
        "Den tidlegare rapporten er som før.",
    ),
    (_BULK, JobOutcome.COMPLETED): EmailText(
        "Registreringa for fleire likepersonar er ferdig",
        "Alle aktivitetane du bad om å få registrerte for {organisation}, er registrerte.",
    ),
    (_BULK, JobOutcome.COMPLETED_WITH_FAILURES): EmailText(
        "Registreringa for fleire likepersonar er ferdig, med unntak",
        "Nokre av aktivitetane du bad om å få registrerte for {organisation}, kunne ikkje registrerast. "
        "Kva for nokre, og kvifor, ser du her:",
    ),
    (_BULK, JobOutcome.FAILED): EmailText(
        "Registreringa for fleire likepersonar gjekk ikkje",
        "Ingen av aktivitetane du bad om å få registrerte for {organisation}, kunne registrerast. Kvifor ser du her:",
    ),
    (_BULK, JobOutcome.CANCELLED): EmailText(
        "Registreringa for fleire likepersonar er avbroten",
        "Registreringa du bad om for {organisation}, er avbroten. Det som var registrert før det, står.",
    ),
}

_EN = {
    (_EXPORT, JobOutcome.COMPLETED): EmailText(
        "The Bufdir export for {period} is ready",
        "The export you requested for {organisation}, {period}, is ready to download.",
    ),
    (_EXPORT, JobOutcome.COMPLETED_EMPTY): EmailText(
        "The Bufdir export for {period} is empty",
        "The export you requested for {organisation}, {period}, is complete. "
        "There are no activities in the period, so no file was created.",
    ),
    (_EXPORT, JobOutcome.FAILED): EmailText(
        "The Bufdir export for {period} failed",
        "The export you requested for {organisation}, {period}, failed. "
        "The reason, and whether you can retry, are shown here:",
    ),
    (_EXPORT, JobOutcome.CANCELLED): EmailText(
        "The Bufdir export for {period} was cancelled",
        "The export you requested for {organisation}, {period}, was cancelled. No file was created.",
    ),
    (_REEXPORT, JobOutcome.COMPLETED): EmailText(
        "The re-export of the Bufdir report for {period} is ready",
        "The re-export you requested for {organisation}, {period}, is ready to download.",
    ),
    (_REEXPORT, JobOutcome.FAILED): EmailText(
        "The re-export of the Bufdir report for {period} failed",
        "The re-export you requested for {organisation}, {period}, failed. "
        "The earlier report is unchanged. The reason, and whether you can retry, are shown here:",
    ),
    (_REEXPORT, JobOutcome.CANCELLED): EmailText(
        "The re-export of the Bufdir report for {period} was cancelled",
        "The re-export you requested for {organisation}, {period}, was cancelled. The earlier report is unchanged.",
    ),
    (_BULK, JobOutcome.COMPLETED): EmailText(
        "The registration for several peer mentors is complete",
        "All activities in the registration you requested for {organisation} are registered.",
    ),
    (_BULK, JobOutcome.COMPLETED_WITH_FAILURES): EmailText(
        "The registration for several peer mentors is complete, with failures",
        "Some activities in the registration you requested for {organisation} could not be registered. "
        "Those activities, and the reasons, are shown here:",
    ),
    (_BULK, JobOutcome.FAILED): EmailText(
        "The registration for several peer mentors failed",
        "No activities in the registration you requested for {organisation} could be registered. "
        "The reasons are shown here:",
    ),
    (_BULK, JobOutcome.CANCELLED): EmailText(
        "The registration for several peer mentors was cancelled",
        "The registration you requested for {organisation} was cancelled. "
        "Activities that were registered before that remain.",
    ),
}

_NORWEGIAN_DATE, _ISO_DATE = "%d.%m.%Y", "%Y-%m-%d"
EMAIL_TEMPLATES: Mapping[Locale, EmailTemplate] = {
    "nb": EmailTemplate(
        _NORWEGIAN_DATE, _NB, "Mer: {link}", "Denne meldingen er sendt automatisk og kan ikke besvares."
    ),
    "nn": EmailTemplate(
        _NORWEGIAN_DATE, _NN, "Meir: {link}", "Denne meldinga er send automatisk og kan ikkje svarast på."
    ),
    "en": EmailTemplate(
        _ISO_DATE, _EN, "More: {link}", "This message was sent automatically and cannot be replied to."
    ),
}

INVITATION_SUBJECT = "Invitasjon til Stafett for {organisation}"
_INVITATION_NB = (
    "Du er invitert til Stafett som {role} for {organisation}. Logg inn her med denne e-postadressen: {link}\n"
    "Denne meldingen er sendt automatisk og kan ikke besvares."
)
_INVITATION_EN = (
    "You are invited to Stafett as {role} of {organisation}. Sign in here with this email address: {link}\n"
    "This message was sent automatically and cannot be replied to."
)
INVITATION_PARAGRAPHS: tuple[tuple[str, Mapping[Role, str]], ...] = (
    (_INVITATION_NB, {Role.COORDINATOR: "koordinator", Role.ADMIN: "administrator", Role.AUDITOR: "revisor"}),
    (_INVITATION_EN, {Role.COORDINATOR: "a coordinator", Role.ADMIN: "an administrator", Role.AUDITOR: "an auditor"}),
)
"""The invitation in each language, with the roles' names."""
