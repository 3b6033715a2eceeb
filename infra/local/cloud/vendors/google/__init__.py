"""Stand-ins of Google's APIs: Cloud Tasks, Cloud Scheduler, Secret Manager, the metadata server, OpenID Connect.

What is declared through the provider (queues, jobs, secrets, grants) is read from the store at each call, so a change
holds with the next one.
"""
