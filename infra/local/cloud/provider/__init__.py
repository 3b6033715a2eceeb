"""The resource provider that the engine attaches as gcp, cloudflare and upstash."""
