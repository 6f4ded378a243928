"""Sampling: many generations of many prompts, from any engine, batched where the engine can."""

from linewise_training.sampling.batching import DEFAULT_LANES, Batching, generate
from linewise_training.sampling.jsonl import JsonlFile
from linewise_training.sampling.samples import Ask, Sample, draw, sample_seed

__all__ = ["DEFAULT_LANES", "Ask", "Batching", "JsonlFile", "Sample", "draw", "generate", "sample_seed"]
