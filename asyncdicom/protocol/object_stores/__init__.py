"""What object stores say and want to hear: S3 (its XML interface) and Google Cloud Storage."""
