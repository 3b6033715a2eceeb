"""The local cloud: one process that makes the resources of the Pulumi program real on this machine.

`python -m infra.local.cloud --root ROOT` serves a Pulumi resource provider for gcp, cloudflare and upstash, stand-ins
of the vendors' management APIs, and supervises what stands behind them: function processes, workerd, sqld, PostgreSQL
and a Redis front. It is a rehearsal and a test bed: loopback only, one machine, no billing, no quotas, no regions.

To find a thing: a resource type is in `provider/<vendor>/`, what runs a function or a Worker is in `runtime/`, a vendor
with an API of its own is in `vendors/`; the rest of this folder is the daemon around them.
"""
