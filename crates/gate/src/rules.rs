//! The rules in force at a door: policy and waivers, as they were last read without an error. Reading is the program's
//! part; a reload that fails leaves the last good rules there, and what was wrong with it stays to be told.

use std::sync::{Arc, PoisonError, RwLock};

use policy::{Policy, ReadError, Waivers};

/// What one request is decided by. It stays whole whatever is reloaded meanwhile.
#[derive(Debug, Default)]
pub struct InForce {
    pub policy: Policy,
    pub waivers: Waivers,
}

type Read = Box<dyn Fn() -> Result<InForce, ReadError> + Send + Sync>;

/// The rules, shared by all threads of a door.
pub struct Rules {
    now: RwLock<Now>,
    read: Read,
}

struct Now {
    in_force: Arc<InForce>,
    /// Why the last reload did not take effect.
    failure: Option<Arc<ReadError>>,
}

impl Rules {
    /// Reads the rules for the first time. A door that has none does not open.
    pub fn load(
        read: impl Fn() -> Result<InForce, ReadError> + Send + Sync + 'static,
    ) -> Result<Rules, ReadError> {
        let in_force = Arc::new(read()?);
        Ok(Rules { now: RwLock::new(Now { in_force, failure: None }), read: Box::new(read) })
    }

    pub fn now(&self) -> Arc<InForce> {
        self.now.read().unwrap_or_else(PoisonError::into_inner).in_force.clone()
    }

    /// Reads the rules again and puts them in force. Where that fails, the last good ones stay.
    pub fn reload(&self) -> Result<(), Arc<ReadError>> {
        let read = (self.read)().map_err(Arc::new);
        let mut now = self.now.write().unwrap_or_else(PoisonError::into_inner);
        match read {
            Ok(in_force) => {
                *now = Now { in_force: Arc::new(in_force), failure: None };
                Ok(())
            }
            Err(error) => {
                now.failure = Some(error.clone());
                Err(error)
            }
        }
    }

    /// Why the rules that are on disk are not the ones in force.
    pub fn failure(&self) -> Option<Arc<ReadError>> {
        self.now.read().unwrap_or_else(PoisonError::into_inner).failure.clone()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use policy::{NoFiles, Outcome};

    use super::*;

    #[test]
    fn a_broken_policy_leaves_the_last_good_one_in_force_and_says_so() {
        let text = Arc::new(Mutex::new("version: 1\nopen: warn\n".to_owned()));
        let read = {
            let text = text.clone();
            move || {
                let text = text.lock().unwrap_or_else(PoisonError::into_inner);
                let policy = Policy::parse(&text, &"p.yaml".into(), &NoFiles)?;
                Ok(InForce { policy, waivers: Waivers::default() })
            }
        };
        let rules = Rules::load(read).expect("it reads");
        let change = |to: &str| to.clone_into(&mut text.lock().unwrap_or_else(PoisonError::into_inner));

        change("version: 1\nopen: perhaps\n");
        assert!(rules.reload().is_err());
        assert_eq!(rules.now().policy.open, Outcome::Warn);
        assert!(rules.failure().is_some());

        change("version: 1\nopen: deny\n");
        assert!(rules.reload().is_ok());
        assert_eq!(rules.now().policy.open, Outcome::Deny);
        assert!(rules.failure().is_none());
    }
}
