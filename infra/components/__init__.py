"""One module per thing that we run. A component takes the typed configuration and other components, and offers what
others need as attributes; all that it declares are its children. Only `infra/__main__.py` exports."""
