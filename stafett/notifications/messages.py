"""Texts of the emails in each language."""

from collections.abc import Mapping
from typing import NamedTuple

from stafett.domain.export import Locale
from stafett.domain.membership import MemberRole, Role
from stafett.domain.notification import JobOutcome, JobType


class EmailText(NamedTuple):
    """Subject and opening of the email about one outcome, with placeholders ``{period}`` and ``{organisation}``."""

    subject: str
    opening: str


class FactLabels(NamedTuple):
    """Labels of the facts that an email lists."""

    organisation: str
    period: str
    day: str
    version: str
    rows: str
    countable: str
    not_countable: str
    rejected: str
    deviations: str
    file: str
    mentors: str
    registered: str
    failed: str
    cancelled: str
    role: str


class InvitationTexts(NamedTuple):
    """Texts of an invitation, with the placeholder ``{organisation}``."""

    subject: str
    opening: str
    instruction: str
    link: str
    roles: Mapping[MemberRole, str]


class EmailTemplate(NamedTuple):
    """Texts and formats of one language."""

    date_format: str
    number_locale: str
    labels: FactLabels
    texts: Mapping[tuple[JobType, JobOutcome], EmailText]
    check_deviations: str
    unchanged: str
    """Has the placeholder ``{version}``."""
    links: Mapping[JobType, str]
    command: str
    closing: str
    invitation: InvitationTexts


_EXPORT, _REEXPORT, _BULK = JobType.EXPORT, JobType.REEXPORT, JobType.BULK_REGISTRATION

_NB = EmailTemplate(
    date_format="%d.%m.%Y",
    number_locale="nb",
    labels=FactLabels(
        organisation="Organisasjon",
        period="Periode",
        day="Dato for aktivitetene",
        version="Versjon",
        rows="Rader i filen",
        countable="Teller med i tilskuddet",
        not_countable="Teller ikke med",
        rejected="Utelatt, fordi noe mangler eller er feil",
        deviations="Aktiviteter med avvik",
        file="Fil",
        mentors="Likepersoner",
        registered="Registrert",
        failed="Mislyktes",
        cancelled="Avbrutt",
        role="Rolle",
    ),
    texts={
        (_EXPORT, JobOutcome.COMPLETED): EmailText(
            "Bufdir-rapporten for {period} er klar",
            "Rapporten du ba om for {organisation}, {period}, er klar til å lastes ned.",
        ),
        (_EXPORT, JobOutcome.COMPLETED_EMPTY): EmailText(
            "Bufdir-rapporten for {period} er tom",
            "Rapporten du ba om for {organisation}, {period}, er ferdig. "
            "Det er ingen aktiviteter i perioden, så det er ikke laget noen fil.",
        ),
        (_EXPORT, JobOutcome.FAILED): EmailText(
            "Bufdir-rapporten for {period} kunne ikke lages",
            "Rapporten du ba om for {organisation}, {period}, kunne ikke lages.",
        ),
        (_EXPORT, JobOutcome.CANCELLED): EmailText(
            "Bufdir-rapporten for {period} er avbrutt",
            "Rapporten du ba om for {organisation}, {period}, er avbrutt. Det er ikke laget noen fil.",
        ),
        (_REEXPORT, JobOutcome.COMPLETED): EmailText(
            "Ny versjon av Bufdir-rapporten for {period} er klar",
            "Den nye versjonen du ba om av rapporten for {organisation}, {period}, er klar til å lastes ned.",
        ),
        (_REEXPORT, JobOutcome.FAILED): EmailText(
            "Ny versjon av Bufdir-rapporten for {period} kunne ikke lages",
            "Den nye versjonen du ba om av rapporten for {organisation}, {period}, kunne ikke lages. "
            "De tidligere versjonene er som før.",
        ),
        (_REEXPORT, JobOutcome.CANCELLED): EmailText(
            "Ny versjon av Bufdir-rapporten for {period} er avbrutt",
            "Den nye versjonen du ba om av rapporten for {organisation}, {period}, er avbrutt. "
            "De tidligere versjonene er som før.",
        ),
        (_BULK, JobOutcome.COMPLETED): EmailText(
            "Registreringen for flere likepersoner er ferdig",
            "Alle aktivitetene du ba om å få registrert for {organisation}, er registrert.",
        ),
        (_BULK, JobOutcome.COMPLETED_WITH_FAILURES): EmailText(
            "Registreringen for flere likepersoner er ferdig, med unntak",
            "Noen av aktivitetene du ba om å få registrert for {organisation}, kunne ikke registreres.",
        ),
        (_BULK, JobOutcome.FAILED): EmailText(
            "Registreringen for flere likepersoner mislyktes",
            "Ingen av aktivitetene du ba om å få registrert for {organisation}, kunne registreres.",
        ),
        (_BULK, JobOutcome.CANCELLED): EmailText(
            "Registreringen for flere likepersoner er avbrutt",
            "Registreringen du ba om for {organisation}, er avbrutt. Det som var registrert før det, står.",
        ),
    },
    check_deviations="Se gjennom avvikene før du leverer rapporten.",
    unchanged="Ingenting er endret siden versjon {version}, så det er ikke laget noen ny versjon.",
    links={
        _EXPORT: "Åpne rapporten i Stafett",
        _REEXPORT: "Åpne den nye versjonen i Stafett",
        _BULK: "Åpne registreringen i Stafett",
    },
    command="På kommandolinjen",
    closing="Denne meldingen er sendt automatisk og kan ikke besvares.",
    invitation=InvitationTexts(
        subject="Invitasjon til Stafett for {organisation}",
        opening="Du er invitert til Stafett for {organisation}.",
        instruction="Logg inn med den e-postadressen som denne meldingen er sendt til.",
        link="Logg inn i Stafett",
        roles={Role.COORDINATOR: "koordinator", Role.ADMIN: "administrator", Role.AUDITOR: "revisor"},
    ),
)

_NN = EmailTemplate(
    date_format="%d.%m.%Y",
    number_locale="nn",
    labels=FactLabels(
        organisation="Organisasjon",
        period="Periode",
        day="Dato for aktivitetane",
        version="Versjon",
        rows="Rader i fila",
        countable="Tel med i tilskotet",
        not_countable="Tel ikkje med",
        rejected="Utelatne, fordi noko manglar eller er feil",
        deviations="Aktivitetar med avvik",
        file="Fil",
        mentors="Likepersonar",
        registered="Registrerte",
        failed="Gjekk ikkje",
        cancelled="Avbrotne",
        role="Rolle",
    ),
    texts={
        (_EXPORT, JobOutcome.COMPLETED): EmailText(
            "Bufdir-rapporten for {period} er klar",
            "Rapporten du bad om for {organisation}, {period}, er klar til å lastast ned.",
        ),
        (_EXPORT, JobOutcome.COMPLETED_EMPTY): EmailText(
            "Bufdir-rapporten for {period} er tom",
            "Rapporten du bad om for {organisation}, {period}, er ferdig. "
            "Det er ingen aktivitetar i perioden, så det er ikkje laga noka fil.",
        ),
        (_EXPORT, JobOutcome.FAILED): EmailText(
            "Bufdir-rapporten for {period} kunne ikkje lagast",
            "Rapporten du bad om for {organisation}, {period}, kunne ikkje lagast.",
        ),
        (_EXPORT, JobOutcome.CANCELLED): EmailText(
            "Bufdir-rapporten for {period} er avbroten",
            "Rapporten du bad om for {organisation}, {period}, er avbroten. Det er ikkje laga noka fil.",
        ),
        (_REEXPORT, JobOutcome.COMPLETED): EmailText(
            "Ny versjon av Bufdir-rapporten for {period} er klar",
            "Den nye versjonen du bad om av rapporten for {organisation}, {period}, er klar til å lastast ned.",
        ),
        (_REEXPORT, JobOutcome.FAILED): EmailText(
            "Ny versjon av Bufdir-rapporten for {period} kunne ikkje lagast",
            "Den nye versjonen du bad om av rapporten for {organisation}, {period}, kunne ikkje lagast. "
            "Dei tidlegare versjonane er som før.",
        ),
        (_REEXPORT, JobOutcome.CANCELLED): EmailText(
            "Ny versjon av Bufdir-rapporten for {period} er avbroten",
            "Den nye versjonen du bad om av rapporten for {organisation}, {period}, er avbroten. "
            "Dei tidlegare versjonane er som før.",
        ),
        (_BULK, JobOutcome.COMPLETED): EmailText(
            "Registreringa for fleire likepersonar er ferdig",
            "Alle aktivitetane du bad om å få registrerte for {organisation}, er registrerte.",
        ),
        (_BULK, JobOutcome.COMPLETED_WITH_FAILURES): EmailText(
            "Registreringa for fleire likepersonar er ferdig, med unntak",
            "Nokre av aktivitetane du bad om å få registrerte for {organisation}, kunne ikkje registrerast.",
        ),
        (_BULK, JobOutcome.FAILED): EmailText(
            "Registreringa for fleire likepersonar gjekk ikkje",
            "Ingen av aktivitetane du bad om å få registrerte for {organisation}, kunne registrerast.",
        ),
        (_BULK, JobOutcome.CANCELLED): EmailText(
            "Registreringa for fleire likepersonar er avbroten",
            "Registreringa du bad om for {organisation}, er avbroten. Det som var registrert før det, står.",
        ),
    },
    check_deviations="Sjå gjennom avvika før du leverer rapporten.",
    unchanged="Ingenting er endra sidan versjon {version}, så det er ikkje laga nokon ny versjon.",
    links={
        _EXPORT: "Opne rapporten i Stafett",
        _REEXPORT: "Opne den nye versjonen i Stafett",
        _BULK: "Opne registreringa i Stafett",
    },
    command="På kommandolinja",
    closing="Denne meldinga er send automatisk og kan ikkje svarast på.",
    invitation=InvitationTexts(
        subject="Invitasjon til Stafett for {organisation}",
        opening="Du er invitert til Stafett for {organisation}.",
        instruction="Logg inn med den e-postadressa som denne meldinga er send til.",
        link="Logg inn i Stafett",
        roles={Role.COORDINATOR: "koordinator", Role.ADMIN: "administrator", Role.AUDITOR: "revisor"},
    ),
)

_EN = EmailTemplate(
    date_format="%Y-%m-%d",
    number_locale="en_GB",
    labels=FactLabels(
        organisation="Organisation",
        period="Period",
        day="Date of the activities",
        version="Version",
        rows="Rows in the file",
        countable="Count towards the grant",
        not_countable="Do not count",
        rejected="Left out, because something is missing or wrong",
        deviations="Activities with deviations",
        file="File",
        mentors="Peer mentors",
        registered="Registered",
        failed="Failed",
        cancelled="Cancelled",
        role="Role",
    ),
    texts={
        (_EXPORT, JobOutcome.COMPLETED): EmailText(
            "The Bufdir report for {period} is ready",
            "The report you requested for {organisation}, {period}, is ready to download.",
        ),
        (_EXPORT, JobOutcome.COMPLETED_EMPTY): EmailText(
            "The Bufdir report for {period} is empty",
            "The report you requested for {organisation}, {period}, is complete. "
            "There are no activities in the period, so no file was created.",
        ),
        (_EXPORT, JobOutcome.FAILED): EmailText(
            "The Bufdir report for {period} failed",
            "The report you requested for {organisation}, {period}, could not be made.",
        ),
        (_EXPORT, JobOutcome.CANCELLED): EmailText(
            "The Bufdir report for {period} was cancelled",
            "The report you requested for {organisation}, {period}, was cancelled. No file was created.",
        ),
        (_REEXPORT, JobOutcome.COMPLETED): EmailText(
            "A new version of the Bufdir report for {period} is ready",
            "The new version you requested of the report for {organisation}, {period}, is ready to download.",
        ),
        (_REEXPORT, JobOutcome.FAILED): EmailText(
            "The new version of the Bufdir report for {period} failed",
            "The new version you requested of the report for {organisation}, {period}, could not be made. "
            "The earlier versions are unchanged.",
        ),
        (_REEXPORT, JobOutcome.CANCELLED): EmailText(
            "The new version of the Bufdir report for {period} was cancelled",
            "The new version you requested of the report for {organisation}, {period}, was cancelled. "
            "The earlier versions are unchanged.",
        ),
        (_BULK, JobOutcome.COMPLETED): EmailText(
            "The registration for several peer mentors is complete",
            "All activities in the registration you requested for {organisation} are registered.",
        ),
        (_BULK, JobOutcome.COMPLETED_WITH_FAILURES): EmailText(
            "The registration for several peer mentors is complete, with failures",
            "Some activities in the registration you requested for {organisation} could not be registered.",
        ),
        (_BULK, JobOutcome.FAILED): EmailText(
            "The registration for several peer mentors failed",
            "No activities in the registration you requested for {organisation} could be registered.",
        ),
        (_BULK, JobOutcome.CANCELLED): EmailText(
            "The registration for several peer mentors was cancelled",
            "The registration you requested for {organisation} was cancelled. "
            "Activities that were registered before that remain.",
        ),
    },
    check_deviations="Look through the deviations before you hand in the report.",
    unchanged="Nothing has changed since version {version}, so no new version was made.",
    links={
        _EXPORT: "Open the report in Stafett",
        _REEXPORT: "Open the new version in Stafett",
        _BULK: "Open the registration in Stafett",
    },
    command="On the command line",
    closing="This message was sent automatically and cannot be replied to.",
    invitation=InvitationTexts(
        subject="Invitation to Stafett for {organisation}",
        opening="You are invited to Stafett for {organisation}.",
        instruction="Sign in with the email address to which this message was sent.",
        link="Sign in to Stafett",
        roles={Role.COORDINATOR: "coordinator", Role.ADMIN: "administrator", Role.AUDITOR: "auditor"},
    ),
)

EMAIL_TEMPLATES: Mapping[Locale, EmailTemplate] = {"nb": _NB, "nn": _NN, "en": _EN}
