"""Our searches pass the suite that ships for everybody's."""

from cofront.api.joint import exact_front
from cofront.front import Front
from cofront.problem import CodesignProblem
from cofront.search.budget import Budget
from cofront.search.evolution import nsga2
from cofront.search.random import random_search
from cofront.testing.searches import SearchConformance


def _nsga2(problem: CodesignProblem, seed: int) -> Front:
    return nsga2(problem, budget=Budget(evaluations=400), population=40, seed=seed)


def _random(problem: CodesignProblem, seed: int) -> Front:
    return random_search(problem, budget=Budget(evaluations=1000), seed=seed)


def _exact(problem: CodesignProblem, seed: int) -> Front:
    return exact_front(problem)


class TestNsga2(SearchConformance):
    search = _nsga2
    problems = 3


class TestRandom(SearchConformance):
    search = _random


class TestExact(SearchConformance):
    search = _exact
    exact = True
    problems = 8
