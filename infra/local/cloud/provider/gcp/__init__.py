"""Google Cloud. IAM is enforced where a first deployment meets it: builds, secrets, callers."""
