"""What a person does before the first `pulumi up`, in order, as data. docs/operate.md tells of the same at length."""

from __future__ import annotations

from dataclasses import dataclass

APIS = (
    "billingbudgets",
    "cloudkms",
    "cloudresourcemanager",
    "iam",
    "iamcredentials",
    "serviceusage",
    "storage",
    "sts",
)
"""Without these Pulumi cannot ask Google for anything; it switches on the others itself."""


@dataclass(frozen=True, kw_only=True)
class Step:
    """`how` is what to do, a line each; a line that begins with a program's name is a command."""

    title: str
    why: str
    how: tuple[str, ...]


def steps(stack: str, project: str, region: str, domain: str) -> tuple[Step, ...]:
    bucket, key = f"gs://{project}-state", f"projects/{project}/locations/{region}/keyRings/pulumi/cryptoKeys/state"
    return (
        Step(
            title="A Google project with billing",
            why="Functions, secrets, queues and backups are in it; each stack has one of its own.",
            how=(
                "gcloud auth login",
                f"gcloud projects create {project}",
                "gcloud billing accounts list",
                f"gcloud billing projects link {project} --billing-account=BILLING_ACCOUNT",
            ),
        ),
        Step(
            title="The first APIs",
            why="The others are switched on by the program.",
            how=(f"gcloud services enable {' '.join(f'{api}.googleapis.com' for api in APIS)} --project={project}",),
        ),
        Step(
            title="Where Pulumi keeps its state, and the key that seals what is secret in it",
            why="The state has every secret; the key is Google's, so nobody has a passphrase to lose.",
            how=(
                f"gcloud storage buckets create {bucket} --project={project} --location={region} "
                "--uniform-bucket-level-access --public-access-prevention",
                f"gcloud storage buckets update {bucket} --versioning",
                f"gcloud kms keyrings create pulumi --project={project} --location={region}",
                f"gcloud kms keys create state --project={project} --location={region} --keyring=pulumi "
                "--purpose=encryption",
                "gcloud auth application-default login",
                f"pulumi login {bucket}",
                f"pulumi stack init {stack} --secrets-provider='gcpkms://{key}'",
            ),
        ),
        Step(
            title="Cloudflare",
            why="The domain, the Worker in front of the functions, mail to the domain.",
            how=(
                "An account, and a token of it (My Profile, API Tokens). Zone: Zone, DNS, Zone Settings, SSL, Workers "
                "Routes, WAF, Email Routing Rules: Edit. Account: Workers Scripts, Email Routing Addresses: Edit.",
                "pulumi config set cloudflareAccountId ACCOUNT_ID",
                "pulumi config set --secret cloudflare:apiToken",
                f"A domain ({domain}) at a registrar who lets you name its name servers and a DS record.",
            ),
        ),
        Step(
            title="Supabase",
            why="Accounts, keys, sign-in; the memories of paid plans.",
            how=(
                "An organization (Free: two projects in all), and an access token (Account, Access Tokens): it may do "
                "all that you may.",
                "pulumi config set supabaseOrganization SLUG",
                "pulumi config set --secret memorygraph:supabaseToken",
            ),
        ),
        Step(
            title="Turso",
            why="The memories of the free plan: one database for each workspace.",
            how=(
                "An organization, and a platform API token for it (Settings, API Tokens; not of one group).",
                "pulumi config set tursoOrganization SLUG",
                "pulumi config set --secret memorygraph:tursoToken",
            ),
        ),
        Step(
            title="Upstash",
            why="The cache of keys, and the counters of limits.",
            how=(
                "An account, and a management API key (Account, Management API).",
                "pulumi config set upstash:email you@example.com",
                "pulumi config set --secret upstash:apiKey",
            ),
        ),
        Step(
            title="An SMTP account",
            why="Confirmations, invitations and warnings are sent by it.",
            how=(
                f"Any mail service that lets you send from mail.{domain}; what it names for SPF and DKIM is declared.",
                "pulumi config set smtpHost smtp.example.com",
                "pulumi config set smtpUser USER",
                "pulumi config set --secret smtpPassword",
                "pulumi config set mailSpf include:HOST",
                "pulumi config set --path mailDkim.SELECTOR TARGET",
                "pulumi config set operatorEmail you@example.com",
            ),
        ),
        Step(
            title="OAuth apps at GitHub and Google, and a Turnstile widget (each may be left out)",
            why="No vendor lets these be declared. Of an OAuth app the callback is "
            "https://REF.supabase.co/auth/v1/callback: REF is known after the first `pulumi up` (output auth_url).",
            how=(
                "pulumi config set githubClientId ID",
                "pulumi config set --secret githubClientSecret",
                "pulumi config set googleClientId ID",
                "pulumi config set --secret googleClientSecret",
                "pulumi config set captchaSiteKey KEY",
                "pulumi config set --secret captchaSecret",
            ),
        ),
        Step(
            title="Stripe (only where plans are sold: profile production, or billing true)",
            why="One key declares what is sold, another one takes payments; both of test mode, or both live.",
            how=(
                "pulumi config set --secret memorygraph:stripeToken",
                "pulumi config set --secret stripeKey",
                "What each key needs: docs/billing.md.",
            ),
        ),
        Step(
            title="A budget, and GitHub's workflows (each may be left out)",
            why="The first tells you of what Google charges; the second declares as whom the workflows act.",
            how=(
                "pulumi config set billingAccount BILLING_ACCOUNT",
                "pulumi config set gcp:userProjectOverride true",
                f"pulumi config set gcp:billingProject {project}",
                "gh api repos/OWNER/NAME --jq .id",
                "pulumi config set githubRepositoryId NUMBER",
            ),
        ),
        Step(
            title="The first `pulumi up`, and what only a person can do after it",
            why="A registrar, and who owns a mailbox, cannot be declared.",
            how=(
                "pulumi up",
                "pulumi stack output name_servers",
                "pulumi stack output ds",
                f"At the registrar of {domain}: these name servers; once they answer, this DS record.",
                "Confirm the mail that Cloudflare sent to operatorEmail; then mail to the domain may be forwarded:",
                "pulumi config set emailForwarding true",
                "pulumi up",
            ),
        ),
        Step(
            title="What the workflows' identities need outside of the project's own roles",
            why="Who deploys must not be able to change these, so the program does not grant them.",
            how=(
                *(
                    f"gcloud kms keys add-iam-policy-binding state --project={project} --location={region} "
                    f"--keyring=pulumi --member=serviceAccount:{who}@{project}.iam.gserviceaccount.com "
                    f"--role=roles/cloudkms.cryptoKey{may}"
                    for who, may in (("ci-deploys", "EncrypterDecrypter"), ("ci-reads", "Decrypter"))
                ),
                f"gcloud storage buckets add-iam-policy-binding {bucket} --role=roles/storage.objectViewer "
                f"--member=serviceAccount:ci-reads@{project}.iam.gserviceaccount.com",
                *(
                    f"gcloud billing accounts add-iam-policy-binding BILLING_ACCOUNT --role=roles/billing.{role} "
                    f"--member=serviceAccount:{who}@{project}.iam.gserviceaccount.com"
                    for who, role in (("ci-deploys", "costsManager"), ("ci-reads", "viewer"))
                ),
                "pulumi stack output github",
                "What of it goes where at GitHub: .github/workflows/README.md.",
            ),
        ),
    )
