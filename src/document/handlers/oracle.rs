//! The handlers against the literal rules of the specification: all operations folded one by one
//! in replay order, on random scripts in random orders of arrival.
