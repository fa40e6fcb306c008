"""The results as tables: one declaration of their columns, made into Arrow record batches."""
