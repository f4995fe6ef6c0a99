"""`trimem status` and `trimem models`."""

import typer

from trimem.client.cli.arguments import examples
from trimem.client.cli.failures import UNAVAILABLE
from trimem.client.cli.output import AsJson, document_of, emit, show_table
from trimem.client.cli.session import session_of

STATUS_EXAMPLES = examples("trimem status", "until trimem --timeout 2 status; do sleep 1; done")
MODELS_EXAMPLES = examples("trimem models", "trimem models --json | jq -r '.models[].fingerprint'")


def status(context: typer.Context, as_json: AsJson = False) -> None:
    """Say whether the gateway and what is behind it answer; exit status 4 when not. With --json one document."""
    with session_of(context).open() as client:
        health = client.health()
    if as_json:
        emit(document_of(health))
    else:
        rows = [("gateway", health.serving), *health.services.items()]
        show_table(("SERVICE", "STATUS"), [(name, "serving" if good else "not serving") for name, good in rows])
    if not (health.serving and all(health.services.values())):
        raise typer.Exit(UNAVAILABLE)


def models(context: typer.Context, as_json: AsJson = False) -> None:
    """Show the models that embed. With --json one document."""
    with session_of(context).open() as client:
        found = client.models()
    if as_json:
        emit(document_of(found))
        return
    show_table(
        ("DOMAIN", "STATE", "DIMENSION", "TOKENS", "PRECISION", "ENGINE", "FINGERPRINT", "NAME"),
        [
            (
                one.domain or "",
                one.state or "",
                str(one.dimension),
                str(one.max_tokens or ""),
                one.precision,
                one.engine,
                one.fingerprint[:12],
                f"{one.name}@{one.revision}" if one.revision else one.name,
            )
            for one in found.models
        ],
    )
