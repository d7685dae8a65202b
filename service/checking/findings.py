"""What a check has found, and what its exit status is."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

State = Literal["ready", "failed", "unavailable"]
"""As in the repository; of what the version policy leaves out, "unavailable"."""

ALL_SERVED, NOT_SERVED, MISCONFIGURED = 0, 1, 2


@dataclass(frozen=True)
class Finding:
    """Something that is wrong, or is likely not meant.

    Args:
        where: inside the repository.
        what: is the matter, in words that go on after ``where:``.
        remedy: what to do.
        keeps_out: whether something is not served for it.
    """

    where: str
    what: str
    remedy: str
    keeps_out: bool = False

    def __str__(self) -> str:
        """Return it in one line."""
        return f"{self.where}: {self.what}; {self.remedy}"


@dataclass(frozen=True)
class Version:
    """What became of one version of one model.

    Args:
        model: its name.
        version: its number.
        state: as it would be served.
        reason: why it would not be; None of what would.
        provider: that it ran on.
        batched: whether requests may share its runs.
        row_ms: milliseconds of a run of one row; None where nothing was measured.
        batch_ms: milliseconds of a run of ``max_batch_size`` rows, likewise.
        parity: whether it was held against the vector of its export; not every file has one.
    """

    model: str
    version: str
    state: State
    reason: str | None = None
    provider: str | None = None
    batched: bool | None = None
    row_ms: float | None = None
    batch_ms: float | None = None
    parity: bool | None = None


@dataclass(frozen=True)
class Findings:
    """All that a check has found.

    Args:
        configuration: why a start would be refused, a line each.
        models: the repository's folder.
        plan: of processes and threads, in words; None without a configuration.
        versions: of all models.
        findings: about the repository.
    """

    configuration: Sequence[str] = ()
    models: str | None = None
    plan: str | None = None
    versions: Sequence[Version] = ()
    findings: Sequence[Finding] = ()

    @property
    def status(self) -> int:
        """The exit status: 0 all is served, 1 something is not, 2 there would be no start."""
        if self.configuration:
            return MISCONFIGURED
        return NOT_SERVED if any(each.keeps_out for each in self.findings) else ALL_SERVED

    def as_json(self) -> Mapping[str, Any]:
        """Return the document for machines."""
        return {
            "status": self.status,
            "configuration": {"problems": [*self.configuration], "plan": self.plan},
            "models": self.models,
            "versions": [asdict(each) for each in self.versions],
            "problems": [_told(each) for each in self.findings if each.keeps_out],
            "warnings": [_told(each) for each in self.findings if not each.keeps_out],
        }


def _told(finding: Finding) -> Mapping[str, str]:
    return {"where": finding.where, "what": finding.what, "remedy": finding.remedy}
