"""What the embedder tells Prometheus about its work."""

from collections.abc import Callable
from functools import partial

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from embedder.cache import EmbeddingCache
from embedder.domain import Domain, ModelState
from embedder.models.registry import Models

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
_INPUTS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)


class EmbedderMetrics:
    """Counts of inputs, tokens and batches, and time, by domain or model. Nobody's text."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry
        self._inputs = self._counter("trimem_embed_inputs_total", "Inputs embedded", "domain")
        self._cached = self._counter("trimem_embed_cached_inputs_total", "Inputs found in the cache", "domain")
        self._tokens = self._counter(
            "trimem_embed_tokens_total", "Tokens of inputs embedded, before truncation", "domain"
        )
        self._seconds = self._histogram(
            "trimem_encode_seconds",
            "Time from asking a loaded model to its answer, waiting included",
            "domain",
            _SECONDS,
        )
        self._batch_inputs = self._histogram("trimem_batch_inputs", "Inputs in a batch", "model", _INPUTS)
        self._batch_seconds = self._histogram("trimem_batch_seconds", "Time that a batch takes", "model", _SECONDS)
        self._batch_tokens = self._counter("trimem_batch_tokens_total", "Tokens that models have read", "model")
        self._padding = self._counter(
            "trimem_batch_padding_tokens_total", "Tokens that models have computed only to fill batches up", "model"
        )

    def watch(self, models: Models, cache: EmbeddingCache, *, rss: Callable[[], int]) -> None:
        """Report, at every scrape: what is in memory, and what waits."""
        state = Gauge("trimem_model_state", "1 for the state of a model", ["domain", "state"], registry=self._registry)
        weights = self._gauge("trimem_model_weight_bytes", "Weights in memory", "domain")
        items = self._gauge("trimem_queue_inputs", "Inputs that wait for a model, or are being run", "domain")
        tokens = self._gauge("trimem_queue_tokens", "Tokens that wait for a model", "domain")
        for domain in models:
            for each in ModelState:
                state.labels(domain.value, each.value).set_function(partial(_is_in, models, domain, each))
            weights.labels(domain.value).set_function(partial(_weight_bytes, models, domain))
            items.labels(domain.value).set_function(partial(_queue_items, models, domain))
            tokens.labels(domain.value).set_function(partial(_queue_tokens, models, domain))
        self._gauge("trimem_cache_entries", "Embeddings in the cache").set_function(lambda: len(cache))
        self._gauge("trimem_cache_bytes", "Memory that they take, about").set_function(lambda: cache.bytes)
        self._gauge("trimem_rss_bytes", "Resident memory of the process").set_function(rss)

    def encoded(self, domain: Domain, *, inputs: int, cached: int, tokens: int, seconds: float) -> None:
        """Record one call of a model."""
        self._inputs.labels(domain.value).inc(inputs)
        self._cached.labels(domain.value).inc(cached)
        self._tokens.labels(domain.value).inc(tokens)
        self._seconds.labels(domain.value).observe(seconds)

    def batch_ran(self, model: str, *, inputs: int, tokens: int, padded_tokens: int, seconds: float) -> None:
        """Record one batch."""
        self._batch_inputs.labels(model).observe(inputs)
        self._batch_seconds.labels(model).observe(seconds)
        self._batch_tokens.labels(model).inc(tokens)
        self._padding.labels(model).inc(padded_tokens - tokens)

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(name, text, labels, registry=self._registry)

    def _gauge(self, name: str, text: str, *labels: str) -> Gauge:
        return Gauge(name, text, labels, registry=self._registry)

    def _histogram(self, name: str, text: str, label: str, buckets: tuple[float, ...]) -> Histogram:
        return Histogram(name, text, [label], buckets=buckets, registry=self._registry)


def _is_in(models: Models, domain: Domain, state: ModelState) -> float:
    return float(models[domain].state is state)


def _weight_bytes(models: Models, domain: Domain) -> float:
    return models.describe(domain).weight_bytes


def _queue_items(models: Models, domain: Domain) -> float:
    encoder = models[domain].encoder
    return encoder.batcher.items if encoder else 0


def _queue_tokens(models: Models, domain: Domain) -> float:
    encoder = models[domain].encoder
    return encoder.batcher.waiting_tokens if encoder else 0
