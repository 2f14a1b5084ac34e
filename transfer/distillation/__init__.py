"""Policy distillation: a student is trained, supervised, on what its teachers say of the target's states."""
