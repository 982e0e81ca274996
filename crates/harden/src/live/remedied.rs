//! The plan's remedies in both texts of a live container: each text is read as its form is, planned for, edited by the
//! form's editor and proven, as a file would be.

use std::sync::Arc;

use confinement::World;
use sources::compose::{Environment, Files};
use sources::gather::Overlay;
use sources::{Context, compose, run};
use techniques::plan::{Asked, Plan, plan};

use super::Reproduced;
use crate::hardening::{Hardening, harden};

/// A text with its remedies.
#[derive(Clone, Debug)]
pub struct Remedied {
    /// The text as it was edited; as it was, where nothing is to be changed or an edit was refused.
    pub text: Arc<str>,
    pub world: World,
    pub plan: Plan,
    pub hardening: Hardening,
}

impl Reproduced {
    /// The command line with the remedies in it. `context` has the engine, the host and the user of the image as they
    /// are for the live container. Files beside the text ([`Reproduced::files`]) are read from the working folder.
    pub fn remedied_line(&self, context: &Context, asked: &Asked<'_>) -> Remedied {
        remedied("command", &self.run_line, asked, &|path, text| run::read_line(text, path, 1, context))
    }

    /// The Compose file with the remedies in it.
    pub fn remedied_compose(&self, context: &Context, asked: &Asked<'_>) -> Remedied {
        let read = |path: &Arc<str>, text: &str| {
            let memory = Memory { path, text, reproduced: self, environment: Environment::default() };
            compose::read(&[path], &memory, context)
        };
        remedied("compose.yaml", &self.compose, asked, &read)
    }
}

fn remedied(name: &str, text: &str, asked: &Asked<'_>, read: &dyn Fn(&Arc<str>, &str) -> World) -> Remedied {
    let path: Arc<str> = name.into();
    let original: Arc<str> = text.into();
    let world = read(&path, text);
    let plan = plan(&world, asked);
    let texts = |wanted: &str| match wanted == name {
        true => Ok(original.clone()),
        false => Err("it is no part of the text".to_owned()),
    };
    let reread = |overlay: Overlay| read(&path, overlay.get(&path).unwrap_or(&original));
    let hardening = harden(&world, &plan, &texts, &reread, false);
    let edited = hardening.files.iter().find(|file| *file.path == *name).map(|file| file.after.clone());
    Remedied { text: edited.unwrap_or(original), world, plan, hardening }
}

/// The Compose file and the files beside it, none of which is on disk.
struct Memory<'a> {
    path: &'a str,
    text: &'a str,
    reproduced: &'a Reproduced,
    environment: Environment,
}

impl Files for Memory<'_> {
    fn read(&self, path: &str) -> Result<Vec<u8>, String> {
        if path == self.path {
            return Ok(self.text.as_bytes().to_vec());
        }
        let name = path.rsplit('/').next().unwrap_or(path);
        let beside = self.reproduced.files.iter().find(|file| file.path == name);
        beside.map(|file| file.text.as_bytes().to_vec()).ok_or_else(|| format!("there is no {path}"))
    }
    fn environment(&self) -> &Environment {
        &self.environment
    }
    fn home(&self) -> &str {
        "/root"
    }
}
