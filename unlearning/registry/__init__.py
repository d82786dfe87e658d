"""MLflow: models, versions, tags and the files that are logged beside them."""
