"""What the store measures of itself, beside its RPCs."""

from prometheus_client import CollectorRegistry, Counter, Gauge

from store.events import EmbeddingState


class StoreMetrics:
    """Events that wait for their embedding, and what became of those that waited."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._pending = Gauge(
            "trimem_store_pending_events", "Stored events that wait for their embedding", registry=registry
        )
        self._backfilled = Counter(
            "trimem_store_backfilled_events", "Events settled by the backfill", ["state"], registry=registry
        )

    def pending(self, count: int) -> None:
        """So many events wait."""
        self._pending.set(count)

    def settled(self, state: EmbeddingState) -> None:
        """One event does not wait any more."""
        self._backfilled.labels(state.value).inc()
