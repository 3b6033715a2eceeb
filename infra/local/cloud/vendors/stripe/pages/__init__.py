"""The pages that a person sees: payment, portal, invoice. Plain forms; they work without JavaScript."""
