"""Draws of hypothesis that are the same in every run, whatever ran before."""

from collections.abc import Iterator
from contextlib import contextmanager
from unittest import mock

from hypothesis import HealthCheck, Phase, settings
from hypothesis.internal.conjecture import providers


def same_examples(count: int) -> settings:
    """So many examples, the first that are drawn; one that fails is told as it was drawn."""
    return settings(
        max_examples=count,
        derandomize=True,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )


@contextmanager
def same_draws() -> Iterator[None]:
    """Leave out the constants of the modules loaded so far: recent versions of hypothesis mix them into their draws."""
    if not hasattr(providers, "_get_local_constants"):
        yield  # a version that does not
        return
    none = providers.Constants(integers=set(), floats=set(), bytes=set(), strings=set())
    providers.CONSTANTS_CACHE.cache.clear()
    with mock.patch.object(providers, "_get_local_constants", return_value=none):
        yield
    providers.CONSTANTS_CACHE.cache.clear()
