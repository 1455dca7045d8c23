"""An embedded archive with faults on demand, for demos, tests and people who test clients."""
