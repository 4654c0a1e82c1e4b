"""What `pcr init` would make of an analysis, in sentences: packages or why not, VMs or why not; it writes no Nix."""

from autonix.emit.cluster import cluster_tree
from autonix.emit.recipes import named_projects
from autonix.findings import Analysis
from cli.render.text import cell


def emission(analysis: Analysis) -> str:
    """A line for each project and for all that is left out of the cluster."""
    rows = []
    for named in named_projects(analysis):
        if named.recipe.refusal:
            rows.append(f"package {named.name}: none, as {named.recipe.refusal}")
        else:
            rows.append(f"package {named.name}: {named.recipe.because}")
    rows += [f"not in the cluster: {note}" for note in cluster_tree(analysis).notes]
    return "\n".join(cell(row) for row in rows)
