"""`python -m eventmint.cli`: the command line without its start script."""

import sys

from eventmint.cli import main

sys.exit(main())
