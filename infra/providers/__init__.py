"""Our own Pulumi provider, `memorygraph`, for what has no Python SDK that can be had.

`provider.py` speaks the engine's protocol and knows no vendor; each vendor's resources are one module (`keys`,
`supabase`, `turso`, `schema`); `resources.py` has the classes that the program declares. To add a resource: write its
Kind, list it in `provider.KINDS`, and add its class to `resources.py`.
"""
