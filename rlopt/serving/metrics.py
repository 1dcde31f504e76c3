"""Metrics for Prometheus."""

import os

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead

FOLDER = "PROMETHEUS_MULTIPROC_DIR"  # prometheus_client's own variable: the workers' counts lie there
CONTENT_TYPE = CONTENT_TYPE_LATEST
SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096)


class Metrics:
    """The counters of one process."""

    def __init__(self) -> None:
        self._registry = registry = CollectorRegistry()
        self.requests = Counter(
            "rlopt_requests", "Requests answered, by route and HTTP status.", ("route", "status"), registry=registry
        )
        self.seconds = Histogram(
            "rlopt_request_seconds", "From the first byte read to the last written.", ("route",), buckets=SECONDS,
            registry=registry,
        )  # fmt: skip
        self.errors = Counter(
            "rlopt_errors", "Errors by kind: busy, timeout, too_large, internal, reload, log.", ("kind",),
            registry=registry,
        )  # fmt: skip
        self.batch_titles = Histogram("rlopt_batch_titles", "Titles scored at once.", buckets=SIZES, registry=registry)
        self.batch_requests = Histogram(
            "rlopt_batch_requests", "Requests scored at once.", buckets=SIZES, registry=registry
        )
        self.titles = Counter("rlopt_titles", "Titles scored or written.", ("work",), registry=registry)
        self.waiting = Gauge(
            "rlopt_waiting_titles", "Titles that wait to be scored.", registry=registry, multiprocess_mode="livesum"
        )
        self.reloads = Counter("rlopt_reloads", "Newer runs or tables loaded.", registry=registry)

    def text(self) -> bytes:
        """All of it, of all workers."""
        if FOLDER not in os.environ:
            return generate_latest(self._registry)
        joined = CollectorRegistry()
        MultiProcessCollector(joined)  # type: ignore[no-untyped-call]
        return generate_latest(joined)

    def close(self) -> None:
        """A worker ends: what it had waiting waits no more."""
        if FOLDER in os.environ:
            mark_process_dead(os.getpid())  # type: ignore[no-untyped-call]
