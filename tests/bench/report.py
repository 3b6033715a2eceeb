"""docs/benchmarks.md, from the results of one run. A figure that is missing is a `-`; a target then is not judged."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from tests.bench import plot
from tests.bench.extras import NETWORK_MS
from tests.bench.runner import EDGE_FREE, EDGE_TEAM
from tests.bench.targets import Record, Results, Target, limits, rate, targets

NAME = "benchmarks.md"

FAIR = """\
- Ours runs with the API key checked, the hop signed and every request logged; through the edge there is a second HTTP
  hop (workerd). Peers over stdio pay neither HTTP nor a key; their clients share one process and one session, as their
  users' do. mcp-memory-service runs over HTTP with no key.
- All run on one machine and share its processors with the load generator. Its share of one processor is in the tables.
- Every system gets the same memories and the same queries. What a search means differs: ours finds any of the words,
  their stems and the phrase, in title, summary and content, and answers whole memories; memorygraphMCP answers titles;
  server-memory looks for one text (the first word is sent, or most searches would find nothing) and answers every hit;
  mcp-memory-service compares hash embeddings, which cost less, and find less, than a model's.
- No network is between the parts, but where a table says so. Real Turso, Supabase, Upstash and Cloudflare are further
  away, and Cloud Run's processor is another one.
- PostgreSQL syncs each commit as the local cloud starts it; SQLite peers do what their defaults say.
- Ceilings: "bare" sends what the product sends (recorded from it) without HTTP, key or rendering. Pipelining is not
  tried, because Supabase's pooler loses what is pipelined (supabase/supavisor#1061). A ceiling's own client shares the
  machine too, and Python is its limit before PostgreSQL is.
- Free plan: 16 workspaces, between which the clients change, since one has few calls a day; stores rewrite memories
  that are there, since it is full. Compare it with bare sqld only.
"""


def markdown(results: Results) -> str:
    """The whole document."""
    cells: list[Record] = results["cells"]
    parts = [_head(results)]
    parts += ["## Targets\n", _targets_table(targets(results))]
    if stops := limits(results):
        parts += ["What stops the missed ones:\n", "".join(f"- {stop}\n" for stop in stops)]
    parts += [f"![Operations a second of mixed traffic]({plot.NAME})\n"]
    for size in sorted({cell["size"] for cell in cells}):
        parts += [f"## Mixed load, {size:,} memories\n", _loads([cell for cell in cells if cell["size"] == size])]
    parts += ["## Ceilings\n", _ceilings(results)]
    parts += ["## Users, and a store that is far away\n", _users(results)]
    parts += ["## A request that touches no store\n", _store_free(results)]
    parts += ["## Cold start\n", _cold(results)]
    parts += ["## Commands to Redis\n", _redis(results)]
    if results["skipped"]:
        rows = [(one["what"], one["why"]) for one in results["skipped"]]
        parts += ["## Left out of this run\n", _table(("what", "why"), rows)]
    parts += ["## What is fair here, and what is not\n", FAIR]
    return "\n".join(parts)


def _head(results: Results) -> str:
    machine = "; ".join(f"{name} {value}" for name, value in results["machine"].items())
    versions = ", ".join(f"{name} {value}" for name, value in results["versions"].items())
    short = "**A quick run: it shows that all of it works, not how fast it is.**\n\n" if results["quick"] else ""
    return f"""\
# Benchmarks

{short}Written by `make bench` on {results["date"]}; run it again to write it anew (`make bench ARGS=--quick`: about a
minute; `BENCH_SECONDS=10`: longer loads). Loads of {results["seconds"]:g} s, seed {results["seed"]}. One run on one
machine: compare the rows with each other, not with other machines.

- Machine: {machine}.
- Versions: {versions}. The peers' are in their names; lock files: `tests/bench/peers/`.
- Mixed load: 60% search (one to three words, limit 10), 30% get, 10% store; memories of about 450 characters, words by
  Zipf's law; each client waits for its answer. Stores are read back afterwards: "lost" were acknowledged and are not
  there.
"""


def _targets_table(found: Sequence[Target]) -> str:
    rows = [
        (one.what, one.wanted, one.value or "-", {True: "met", False: "**missed**", None: "-"}[one.met])
        for one in found
    ]
    return _table(("what", "target", "this run", ""), rows)


def _loads(cells: Sequence[Record]) -> str:
    head = (
        "system",
        "clients",
        "ops/s",
        "best peer x",
        "search p50 / p95 / p99 ms",
        "get",
        "store",
        "errors",
        "lost",
        "load CPU",
        "machine",
    )
    rows = []
    for cell in cells:
        peers = [
            one["rate"] for one in cells if not one["system"].startswith("ours") and one["clients"] == cell["clients"]
        ]
        ratio = f"{cell['rate'] / max(peers):.1f}" if peers and max(peers) and cell["system"].startswith("ours") else ""
        errors = ", ".join(f"{count} {name}" for name, count in cell["errors"].items()) or "0"
        rows.append(
            (
                cell["system"],
                cell["clients"],
                f"{cell['rate']:,.0f}",
                ratio,
                *(_ms(cell["ms"].get(kind)) for kind in ("search", "get", "store")),
                errors,
                f"{cell['lost']} of {cell['acknowledged']}",
                f"{cell['load_cpu']:.0%}",
                f"{cell['machine_cpu']:.0%}",
            )
        )
    return _table(head, rows)


def _ms(found: Record | None) -> str:
    return " / ".join(_number(found[name]) for name in ("p50", "p95", "p99")) if found else "-"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f}" if value < 100 else f"{value:.0f}"


def _ceilings(results: Results) -> str:
    rows = []
    for size, variants in results.get("bare PostgreSQL", {}).items():
        for name, one in variants.items():
            rows.append(_ceiling_row(f"psycopg, {name}", size, one, rate(results, EDGE_TEAM, int(size), 32)))
    for size, one in results.get("bare sqld", {}).items():
        rows.append(_ceiling_row("Hrana pipeline to sqld", size, one, rate(results, EDGE_FREE, int(size), 32)))
    head = ("32 tasks", "memories", "ops/s", "p50 ms", "p95 ms", "errors", "load CPU", "ours through the edge")
    return _table(head, rows)


def _ceiling_row(name: str, size: str, one: Record, ours: float | None) -> tuple[object, ...]:
    share = f"{ours / one['rate']:.0%}" if ours and one["rate"] else "-"
    cpu = f"{one['load_cpu']:.0%}"
    return name, size, f"{one['rate']:,.0f}", _number(one["p50"]), _number(one["p95"]), one["errors"], cpu, share


def _users(results: Results) -> str:
    rows = []
    for name, found in (("through the edge", results.get("users")), ("function", results.get("far store"))):
        network = f", PostgreSQL and Redis {NETWORK_MS} ms away" if name == "function" else ""
        for pace, cell in (found or {}).items():
            every = cell["ms"]["all"]
            errors = sum(cell["errors"].values())
            rows.append((f"{name}{network}", pace, f"{cell['rate']:,.0f}", _ms(every), errors, cell["lost"]))
    return _table(("100 users, Team", "pace", "ops/s", "p50 / p95 / p99 ms", "errors", "lost"), rows) + (
        '\n"Pausing": half a second to one and a half between an answer and the next call, by the seed. "Without '
        'pause" is a closed loop: with 100 clients the median is 100 over the rate.\n'
    )


def _store_free(results: Results) -> str:
    found = results.get("store free", {})
    names = {
        "bare": "bare functions-framework handler under the same server, no key",
        "function": "GET /health with a key, function",
        "edge": "GET /health with a key, through the edge",
    }
    bare = found.get("bare", {}).get("rate")
    rows = [
        (
            label,
            f"{found[name]['rate']:,.0f}",
            f"{found[name]['rate'] / bare:.0%}" if bare else "-",
            _number(found[name]["p50"]),
            _number(found[name]["p95"]),
            found[name]["errors"],
            f"{found[name]['load_cpu']:.0%}",
        )
        for name, label in names.items()
        if name in found
    ]
    return _table(("32 clients", "ops/s", "of bare", "p50 ms", "p95 ms", "errors", "load CPU"), rows)


def _cold(results: Results) -> str:
    rows = [
        (name, f"{one['median']:.0f}", f"{one['least']:.0f}", f"{one['most']:.0f}", one["times"])
        for name, one in results.get("cold start", {}).items()
    ]
    return _table(("process start to first 200, ms", "median", "least", "most", "starts"), rows)


def _redis(results: Results) -> str:
    rows = []
    for name, found in results.get("redis", {}).items():
        commands = found["commands"]
        each = ", ".join(f"{count} {command}" for command, count in commands.items()) or "none"
        per_call = f"{sum(commands.values()) / found['calls']:.3f}" if found["calls"] else "-"
        rows.append((name, found["calls"], each, per_call))
    return _table(("one key, one process", "calls", "commands", "a call"), rows) + (
        "\nCounted between the function and the stand-in of Upstash; a script counts once, the commands inside it are "
        "not seen from there.\n"
    )


def _table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    lines = [_row(head), _row(["---"] * len(head)), *(_row(row) for row in rows)]
    return "\n".join(lines) + "\n" if len(lines) > 2 else "Not measured in this run.\n"


def _row(cells: Sequence[object]) -> str:
    return "| " + " | ".join(str(cell).replace("|", "\\|").replace("\n", " ") for cell in cells) + " |"
