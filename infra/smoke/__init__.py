"""Whether a running stack does its work, seen from outside: `make smoke URL= KEY=`.

Standard library only: it runs in a deployment's job, before and without anything that has to be installed.
"""
