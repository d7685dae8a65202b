"""From a model's file to answers: loaded, warmed up, batched and run."""
