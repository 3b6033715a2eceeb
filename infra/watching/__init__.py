"""What is watched, as data: numbers taken from logs, rules that wake somebody, and the board that shows it all.

Declared by `infra/components/watching.py`; each rule is tried on sample series in `tests/infra/test_watching.py`.
"""
