"""Hypothesis profiles: `dev` while writing a change, `ci` for `make check` and `make test`, `soak` for `make soak`.

`ci` repeats the same examples, so that a change fails because of what it changed; `dev` and `soak` look for new ones.
"""

from hypothesis import HealthCheck, settings

_USUAL_EXAMPLES = 100
_EXAMPLES_PER_TEST = {"dev": 20, "ci": 30, "soak": 3_500}


def register_profiles() -> None:
    """Register the profiles, which `--hypothesis-profile` selects, and load `dev`."""
    for name, max_examples in _EXAMPLES_PER_TEST.items():
        # No test asserts a duration: a slow machine must not fail a property.
        settings.register_profile(
            name,
            deadline=None,
            suppress_health_check=[HealthCheck.too_slow],
            max_examples=max_examples,
            derandomize=name == "ci",
        )
    settings.load_profile("dev")


def scale_examples(count: int) -> int:
    """Return the number of examples in the current profile of a test that needs another number than the usual 100."""
    return max(1, count * settings().max_examples // _USUAL_EXAMPLES)
