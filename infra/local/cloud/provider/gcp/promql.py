"""Whether a text is PromQL, by a real parser (promql-parser, that of GreptimeDB), and which of our metrics it names.

What expressions mean is tried elsewhere, with Prometheus's own engine: tests/infra/test_watching.py.
"""

from __future__ import annotations

import re

from infra.local.cloud.cloud import Cloud

METRIC = "gcp:logging/metric:Metric"
OURS = re.compile(r"\blogging_googleapis_com:user_(\w+)")
PARTS = ("_bucket", "_count", "_sum")
"""What a distribution is in PromQL."""


def refusal(query: str) -> str | None:
    """Why Google would not take it; None when it would."""
    import promql_parser  # loaded when the first alert is checked: the daemon's start does not wait for it

    try:
        promql_parser.parse(query)
    except ValueError as error:
        return f"invalid PromQL query: {error}"
    return None


def missing(cloud: Cloud, query: str) -> list[str]:
    """Metrics of logs that a query names and that are not there."""
    known = set()
    for record in cloud.store.of(METRIC):
        name = re.sub(r"\W", "_", str(record.args["name"]))
        spread = (record.args.get("metricDescriptor") or {}).get("valueType") == "DISTRIBUTION"
        known |= {name + part for part in PARTS} if spread else {name}
    return [name for name in OURS.findall(query) if name not in known]
