//! How often the tests kill a process, and what they tell of that: `cargo xtask crash` asks for more cycles, and reads the lines.
#![allow(clippy::print_stdout, reason = "a long run says how far it is, and what it saw")]

/// Says how often a process is killed.
const CYCLES: &str = "FOREBAY_CRASH_CYCLES";

/// How often a test kills its process.
pub fn cycles() -> u64 {
    std::env::var(CYCLES).map_or(100, |text| text.parse().expect(CYCLES))
}

/// What the kills of one test have shown.
#[derive(Debug)]
pub struct Verdict {
    name: &'static str,
    cycles: u64,
    /// Writes that were acknowledged.
    pub acknowledged: u64,
    /// What was acknowledged and is not there.
    pub lost: Vec<String>,
    /// What took effect more than once.
    pub doubled: Vec<String>,
    /// What took effect after what came later.
    pub disordered: Vec<String>,
    /// Whether its writes show more than that they are there.
    shows_order: bool,
}

impl Verdict {
    pub fn new(name: &'static str, cycles: u64) -> Self {
        let (lost, doubled, disordered) = (Vec::new(), Vec::new(), Vec::new());
        Self { name, cycles, acknowledged: 0, lost, doubled, disordered, shows_order: true }
    }

    /// The same where nothing shows how often, and in which order, a write took effect.
    pub fn of_losses(name: &'static str, cycles: u64) -> Self {
        Self { shows_order: false, ..Self::new(name, cycles) }
    }

    /// One more cycle is over: each tenth of them is told.
    pub fn cycle(&self, done: u64) {
        if done.is_multiple_of((self.cycles / 10).max(1)) {
            println!("\n# {} {done} of {}", self.name, self.cycles);
        }
    }

    /// Tells what was seen.
    ///
    /// # Panics
    /// Where anything is wrong.
    pub fn close(self) {
        let count = |seen: &[String]| if self.shows_order { seen.len().to_string() } else { "-".into() };
        println!(
            "\ncrash={} cycles={} acknowledged={} lost={} doubled={} disordered={}",
            self.name,
            self.cycles,
            self.acknowledged,
            self.lost.len(),
            count(&self.doubled),
            count(&self.disordered)
        );
        assert!(self.acknowledged >= self.cycles, "too little was written: {self:?}");
        assert!(self.lost.is_empty() && self.doubled.is_empty() && self.disordered.is_empty(), "{self:?}");
    }
}
