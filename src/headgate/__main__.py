"""`python -m headgate` is the command."""

import sys

from headgate.cli import main

sys.exit(main())
