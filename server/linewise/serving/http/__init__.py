"""The model server over HTTP: OpenAI's completions for everyone, and Linewise's own endpoints."""
