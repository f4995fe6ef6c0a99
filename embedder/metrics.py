"""What the embedder tells Prometheus about its work."""

from functools import partial

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from embedder.domain import Domain, ModelState
from embedder.models.model import Model
from embedder.models.registry import Models

_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)


class EmbedderMetrics:
    """Counts of inputs and tokens, and time, by domain. Nobody's text."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry
        self._inputs = Counter("trimem_embed_inputs_total", "Inputs embedded", ["domain"], registry=registry)
        self._tokens = Counter(
            "trimem_embed_tokens_total", "Tokens of inputs embedded, before truncation", ["domain"], registry=registry
        )
        self._seconds = Histogram(
            "trimem_encode_seconds",
            "Time from asking a loaded model to its answer, waiting included",
            ["domain"],
            buckets=_BUCKETS,
            registry=registry,
        )

    def watch(self, models: Models) -> None:
        """Report `trimem_model_state`: 1 for the state that the model of a domain is in, 0 for the others."""
        gauge = Gauge("trimem_model_state", "State of models", ["domain", "state"], registry=self._registry)
        for domain in models:
            for state in ModelState:
                gauge.labels(domain.value, state.value).set_function(partial(_is_in, models[domain], state))

    def encoded(self, domain: Domain, *, inputs: int, tokens: int, seconds: float) -> None:
        """Record one call of a model."""
        self._inputs.labels(domain.value).inc(inputs)
        self._tokens.labels(domain.value).inc(tokens)
        self._seconds.labels(domain.value).observe(seconds)


def _is_in(model: Model, state: ModelState) -> float:
    return float(model.state is state)
