"""A program that declares something of everything at Stripe, as the engine runs it.

    python -m tests.infra.providers.stripe_program WORK_DIR

runs it once, in the environment of the test: an engine that breaks a program off leaves debris in its process.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pulumi
from pulumi import automation

from infra.providers.stripe_resources import StripePortal, StripePrice, StripeProduct, StripeWebhook


@dataclass
class Declared:
    """What the program declares, for tests to change between two runs."""

    amount: int = 800
    description: str = "10,000 memories"
    generations: tuple[int, ...] = (1,)
    taken_over: dict[str, str] = field(default_factory=dict)
    """Name -> id of a product that is imported."""

    def __call__(self) -> None:
        marks = {"stack": "memorygraph.dev"}
        product = StripeProduct("pro", name="MemoryGraph Pro", description=self.description, metadata=marks)
        StripePrice(
            "pro",
            product=product.id,
            currency="usd",
            unit_amount=self.amount,
            interval="month",
            lookup_key=f"pro_{self.amount}",
        )
        StripePortal(
            "portal",
            features={"invoice_history": {"enabled": True}},
            default_return_url="https://memorygraph.dev/",
            business_profile={"headline": "MemoryGraph"},
            metadata=marks,
        )
        endpoints = [
            StripeWebhook(
                f"webhook-{number}",
                url="https://api.memorygraph.dev/stripe",
                events=["invoice.paid"],
                api_version="2026-10-28.endive",
                metadata={**marks, "generation": str(number)},
                opts=pulumi.ResourceOptions(depends_on=[product]),
            )
            for number in self.generations
        ]
        for name, id in self.taken_over.items():
            StripeProduct(
                name, name=name, description="x", metadata={"by": "hand"}, opts=pulumi.ResourceOptions(import_=id)
            )
        pulumi.export("secrets", pulumi.Output.all(*(endpoint.secret for endpoint in endpoints)))


def opened(work: Path, environment: Mapping[str, str], program: Declared) -> automation.Stack:
    options = automation.LocalWorkspaceOptions(work_dir=str(work), env_vars=dict(environment))
    return automation.create_or_select_stack("test", "memorygraph-cloud", program=lambda: program(), opts=options)


if __name__ == "__main__":
    try:
        opened(Path(sys.argv[1]), {}, Declared()).up()
    except automation.CommandError as error:
        sys.exit(str(error))
