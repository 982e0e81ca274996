//! What a run found, for people: one line a condition, every disagreement, and a closing line.

use std::collections::BTreeMap;
use std::fs;
use std::time::Duration;

use probe::Measurement;

use crate::compare::{Count, Disagreement, Tally};
use crate::configuration::{Runtime, Sample};

/// How many conditions must have been both true and false, so that agreement means something.
const LEAST_DISTINCT: usize = 35;
/// Disagreements that are printed one by one; all are counted, and every configuration is kept.
const MOST_PRINTED: usize = 60;
/// A sample in which more fail to start says less than it claims.
const MOST_NOT_STARTED: f64 = 0.02;

pub(crate) struct Report {
    seed: u64,
    tally: Tally,
    started: BTreeMap<&'static str, usize>,
    not_started: BTreeMap<String, Vec<usize>>,
    unread: Vec<(usize, String)>,
    disagreements: Vec<(usize, Runtime, Disagreement)>,
}

impl Report {
    pub(crate) fn new(seed: u64) -> Report {
        Report {
            seed,
            tally: Tally::default(),
            started: BTreeMap::new(),
            not_started: BTreeMap::new(),
            unread: Vec::new(),
            disagreements: Vec::new(),
        }
    }

    pub(crate) fn unread(&mut self, sample: &Sample, message: &str) {
        self.unread.push((sample.number, message.to_owned()));
        self.keep(sample, "unread", None);
    }

    pub(crate) fn not_started(&mut self, sample: &Sample, message: &str) {
        // Numbers differ from container to container; what is left is the reason.
        let reason: String = message.chars().map(|c| if c.is_ascii_digit() { '#' } else { c }).collect();
        let reason = format!("{}: {reason}", sample.runtime.name());
        self.not_started.entry(reason).or_default().push(sample.number);
        self.keep(sample, "not-started", None);
    }

    pub(crate) fn compared(
        &mut self,
        sample: &Sample,
        found: &Measurement,
        tally: Tally,
        disagreements: Vec<Disagreement>,
    ) {
        *self.started.entry(sample.runtime.name()).or_default() += 1;
        self.tally.add(tally);
        if !disagreements.is_empty() {
            self.keep(sample, "disagreement", Some(found));
        }
        self.disagreements.extend(disagreements.into_iter().map(|d| (sample.number, sample.runtime, d)));
    }

    /// Writes the configuration, and what was measured, where the caller of the run finds them.
    fn keep(&self, sample: &Sample, why: &str, found: Option<&Measurement>) {
        let folder = format!("/out/{why}-{}-{}-{}", self.seed, sample.number, sample.runtime.name());
        let write = |name: &str, text: serde_json::Result<Vec<u8>>| {
            if let (Ok(()), Ok(text)) = (fs::create_dir_all(&folder), text)
                && let Err(error) = fs::write(format!("{folder}/{name}"), text)
            {
                eprintln!("truth: cannot keep {folder}/{name}: {error}");
            }
        };
        write("config.json", serde_json::to_vec_pretty(&sample.config));
        if let Some(found) = found {
            write("facts.json", serde_json::to_vec_pretty(found));
        }
    }

    /// Prints the whole; true where nothing speaks against the predictions.
    pub(crate) fn print(&self, took: Duration) -> bool {
        println!("\n   true  false unknown  disagreed  condition");
        print_counts(&self.tally.conditions);
        println!("\n  agree         unknown  disagreed  other comparison");
        print_counts(&self.tally.others);
        for (reason, numbers) in &self.not_started {
            println!("not started {} times, first number {}: {reason}", numbers.len(), numbers[0]);
        }
        for (number, message) in &self.unread {
            println!("container {number}: its configuration cannot be read: {message}");
        }
        for (number, runtime, found) in self.disagreements.iter().take(MOST_PRINTED) {
            println!(
                "DISAGREEMENT in container {number} ({}): {}: predicted {}, measured {}",
                runtime.name(),
                found.what,
                found.predicted,
                found.measured
            );
        }
        if self.disagreements.len() > MOST_PRINTED {
            println!("… and {} more", self.disagreements.len() - MOST_PRINTED);
        }
        self.close(took)
    }

    fn close(&self, took: Duration) -> bool {
        let started: usize = self.started.values().sum();
        let failed: usize = self.not_started.values().map(Vec::len).sum();
        let by_runtime: Vec<String> =
            self.started.iter().map(|(name, n)| format!("{n} with {name}")).collect();
        let both = self.tally.conditions.values().filter(|c| c.agreed_true > 0 && c.agreed_false > 0).count();
        let sum = |counts: &BTreeMap<String, Count>| counts.values().map(Count::compared).sum::<usize>();
        let distinct = self.tally.conditions.values().filter(|c| c.compared() > 0).count();
        println!(
            "\nkernel truth: {started} containers ({}) in {:.1} s, {failed} not started; seed {}",
            by_runtime.join(", "),
            took.as_secs_f64(),
            self.seed
        );
        println!(
            "{} comparisons of {distinct} conditions, {both} of them both true and false; {} other comparisons",
            sum(&self.tally.conditions),
            sum(&self.tally.others),
        );
        println!("{} disagreements", self.disagreements.len());
        let mut sound = self.disagreements.is_empty() && self.unread.is_empty();
        // A handful of containers cannot show every condition both ways.
        if started >= 200 && both < LEAST_DISTINCT {
            println!("fewer than {LEAST_DISTINCT} conditions were both true and false");
            sound = false;
        }
        if failed > 2 && failed as f64 > MOST_NOT_STARTED * (started + failed) as f64 {
            println!("more than {:.0} % did not start", MOST_NOT_STARTED * 100.0);
            sound = false;
        }
        sound
    }
}

fn print_counts(counts: &BTreeMap<String, Count>) {
    for (name, count) in counts.iter().filter(|(_, c)| c.compared() > 0) {
        println!(
            "{:7} {:6} {:7} {:10}  {name}",
            count.agreed_true, count.agreed_false, count.unknown, count.disagreed
        );
    }
    let never: Vec<&str> =
        counts.iter().filter(|(_, c)| c.compared() == 0).map(|(n, _)| n.as_str()).collect();
    if !never.is_empty() {
        println!("not compared, as one side never knows: {}", never.join(", "));
    }
}
