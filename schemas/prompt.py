"""The one prompt template, shared by the teacher, the shards and the trainer.

Source: the released KaLM-Embedding code and data, whose queries read ``Instruct: X \\n Query: Y`` with a blank on both
sides of the newline.
"""

TEMPLATE = "Instruct: {instruction} \n Query: {query}"


def format_prompt(instruction: str | None) -> str:
    """The text put before a query: the filled template up to where the query begins; empty without an instruction."""
    if not instruction:
        return ""
    return TEMPLATE[: TEMPLATE.index("{query}")].replace("{instruction}", instruction)


def format_query(instruction: str | None, query: str) -> str:
    """What an encoder sees for a query: the prompt, then the query."""
    return format_prompt(instruction) + query
