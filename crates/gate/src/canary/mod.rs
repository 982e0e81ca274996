//! Proof that a door is shut: requests that must be refused, and one that must pass, sent through the real door. What must be
//! refused is what must pass, as root and with one danger, so that the refusal is for that danger. Nothing is ever started, and
//! what got in is taken away at once.

pub mod docker;
mod http;
pub mod kubernetes;
pub mod oci;

use serde::Serialize;

/// What ought to become of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Expected {
    Refused,
    LetIn,
}

/// What became of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case", tag = "became")]
pub enum Became {
    /// By a door: its words.
    Refused { message: String },
    /// It reached what stands behind the door. `left` names what could not be taken away again.
    LetIn {
        #[serde(skip_serializing_if = "Option::is_none")]
        left: Option<String>,
    },
    /// Neither can be said, and why: a failure for another reason proves nothing.
    NotKnown { why: String },
}

/// One request and what became of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Trial {
    /// What was asked for, in few words.
    pub asked: String,
    pub expected: Expected,
    #[serde(flatten)]
    pub became: Became,
}

/// What the trials of one door say together; the worse the greater.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// All that must be refused is, and what must pass does.
    Live,
    /// What must pass is refused: the door is shut to all, or the policy asks for more than the trial gives.
    RefusesAll,
    /// A trial said nothing, so that nothing is proven.
    NotKnown,
    /// Something got in.
    Open,
}

impl Trial {
    pub fn verdict(&self) -> Verdict {
        match (self.expected, &self.became) {
            (_, Became::NotKnown { .. }) => Verdict::NotKnown,
            (Expected::Refused, Became::LetIn { .. }) => Verdict::Open,
            (Expected::LetIn, Became::Refused { .. }) => Verdict::RefusesAll,
            _ => Verdict::Live,
        }
    }
}

/// No trial proves nothing.
pub fn verdict(trials: &[Trial]) -> Verdict {
    trials.iter().map(Trial::verdict).max().unwrap_or(Verdict::NotKnown)
}

/// A text of somebody else's, short enough to be shown.
fn short(text: &str) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if line.chars().count() <= 200 {
        line
    } else {
        format!("{}…", line.chars().take(200).collect::<String>())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_that_got_in_outweighs_all_and_no_trial_proves_nothing() {
        let trial = |expected, became| Trial { asked: "x".into(), expected, became };
        let refused = || Became::Refused { message: "denied".into() };
        let live = || {
            vec![trial(Expected::Refused, refused()), trial(Expected::LetIn, Became::LetIn { left: None })]
        };
        assert_eq!(verdict(&live()), Verdict::Live);
        assert_eq!(verdict(&[]), Verdict::NotKnown);
        for (expected, became, is) in [
            (Expected::LetIn, refused(), Verdict::RefusesAll),
            (Expected::Refused, Became::NotKnown { why: "400".into() }, Verdict::NotKnown),
            (Expected::Refused, Became::LetIn { left: None }, Verdict::Open),
        ] {
            let mut trials = live();
            trials.push(trial(expected, became));
            assert_eq!(verdict(&trials), is);
        }
    }
}
