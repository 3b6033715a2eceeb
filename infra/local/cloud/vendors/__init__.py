"""The vendors that have an API of their own: Supabase (PostgreSQL), Turso (sqld), Upstash (Redis)."""
