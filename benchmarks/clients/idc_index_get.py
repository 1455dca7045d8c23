"""The `idc` command of idc-index against another endpoint; for the Python that idc-index is in.

    PYTHON idc_index_get.py ENDPOINT_URL download MANIFEST --download-dir FOLDER

It hands the address of Amazon to s5cmd whatever the environment says, so that is replaced.
"""

from __future__ import annotations

import importlib
import sys


def main() -> None:
    """Run the command line of the package."""
    endpoint_url = sys.argv.pop(1)
    index = importlib.import_module("idc_index.index")
    vars(index)["aws_endpoint_url"] = endpoint_url
    importlib.import_module("idc_index.cli").idc()


if __name__ == "__main__":
    main()
