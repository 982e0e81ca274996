//! How grave an attempt is: by what its technique yields, whether that path is open for the container, and whether the
//! kernel let it happen. One table, shown in docs/alerts.md; nobody sets it by hand.

use techniques::technique::Gain;

use super::outcome::is_absent;
use crate::alert::{Exposure, Outcome, Severity};

/// For one class of gains: rows are open, not known, held; columns are done, not known whether, refused.
type Grid = [[Severity; 3]; 3];

const TABLE: &[(&[Gain], Grid)] = {
    use Severity::{Critical, High, Info, Low, Medium};
    &[
        (
            &[Gain::HostRoot, Gain::HostWrite],
            [[Critical, High, Medium], [High, Medium, Low], [Medium, Low, Low]],
        ),
        (
            &[Gain::HostRead, Gain::Credentials, Gain::OtherContainer],
            [[High, Medium, Low], [Medium, Medium, Low], [Low, Low, Info]],
        ),
        (&[Gain::OtherTraffic], [[Low, Low, Info], [Low, Info, Info], [Info, Info, Info]]),
        (
            &[Gain::HostInfo, Gain::KernelSurface, Gain::DenialOfService],
            [[Low, Low, Info], [Low, Info, Info], [Info, Info, Info]],
        ),
    ]
};

/// Info where the technique does not apply: a flaw the host does not have, a cloud it is not in.
pub fn severity(exposure: &Exposure, outcome: &Outcome, gain: Gain) -> Severity {
    let row = match exposure {
        Exposure::Open => 0,
        Exposure::NotKnown { .. } => 1,
        // Nothing is there, and the path is held: no wall was tried.
        Exposure::Held { .. } if is_absent(outcome) => return Severity::Info,
        Exposure::Held { .. } => 2,
        Exposure::DoesNotApply => return Severity::Info,
    };
    let column = match outcome {
        Outcome::Done => 0,
        Outcome::NotKnown => 1,
        Outcome::Refused { .. } => 2,
    };
    TABLE
        .iter()
        .find(|(gains, _)| gains.contains(&gain))
        .and_then(|(_, grid)| grid.get(row))
        .and_then(|row| row.get(column))
        .copied()
        .unwrap_or(Severity::Info)
}

/// The table as docs/alerts.md shows it.
pub fn page_table() -> String {
    let mut text =
        String::from("| gain | path | done | not known whether | refused |\n|---|---|---|---|---|\n");
    for (gains, grid) in TABLE {
        let gains: Vec<&str> = gains.iter().map(|g| g.name()).collect();
        for (path, row) in ["open", "not known", "held"].iter().zip(grid) {
            let cells: Vec<&str> = row.iter().map(|s| s.name()).collect();
            text.push_str(&format!("| {} | {path} | {} |\n", gains.join(", "), cells.join(" | ")));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Gain; 9] = [
        Gain::HostRoot,
        Gain::HostWrite,
        Gain::HostRead,
        Gain::Credentials,
        Gain::OtherContainer,
        Gain::OtherTraffic,
        Gain::HostInfo,
        Gain::KernelSurface,
        Gain::DenialOfService,
    ];

    fn held() -> Exposure {
        Exposure::Held { barriers: vec!["capabilities".into()], depth: 1 }
    }
    fn refused(errno: i32) -> Outcome {
        Outcome::Refused { errno, name: super::super::outcome::errno_name(errno) }
    }

    #[test]
    fn every_gain_stands_in_the_table_once() {
        for gain in ALL {
            assert_eq!(TABLE.iter().filter(|(gains, _)| gains.contains(&gain)).count(), 1, "{}", gain.name());
        }
    }

    #[test]
    fn done_on_an_open_path_to_the_host_is_critical_and_refused_on_a_held_one_is_low_at_most() {
        assert_eq!(severity(&Exposure::Open, &Outcome::Done, Gain::HostRoot), Severity::Critical);
        for gain in ALL {
            assert!(severity(&held(), &refused(1), gain) <= Severity::Low, "{}", gain.name());
        }
    }

    #[test]
    fn it_never_rises_as_walls_are_added_or_the_kernel_refuses() {
        let unknown = Exposure::NotKnown { missing: vec!["kernel".into()] };
        for gain in ALL {
            for outcome in [Outcome::Done, Outcome::NotKnown, refused(13)] {
                let s = |e: &Exposure| severity(e, &outcome, gain);
                assert!(
                    s(&Exposure::Open) >= s(&unknown) && s(&unknown) >= s(&held()),
                    "{} {outcome:?}",
                    gain.name()
                );
            }
            for exposure in [Exposure::Open, unknown.clone(), held()] {
                let s = |o: &Outcome| severity(&exposure, o, gain);
                assert!(s(&Outcome::Done) >= s(&Outcome::NotKnown), "{} {exposure:?}", gain.name());
                assert!(s(&Outcome::NotKnown) >= s(&refused(13)), "{} {exposure:?}", gain.name());
            }
        }
    }

    #[test]
    fn a_held_path_to_what_is_not_there_is_info() {
        assert_eq!(severity(&held(), &refused(2), Gain::HostRoot), Severity::Info);
        assert_eq!(severity(&Exposure::Open, &refused(2), Gain::HostRoot), Severity::Medium);
    }
}
