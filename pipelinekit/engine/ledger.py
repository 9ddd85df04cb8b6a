"""Where every message ended, counted per partition; the counts balance (see `imbalances`)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from pipelinekit.data import METRIC_OUTCOMES, SOURCE_OUTCOMES, LedgerEntry, Outcome

# (metric or "" for the source, partition, outcome) → messages
Counts = Mapping[tuple[str, int, Outcome], int]


@dataclass(slots=True)
class Ledger:
    """Cumulative counts of a job.

    `metric_base` is, per metric and partition, how many messages had been accepted when the
    metric started: its outcomes add up to what was accepted since.
    """

    counts: dict[tuple[str, int, Outcome], int] = field(default_factory=dict)
    metric_base: dict[tuple[str, int], int] = field(default_factory=dict)

    def add(self, counts: Counts) -> None:
        for key, count in counts.items():
            self.counts[key] = self.counts.get(key, 0) + count

    def get(self, metric: str, outcome: Outcome, partition: int | None = None) -> int:
        """Messages of an outcome, in one partition or in all."""
        return sum(
            count
            for (name, number, kind), count in self.counts.items()
            if name == metric and kind is outcome and partition in (None, number)
        )

    def start_metric(self, metric: str, partitions: Iterable[int]) -> None:
        """Forget the metric's counts and start them at what is accepted by now."""
        for key in [k for k in self.counts if k[0] == metric]:
            del self.counts[key]
        for partition in partitions:
            accepted = self.counts.get(("", partition, Outcome.ACCEPTED), 0)
            self.metric_base[(metric, partition)] = accepted

    def rename_metric(self, metric: str, to: str) -> None:
        """The metric's counts go on under another name."""
        self.counts = {
            (to if name == metric else name, partition, outcome): count
            for (name, partition, outcome), count in self.counts.items()
        }
        self.metric_base = {
            (to if name == metric else name, partition): count
            for (name, partition), count in self.metric_base.items()
        }

    def drop_metric(self, metric: str) -> None:
        for key in [k for k in self.counts if k[0] == metric]:
            del self.counts[key]
        for base in [k for k in self.metric_base if k[0] == metric]:
            del self.metric_base[base]

    def entries(
        self,
        job: str,
        source: str,
        offsets: Mapping[int, int],
        *,
        epoch: int = 1,
        metrics: Iterable[str] = (),
    ) -> list[LedgerEntry]:
        """The ledger as rows, in a stable order; `offsets` is the next offset per partition.

        From the second epoch on zeros are among them, of the source and of `metrics`: they replace
        what an older epoch had counted.
        """
        counts = dict(self.counts)
        if epoch > 1:
            for partition in offsets:
                kinds = [("", o) for o in SOURCE_OUTCOMES]
                kinds += [(m, o) for m in metrics for o in METRIC_OUTCOMES]
                for metric, outcome in kinds:
                    counts.setdefault((metric, partition, outcome), 0)
        return [
            LedgerEntry(job, source, metric, partition, outcome, offsets[partition], count, epoch)
            for (metric, partition, outcome), count in sorted(
                counts.items(), key=lambda item: (item[0][0], item[0][1], item[0][2].value)
            )
        ]

    def imbalances(self, messages_read: Mapping[int, int], metrics: Iterable[str]) -> list[str]:
        """What does not add up, in words; empty when all is accounted for.

        messages read = accepted + invalid + future, and for every metric
        accepted since its start = counted + filtered + too_late + before_start.
        """
        found = []
        for partition, read in sorted(messages_read.items()):
            ended = sum(self.counts.get(("", partition, o), 0) for o in SOURCE_OUTCOMES)
            if read != ended:
                found.append(f"partition {partition}: {read} messages read, {ended} accounted for")
            accepted = self.counts.get(("", partition, Outcome.ACCEPTED), 0)
            for metric in metrics:
                since = accepted - self.metric_base.get((metric, partition), 0)
                ended = sum(self.counts.get((metric, partition, o), 0) for o in METRIC_OUTCOMES)
                if since != ended:
                    found.append(
                        f"partition {partition}, metric {metric}: {since} accepted since its "
                        f"start, {ended} accounted for"
                    )
        return found
