"""A test bed that stands in for Supabase Auth (GoTrue), at `/auth/v1` of a project's address.

Good enough that `@supabase/supabase-js` and Python's `supabase` work against it unmodified: sign-up with a mail to
confirm, sign-in, refresh tokens with rotation and reuse detection, sign-out, recovery, change of e-mail and password,
PKCE, GitHub and Google (with a page of our own in place of theirs), users for administrators, JWKS, API keys.

Left out: phones, one-time codes and magic links as a way to sign in, invitations, anonymous users, MFA, passkeys, SAML,
web3, hooks, reauthentication by a code, identities linked by hand, `generate_link`, captchas besides Turnstile's test
keys, checks against leaked passwords, and the ten minutes for which Supabase's edge caches the JWKS.
"""
