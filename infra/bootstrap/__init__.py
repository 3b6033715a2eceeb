"""What must exist before the first `pulumi up` on a real cloud: `make bootstrap-prod` lists it (STACK=staging: for
another stack), and says what of it can be seen to be missing from here. It asks no vendor, changes nothing, and shows
nothing secret."""
