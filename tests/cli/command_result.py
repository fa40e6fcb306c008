"""What a command left behind."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Result:
    """Exit status and output."""

    status: int
    out: str
    err: str

    @property
    def lines(self) -> list[str]:
        return self.out.splitlines()
