"""Documents of quantised networks: real allocations on invented tables of rises and costs; nothing is a measurement."""

import numpy as np

from cofront.study.documents import (
    QuantAccuracy,
    QuantBudget,
    QuantisedDocument,
    QuantLayer,
    QuantPoint,
    QuantUnit,
)
from cofront.study.documents.parts import Limit

NOTE = "invented for tests, no measurement"
WIDTHS = (2, 3, 4, 5, 6, 7, 8)
KINDS = ("Conv2d", "Conv2d", "Depthwise")


def tables(layers, seed, negative):
    """(l, w) rises by weight bits and by activation bits, (l,) MACs and weights; the first input has its own width."""
    rng = np.random.default_rng(seed)
    macs = (2e5 * np.exp(rng.uniform(0, 4, layers))).astype(int)
    weights = (300 * np.exp(np.linspace(0, 5, layers) + rng.uniform(0, 1.5, layers))).astype(int)
    falls = 4.0 ** -np.array(WIDTHS)
    weight, act = (np.exp(rng.normal(-1.5, 1.6, (layers, 1))) * falls for _ in range(2))
    if negative:  # measured rises of what does not matter are noise around 0
        weight = weight - 4e-4 * rng.uniform(0, 1, weight.shape)
    act[0] = 0.0
    return weight, act, macs, weights


def costs_of(macs, weights, w, a):
    """Latency (s), energy (J) and bytes of layers at w and a bits."""
    return {
        "latency": 3e-6 + macs * w * a / 64 / 4e10, "energy": 2e-12 * macs * w * a / 64 * 8, "size": weights * w / 8
    }  # fmt: skip


def accuracy(rise):
    """Falls with the rise of the loss: invented."""
    return float(0.1 + 0.82 * np.exp(-1.1 * max(rise, 0.0)) - 0.004 * np.tanh(rise))


def document(layers=53, budget=(("latency", 0.4),), method="exact", device="bismo-edge", seed=0, negative=False, per=1,
             model="mobilenetv2.onnx"):  # fmt: skip
    """Bits of so many layers within shares of the cost at 8 bits; infeasible where the least cost is beyond a share.

    `per` layers in a row are a unit, whose costs are known where that is one layer.
    """
    weight, act, macs, weights = tables(layers, seed, negative)
    pairs = [(w, a) for w in WIDTHS for a in WIDTHS]
    priced = [costs_of(macs, weights, w, a) for w, a in pairs]
    quantities = list(priced[0]) if device else ["size"]
    costs = {q: np.stack([p[q] for p in priced], axis=1) for q in quantities}  # (l, o)
    loss = np.stack([weight[:, WIDTHS.index(w)] + act[:, WIDTHS.index(a)] for w, a in pairs], axis=1)
    units = np.arange(layers) // per

    def together(values):
        return np.stack([values[units == u].sum(axis=0) for u in np.unique(units)])

    rise_u, first = together(loss), budget[0][0]
    cost_u = together(costs[first])
    # the lower hull of (cost, rise): what is least for some price of cost
    price = np.geomspace(1e-9, 1e3, 900) / cost_u.mean()
    choices = np.unique((rise_u[None] + price[:, None, None] * cost_u[None]).argmin(axis=2), axis=0)
    eight = pairs.index((8, 8))

    def point(kind, label, choice, read=True):
        rows = np.asarray(choice)[units]
        rise = float(loss[np.arange(layers), rows].sum())
        found = {q: float(c[np.arange(layers), rows].sum()) for q, c in costs.items()}
        return QuantPoint(kind=kind, label=label, costs=found, rise=rise, accuracy=accuracy(rise) if read else None)

    count = len(rise_u)
    front = sorted((point("front", "", c) for c in choices), key=lambda p: p.costs[first])
    front = [front[i] for i in np.unique(np.linspace(0, len(front) - 1, 24).astype(int))]
    front = [p if i % 3 == 0 else QuantPoint(kind="front", label="", costs=p.costs, rise=p.rise)
             for i, p in enumerate(front)]  # fmt: skip
    uniform = [point("uniform", f"W{b}A{b}", [pairs.index((b, b))] * count) for b in WIDTHS]
    now = point("", "", [eight] * count).costs
    limits = {q: share * now[q] for q, share in budget}
    allowed = [c for c in choices if all(point("", "", c).costs[q] <= limits[q] for q in limits)]
    best = min(allowed, key=lambda c: point("", "", c).rise, default=None)
    common = {
        "model": model, "device": device, "task": "cifar10", "method": method, "sensitivity": "divergence",
        "sensitivity_words": NOTE, "weight_bits": list(WIDTHS), "act_bits": list(WIDTHS), "refined": "rounding",
        "cost_note": NOTE, "seconds": {"calibration": 2.1, "sensitivity": 64.0, "allocation": 0.04}, "notes": [NOTE],
    }  # fmt: skip
    if best is None:
        quantity, limit = next(iter(limits.items()))
        least = float(costs[quantity].min(axis=1).sum())
        why = Limit(limit=quantity, needed=least, available=limit, excess=least - limit, unit=quantity,
                    remedy="allow at least that")  # fmt: skip
        return QuantisedDocument(
            budgets=[QuantBudget(quantity=q, at_8_bits=now[q], limit=v) for q, v in limits.items()],
            points=front + uniform, status="infeasible", infeasible=[why], **common,
        )  # fmt: skip
    chosen = point("chosen", method, best)
    rows = best[units]
    names = [f"features.{u}" if per == 1 else f"s{u // 3 + 1}b{u % 3 + 1}" for u in range(count)]
    listed = [
        QuantLayer(
            name=f"{names[u]}.conv" if per == 1 else f"{names[u]}.conv{i % per}", unit=names[u] if per > 1 else
            f"{names[u]}.conv", op=KINDS[i % 3] if i < layers - 1 else "Linear", macs=int(macs[i]),
            weights=int(weights[i]), weight_bits=pairs[rows[i]][0], act_bits=pairs[rows[i]][1],
            rise=float(loss[i, rows[i]]), rise_by_weight_bits=weight[i].tolist(), rise_by_act_bits=act[i].tolist(),
        )
        for i, u in enumerate(units)
    ]  # fmt: skip
    alone = {i: {q: float(c[i, rows[i]]) for q, c in costs.items()} for i in range(layers)} if per == 1 else {}
    wide = {i: {q: float(c[i, eight]) for q, c in costs.items()} for i in range(layers)} if per == 1 else {}
    exact = method == "exact"
    return QuantisedDocument(
        budgets=[QuantBudget(quantity=q, at_8_bits=now[q], limit=v, taken=chosen.costs[q]) for q, v in limits.items()],
        layers=listed,
        units=[
            QuantUnit(name=n.unit, weight_bits=n.weight_bits, act_bits=n.act_bits, costs=alone.get(i, {}),
                      at_8_bits=wide.get(i, {}))
            for i, n in enumerate(listed) if i % per == 0
        ],
        points=[*front, *uniform, chosen],
        accuracies=[
            QuantAccuracy(what="floating point", part="validation", accuracy=0.92, images=1000),
            *(QuantAccuracy(what=p.label, part="validation", accuracy=p.accuracy or 0.0, images=1000) for p in uniform),
            QuantAccuracy(what="chosen", part="validation", accuracy=chosen.accuracy or 0.0, images=1000),
            QuantAccuracy(what="the integers", part="validation", accuracy=(chosen.accuracy or 0.0) + 0.01, images=500),
            QuantAccuracy(what="the integers", part="test", accuracy=(chosen.accuracy or 0.0) - 0.003, images=10000),
        ],
        rise=chosen.rise, bound=chosen.rise if exact else None, gap=0.0 if exact else None,
        status="optimal" if exact else "feasible", files={"qonnx": "out/model.qonnx.onnx"}, **common,
    )  # fmt: skip
