"""Typical values of each activity type; a value that occurs more often in a tuple is drawn more often."""

from typing import NamedTuple

from stafett.domain.activity import ActivityType


class ActivityProfile(NamedTuple):
    """The participants, the durations in minutes and the percentage of remote meetings of one activity type."""

    activity_type: ActivityType
    participant_choices: tuple[int, ...]
    duration_choices: tuple[int, ...]
    percent_remote: int


# Groups of two, groups of half an hour and courses of an hour are included because they are not countable.
ACTIVITY_PROFILES = (
    ActivityProfile(ActivityType.OPPSOKENDE_SAMTALE, (1,) * 19 + (2,), (30, 45, 60, 60, 60, 90, 120), 3),
    ActivityProfile(
        ActivityType.SAMTALEGRUPPE, (2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 8, 10, 12), (30, *(60, 90, 120) * 5, 45), 4
    ),
    ActivityProfile(
        ActivityType.AKTIVITETSGRUPPE, (2, 3, 4, 5, 6, 7, 8, 9, 10, 12, 15, 18, 25), (30, *(60, 120, 180) * 5, 45), 0
    ),
    ActivityProfile(
        ActivityType.LIKEPERSONSKURS, (4, 6, 8, 8, 10, 10, 12, 14, 16, 20, 24, 30), (60, *(90, 180, 300, 360) * 5), 2
    ),
    ActivityProfile(ActivityType.TELEFONSAMTALE, (1,), (10, 15, 15, 20, 30, 30, 45, 60), 100),
    ActivityProfile(ActivityType.DIGITAL_SAMTALE, (1, 1, 1, 2, 3, 4, 6, 8), (20, 30, 30, 45, 60, 90), 100),
    ActivityProfile(ActivityType.BESOK, (1, 1, 1, 1, 2, 3), (30, 45, 60, 60, 90), 0),
    ActivityProfile(ActivityType.ANNET, (0, 1, 2, 5, 10, 40, 120), (30, 60, 90, 120, 240), 10),
)

_DEFAULT_PERCENTAGES = (30, 16, 14, 4, 14, 10, 8, 4)
_PERCENTAGES_PER_ORG = {
    "nhf": (28, 14, 22, 5, 12, 8, 7, 4),
    "blindeforbundet": (32, 12, 16, 4, 22, 3, 9, 2),
    "hlf": (30, 20, 10, 5, 3, 22, 6, 4),  # hard of hearing: rather in writing and digitally than by telephone
}


def profile_distribution(org_id: str) -> list[int]:
    """Return a hundred indices of ``ACTIVITY_PROFILES``, each as often as its type occurs in the organisation."""
    percents = _PERCENTAGES_PER_ORG.get(org_id, _DEFAULT_PERCENTAGES)
    return [index for index, percent in enumerate(percents) for _ in range(percent)]
