"""`make export` and `make import`: everything of one workspace into a file, and a file of any size into a workspace.

Standard library only, and against any deployment: the address and key come from the environment. Both commands carry on
where they stopped when they are run again. docs/transfer.md says what is in the files.
"""
