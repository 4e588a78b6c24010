//! Random numbers that are the same for the same seed: Blackman and Vigna's
//! xoshiro256++, and what is made of it.

/// A generator.
pub struct Random {
    state: [u64; 4],
}

impl Random {
    /// Seeds that are near to each other give numbers that have nothing to do with each other.
    pub fn new(seed: u64) -> Self {
        let mut mixed = seed;
        let state = std::array::from_fn(|_| {
            // SplitMix64, as the authors advise.
            mixed = mixed.wrapping_add(0x9E37_79B9_7F4A_7C15);
            let mut value = mixed;
            value = (value ^ (value >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
            value = (value ^ (value >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
            value ^ (value >> 31)
        });
        Self { state }
    }

    fn next(&mut self) -> u64 {
        let [first, second, third, fourth] = &mut self.state;
        let result = first
            .wrapping_add(*fourth)
            .rotate_left(23)
            .wrapping_add(*first);
        let shifted = *second << 17;
        *third ^= *first;
        *fourth ^= *second;
        *second ^= *third;
        *first ^= *fourth;
        *third ^= shifted;
        *fourth = fourth.rotate_left(45);
        result
    }

    /// From above 0 to 1.
    pub fn uniform(&mut self) -> f64 {
        ((self.next() >> 11) + 1) as f64 / (1_u64 << 53) as f64
    }

    /// With a mean of 1.
    pub fn exponential(&mut self) -> f64 {
        -self.uniform().ln()
    }

    /// With a mean of 0 and a variance of 1: Box and Muller's method.
    fn normal(&mut self) -> f64 {
        let radius = (2.0 * self.exponential()).sqrt();
        radius * (std::f64::consts::TAU * self.uniform()).cos()
    }

    /// With a mean of 1 and this variance, which is its squared coefficient of
    /// variation: 1 for 0, exponential for 1. Marsaglia and Tsang's method.
    pub fn gamma(&mut self, variance: f64) -> f64 {
        if variance <= 0.0 {
            return 1.0;
        }
        let shape = 1.0 / variance;
        // Below 1 the method takes one more and corrects for it.
        let (boosted, correction) = if shape < 1.0 {
            (shape + 1.0, self.uniform().powf(variance))
        } else {
            (shape, 1.0)
        };
        let middle = boosted - 1.0 / 3.0;
        let width = 1.0 / (9.0 * middle).sqrt();
        loop {
            let normal = self.normal();
            let cube = (1.0 + width * normal).powi(3);
            if cube <= 0.0 {
                continue;
            }
            let limit = 0.5 * normal * normal + middle * (1.0 - cube + cube.ln());
            if self.uniform().ln() < limit {
                return middle * cube * correction * variance;
            }
        }
    }
}
