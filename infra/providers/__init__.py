"""Our own Pulumi provider, `memorygraph`, for what has no Python SDK that can be had.

`provider.py` speaks the engine's protocol and knows no vendor; each vendor's resources are a module or a few (`keys`,
`supabase`, `turso`, `schema`, `stripe`); `resources.py` and `stripe_resources.py` have the classes that the program
declares. To add a resource: write its Kind, list it in `provider.kinds`, and add its class to `resources.py`.
"""
