//! The stacks of an undo manager as bytes.
