"""`make bench`: the memories of the local cloud beside peers, in one run, on one machine (DESIGN.md, section 10).

    workload.py   what is stored and asked, from a fixed seed
    load.py       the closed loop of clients; cells.py: what it measures
    wire.py       the lean HTTP client of the load
    cloud.py      our local cloud: its addresses, accounts, and function processes of the benchmark's own
    ours.py       the memories API as a system under load
    bare.py       ceilings: the same SQL, and a handler that does nothing
    peers/        other memory servers, installed from lock files
    extras.py     cold start, users, a store that is far away, commands to Redis (tap.py)
    runner.py     the stages of a run, in order
    targets.py    what DESIGN.md asks; report.py: docs/benchmarks.md; plot.py: docs/benchmarks.svg

Nothing here is a timed test: figures differ from machine to machine. The tests beside these modules look at the
workload, the load and the report.
"""
