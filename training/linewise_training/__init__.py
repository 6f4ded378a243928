"""Making the models that Linewise serves: corpora, LintSeq, tokenizers, training and export."""
