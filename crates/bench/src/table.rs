//! The figures as a table for people. A figure stands beside its target as a ratio, and a missed target is said and is no
//! failure: how fast a machine is at this moment is no property of the program.

use std::fmt;
use std::time::Duration;

/// A figure with its unit.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Figure {
    Time(Duration),
    Bytes(u64),
    PerSecond(f64),
    /// How many times another figure.
    Times(f64),
}

impl Figure {
    fn number(self) -> f64 {
        match self {
            Figure::Time(time) => time.as_secs_f64(),
            Figure::Bytes(bytes) => bytes as f64,
            Figure::PerSecond(number) | Figure::Times(number) => number,
        }
    }
}

impl fmt::Display for Figure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = match *self {
            Figure::Time(time) if time < Duration::from_millis(1) => {
                format!("{:.1} µs", time.as_secs_f64() * 1e6)
            }
            Figure::Time(time) if time < Duration::from_secs(1) => {
                format!("{:.1} ms", time.as_secs_f64() * 1e3)
            }
            Figure::Time(time) => format!("{:.2} s", time.as_secs_f64()),
            Figure::Bytes(bytes) => format!("{:.1} MB", bytes as f64 / 1e6),
            Figure::PerSecond(number) => format!("{number:.0}/s"),
            Figure::Times(number) => format!("{number:.1}×"),
        };
        f.pad(&text)
    }
}

/// What a figure should be.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Target {
    Under(Figure),
    AtLeast(Figure),
    None,
}

#[derive(Clone, Debug)]
pub struct Row {
    pub what: String,
    pub figure: Figure,
    pub target: Target,
}

impl Row {
    /// How many times better than its target; below 1 it is missed.
    pub fn ratio(&self) -> Option<f64> {
        match self.target {
            Target::Under(target) => Some(target.number() / self.figure.number()),
            Target::AtLeast(target) => Some(self.figure.number() / target.number()),
            Target::None => None,
        }
    }
}

/// One part of the output: a heading, and its rows.
#[derive(Clone, Debug)]
pub struct Part {
    pub title: String,
    pub rows: Vec<Row>,
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "\n{:<76} {:>10} {:>19} {:>8}", self.title, "measured", "target", "ratio")?;
        for row in &self.rows {
            let target = match row.target {
                Target::Under(target) => format!("under {target}"),
                Target::AtLeast(target) => format!("at least {target}"),
                Target::None => String::new(),
            };
            let ratio = row.ratio().map(|ratio| format!("{ratio:.1}×")).unwrap_or_default();
            let missed = if row.ratio().is_some_and(|ratio| ratio < 1.0) { "  missed" } else { "" };
            let line = format!("  {:<74} {:>10} {target:>19} {ratio:>8}{missed}", row.what, row.figure);
            writeln!(f, "{}", line.trim_end())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(figure: Figure, target: Target) -> Row {
        Row { what: "x".into(), figure, target }
    }

    #[test]
    fn a_ratio_above_one_is_better_than_the_target_whichever_way_the_target_points() {
        let time = |ms| Figure::Time(Duration::from_millis(ms));
        assert_eq!(row(time(5), Target::Under(time(10))).ratio(), Some(2.0));
        let rate = Figure::PerSecond(5_000.0);
        assert_eq!(row(rate, Target::AtLeast(Figure::PerSecond(10_000.0))).ratio(), Some(0.5));
        assert_eq!(row(rate, Target::None).ratio(), None);
    }

    #[test]
    fn a_missed_target_is_said() {
        let rows = vec![row(Figure::Bytes(200_000_000), Target::Under(Figure::Bytes(100_000_000)))];
        let text = Part { title: "memory".into(), rows }.to_string();
        assert!(text.contains("200.0 MB") && text.contains("0.5×  missed"), "{text}");
    }
}
