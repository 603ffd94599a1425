"""How well a network does: data sets, the weight-sharing supernet, quantisation, training, integers.

Everything that needs torch is imported on first use, so `import cofront.task` stays cheap.
"""

from __future__ import annotations
