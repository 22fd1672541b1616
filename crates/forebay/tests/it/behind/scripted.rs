//! Writes that go behind, step by step.
