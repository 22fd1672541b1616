//! Zipf's law: the item of rank k is drawn with a chance in proportion to 1 / k^s.
//!
//! The draw is exact, by the inverse of the cumulative distribution, and repeats itself for a seed.

/// Draws ranks by Zipf's law.
#[derive(Debug)]
pub(crate) struct Zipf {
    /// For each rank the summed weight up to and with it.
    cumulative: Vec<f64>,
    random: fastrand::Rng,
}

impl Zipf {
    /// Ranks from 0 up to `items`, which are at least one, with exponent `exponent`.
    pub(crate) fn new(items: u32, exponent: f64, seed: u64) -> Self {
        let mut sum = 0.0;
        let cumulative = (1..=items.max(1))
            .map(|rank| {
                sum += f64::from(rank).powf(-exponent);
                sum
            })
            .collect();
        Self { cumulative, random: fastrand::Rng::with_seed(seed) }
    }

    /// The next rank.
    pub(crate) fn draw(&mut self) -> usize {
        let last = self.cumulative.len().saturating_sub(1);
        let drawn = self.random.f64() * self.cumulative.last().copied().unwrap_or_default();
        self.cumulative.partition_point(|&sum| sum <= drawn).min(last)
    }
}

#[cfg(test)]
mod tests {
    use super::Zipf;

    const DRAWS: u32 = 200_000;

    fn counts(items: u32, exponent: f64, seed: u64) -> Vec<u32> {
        let mut zipf = Zipf::new(items, exponent, seed);
        let mut counts = vec![0; usize::try_from(items).unwrap()];
        for _ in 0..DRAWS {
            counts[zipf.draw()] += 1;
        }
        counts
    }

    #[test]
    fn shares_are_those_of_the_law() {
        let counts = counts(1_000, 0.99, 1);
        let whole: f64 = (1..=1_000_u32).map(|rank| f64::from(rank).powf(-0.99)).sum();
        for rank in [1_u32, 2, 10, 100] {
            let wanted = f64::from(rank).powf(-0.99) / whole;
            let seen = f64::from(counts[usize::try_from(rank).unwrap() - 1]) / f64::from(DRAWS);
            // Five standard deviations of a share that is drawn this often.
            let slack = 5.0 * (wanted / f64::from(DRAWS)).sqrt();
            assert!((seen - wanted).abs() < slack, "rank {rank}: {seen} of the draws, the law says {wanted}");
        }
    }

    #[test]
    fn an_exponent_of_zero_draws_evenly() {
        let counts = counts(10, 0.0, 2);
        assert!(counts.iter().all(|&count| (19_000..21_000).contains(&count)), "{counts:?}");
    }

    #[test]
    fn a_seed_repeats_itself_and_another_differs() {
        assert_eq!(counts(100, 0.99, 3), counts(100, 0.99, 3));
        assert_ne!(counts(100, 0.99, 3), counts(100, 0.99, 4));
    }
}
