"""The columns of a likelihood of ProGen2, named as its numbers are."""

from primase.cli.table import CellKind

LIKELIHOOD_COLUMNS: dict[str, CellKind] = {
    "sum_log_likelihood": "number",
    "mean_log_likelihood": "number",
    "forward_sum_log_likelihood": "number",
    "reverse_sum_log_likelihood": "number",
    "residue_perplexity": "number",
    "token_perplexity": "number",
}
