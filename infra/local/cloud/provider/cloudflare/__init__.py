"""Cloudflare: zones, Workers and the hostnames that lead to them."""
