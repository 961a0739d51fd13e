"""``python -m pipelines VERB``, where the script ``kalm`` is not on the path."""

import sys

from pipelines.command import main

sys.exit(main())
