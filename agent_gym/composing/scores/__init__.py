"""What a policy or a task's model scores, in training, at its end and later."""
