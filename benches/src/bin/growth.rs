//! What grows with the number of objects or threads.

fn main() {}
