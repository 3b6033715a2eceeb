"""The billing function: what a workspace pays for, and what Stripe tells of it."""

from billing import handlers
from core.http import serve
from declarations import BILLING

billing = serve(BILLING, handlers)
