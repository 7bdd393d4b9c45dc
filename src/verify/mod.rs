//! Whether a backend does what it is for, seen from outside as its users see it.

pub mod smoke;
