"""What the store measures of itself, beside its RPCs."""

from prometheus_client import CollectorRegistry, Counter, Gauge


class StoreMetrics:
    """Events that wait for their embedding, and what became of those that waited."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.pending = Gauge(
            "trimem_store_pending_events", "Stored events that wait for their embedding", registry=registry
        )
        self.backfilled = Counter(
            "trimem_store_backfilled_events", "Events settled by the backfill", ["state"], registry=registry
        )
