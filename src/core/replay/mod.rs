//! Replays a load, run by run: arrivals at random, one line, and a number of
//! workers that changes. What policies make of it is decided outside.

mod line;
mod random;
#[cfg(test)]
mod tests;

pub use line::{Line, Tally};
pub use random::Random;
