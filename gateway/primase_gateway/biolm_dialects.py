"""All generations of the BioLM API."""

from primase_gateway import biolm_v1, biolm_v2, biolm_v3

V1 = biolm_v1.DIALECT
V2 = biolm_v2.DIALECT
V3 = biolm_v3.DIALECT
DIALECTS = (V1, V2, V3)
