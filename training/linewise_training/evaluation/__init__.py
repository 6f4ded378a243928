"""How good a model is: pass@k on published problems, comparisons that tell progress from noise."""
