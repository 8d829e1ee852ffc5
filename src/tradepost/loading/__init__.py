"""The load kit: journeys that people make through a Tradepost, sent at a rate of their own, and a report on what came of it.

``tradepost load`` is the way in. Nothing here imports the marketplace: it speaks HTTP to a host, as every other client does.
"""
