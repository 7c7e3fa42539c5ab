"""AWS: the stack that runs the same pipeline on S3, Lambda, Glue and Athena."""
