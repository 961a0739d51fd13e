"""What the launcher of a Dataflow Flex Template runs."""

from pipelines.engines.flex_template import run

run()
