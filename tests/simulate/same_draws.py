"""Draws of hypothesis that are the same in every run, whatever ran before."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar
from unittest import mock

from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis.internal.conjecture import providers

Test = TypeVar("Test", bound=Callable[..., None])


def same_examples(count: int, series: str) -> Callable[[Test], Test]:
    """So many examples, the first that are drawn; one that fails is told as it was drawn.

    Another series has other examples: without it, tests of the same strategy would all be shown the same ones.
    """
    same = settings(
        max_examples=count,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    return lambda test: same(seed(series)(test))


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
