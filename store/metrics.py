"""What the store measures of itself, beside its RPCs."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime

from prometheus_client import CollectorRegistry, Counter, Gauge

from store.events import EmbeddingState
from store.repositories.outbox import Backlog
from store.repositories.status import Partition, PoolUse
from store.use_cases.backfill import BatchOutcome


class StoreMetrics:
    """What waits for work in the background, what became of what waited, and connections."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._pending = Gauge(
            "trimem_store_pending_events", "Stored events that wait for their embedding", registry=registry
        )
        self._failed = Gauge("trimem_store_failed_events", "Events that are parked as FAILED", registry=registry)
        self._oldest = Gauge(
            "trimem_store_oldest_pending_seconds", "Since when the oldest pending event is as it is", registry=registry
        )
        self._without_words = Gauge(
            "trimem_store_events_without_words", "Events from before that no search finds by words", registry=registry
        )
        self._backfilled = Counter(
            "trimem_store_backfilled_events", "Events settled by the backfill", ["state"], registry=registry
        )
        self._batches = Counter(
            "trimem_store_backfill_batches", "What became of the backfill's batches", ["outcome"], registry=registry
        )
        self._attempts = Counter(
            "trimem_store_failed_embedding_attempts", "Texts that the backfill tried in vain", registry=registry
        )
        self._connections = Gauge(
            "trimem_store_pool_connections", "Connections to the database", ["state"], registry=registry
        )
        self._partition_rows = Gauge(
            "trimem_store_partition_rows", "Events of a partition, estimated", ["partition"], registry=registry
        )
        self._upkeep_success = Gauge(
            "trimem_store_upkeep_success_time_seconds",
            "When the last round of work on the partitions succeeded, in Unix time",
            registry=registry,
        )
        self._files = Counter("trimem_store_code_files", "Source files that were stored", registry=registry)
        self._chunks = Counter("trimem_store_code_chunks", "Chunks of the source files stored", registry=registry)
        self._embedded_chunks = Counter(
            "trimem_store_code_embedded_chunks", "Chunks of code that got new vectors", registry=registry
        )
        for outcome in BatchOutcome:
            self._batches.labels(outcome.value)

    def backlog(self, backlog: Backlog) -> None:
        """How much work waits."""
        self._pending.set(backlog.pending)
        self._failed.set(backlog.failed)
        since = backlog.oldest_pending_time
        self._oldest.set(0 if since is None else max(0.0, (datetime.now(UTC) - since).total_seconds()))

    def without_words(self, count: int) -> None:
        """So many events have no words yet."""
        self._without_words.set(count)

    def batch(self, outcome: BatchOutcome) -> None:
        """What became of a batch."""
        self._batches.labels(outcome.value).inc()

    def settled(self, state: EmbeddingState) -> None:
        """One event does not wait any more."""
        self._backfilled.labels(state.value).inc()

    def attempt_failed(self) -> None:
        """A text was tried in vain, by its own fault."""
        self._attempts.inc()

    def partitions(self, partitions: Sequence[Partition]) -> None:
        """All partitions; those that were dropped are not reported any more."""
        self._partition_rows.clear()
        for one in partitions:
            self._partition_rows.labels(one.name).set(one.rows)

    def upkeep_succeeded(self) -> None:
        """A round of work on the partitions is done."""
        self._upkeep_success.set_to_current_time()

    def indexed(self, files: int, chunks: int, embedded: int) -> None:
        """So many more source files and chunks are stored, so many of the latter with new vectors."""
        self._files.inc(files)
        self._chunks.inc(chunks)
        self._embedded_chunks.inc(embedded)

    def watch_pool(self, use: Callable[[], PoolUse]) -> None:
        """Ask how the connections are used whenever somebody reads the metrics."""
        self._connections.labels("in_use").set_function(lambda: use().in_use)
        self._connections.labels("idle").set_function(lambda: use().idle)
        self._connections.labels("max").set_function(lambda: use().most)
