"""`cofront zoo`."""

from __future__ import annotations

from cofront.cli import output
from cofront.cli.options import Json, Seed

HELP = "List the published networks, with their sizes beside the published figures."
EXAMPLE = """
Example:
  $ cofront zoo
  $ cofront zoo --json
"""


def run(json: Json = False, seed: Seed = 0) -> None:
    from cofront import api

    networks = api.zoo()
    if json:
        output.emit_json(networks)
        return
    rows = []
    for n in networks:
        published = {f["quantity"]: f for f in n.published}
        cells = [output.quantity(n.macs), output.quantity(n.params)]
        for quantity in ("macs", "params"):
            figure = published.get(quantity)
            cells.append("-" if figure is None else f"{output.quantity(figure['value'])}")
        rows.append([n.name, *cells, "x".join(map(str, n.input_shape))])
    output.table("Published networks", ["name", "MACs", "params", "published MACs", "params", "input"], rows)
