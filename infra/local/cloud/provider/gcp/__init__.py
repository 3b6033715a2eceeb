"""Google Cloud: what the program declares of it, in memory and folders; IAM is enforced where a first deployment meets it."""
