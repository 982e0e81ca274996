//! Which looks an event is worth: by its kind, then for files by file system and name, so that an event of no interest
//! costs a few comparisons.

use sensor::event::{Event, Kind};

use super::detector::{By, Detector, Look};
use super::files::{self, FileLook, FileSystem, Seen, last_name};
use super::pattern::{Pattern, names};

/// A look of a detector.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) detector: u16,
    look: u16,
}

#[derive(Debug)]
pub(super) struct Index {
    detectors: &'static [Detector],
    wants: Vec<Kind>,
    reads_files: Vec<bool>,
    /// By kind: looks at events of the host's processes, and of containers'.
    others: Vec<[Vec<Place>; 2]>,
    compat: Vec<Place>,
    /// By file system and last name, and by file system and first name of the path within it.
    by_name: Names,
    by_system: Vec<Vec<Place>>,
    devices: Vec<Place>,
    /// Files reached through a mount namespace of somebody else.
    through: Vec<Place>,
    /// Files of the host by their first names, one or two.
    host: Names,
    host_any: Vec<Place>,
    /// By the last name of the path as walked.
    walked: Names,
    walked_any: Vec<Place>,
    /// Paths of failed calls by last name, and those whose last name no pattern says.
    asked: Names,
    asked_any: Vec<Place>,
    /// Ways through the links of /proc.
    links: Vec<Place>,
}

/// Places by hash, sorted.
#[derive(Debug, Default)]
struct Names(Vec<(u64, Place)>);

impl Names {
    fn get(&self, key: u64) -> impl Iterator<Item = Place> {
        let from = self.0.partition_point(|(k, _)| *k < key);
        self.0.iter().skip(from).take_while(move |(k, _)| *k == key).map(|(_, place)| *place)
    }
    fn add(&mut self, key: u64, place: Place) {
        self.0.push((key, place));
    }
    fn finish(&mut self) {
        self.0.sort_by_key(|(key, place)| (*key, place.detector, place.look));
        self.0.dedup();
    }
}

/// FNV-1a, which is short and good enough for names of files; equal hashes are told apart by the looks.
fn hash(seed: u64, name: &str) -> u64 {
    let start = 0xcbf2_9ce4_8422_2325 ^ seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    name.bytes().fold(start, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

const FIRST: u64 = 1 << 32;

impl Index {
    pub(super) fn new(detectors: &'static [Detector]) -> Index {
        let mut index = Index {
            detectors,
            wants: Vec::new(),
            reads_files: vec![false; Kind::TABLE],
            others: (0..Kind::TABLE).map(|_| [Vec::new(), Vec::new()]).collect(),
            compat: Vec::new(),
            by_name: Names::default(),
            by_system: (0..FileSystem::ALL.len()).map(|_| Vec::new()).collect(),
            devices: Vec::new(),
            through: Vec::new(),
            host: Names::default(),
            host_any: Vec::new(),
            walked: Names::default(),
            walked_any: Vec::new(),
            asked: Names::default(),
            asked_any: Vec::new(),
            links: Vec::new(),
        };
        for (d, detector) in (0u16..).zip(detectors) {
            for (l, look) in (0u16..).zip(&detector.when) {
                index.add(Place { detector: d, look: l }, detector, look);
            }
        }
        for names in [&mut index.by_name, &mut index.host, &mut index.walked, &mut index.asked] {
            names.finish();
        }
        let wanted = |kind: &&Kind| {
            let k = **kind as usize;
            index.reads_files.get(k) == Some(&true)
                || index.others.get(k).is_some_and(|places| places.iter().any(|p| !p.is_empty()))
        };
        index.wants = Kind::ALL.iter().filter(wanted).copied().collect();
        index
    }

    fn add(&mut self, place: Place, detector: &Detector, look: &Look) {
        match look {
            Look::File(look) => {
                for kind in files::KINDS {
                    if let Some(reads) = self.reads_files.get_mut(*kind as usize) {
                        *reads = true;
                    }
                }
                self.add_file(place, look);
            }
            Look::Compat {} => self.compat.push(place),
            Look::Check(_) => {}
            other => {
                for kind in other.kinds() {
                    let Some([host, container]) = self.others.get_mut(kind as usize) else { continue };
                    if detector.by != By::Container && !host.contains(&place) {
                        host.push(place);
                    }
                    if detector.by != By::Host && !container.contains(&place) {
                        container.push(place);
                    }
                }
            }
        }
    }

    fn add_file(&mut self, place: Place, look: &FileLook) {
        for system in &look.system {
            let seed = *system as u64;
            for pattern in &look.path {
                match (pattern.last_name(), pattern.first_names().next()) {
                    (Some(last), _) => self.by_name.add(hash(seed, last), place),
                    (None, Some(first)) => self.by_name.add(hash(seed | FIRST, first), place),
                    (None, None) => self.add_to_system(*system, place),
                }
            }
            if look.path.is_empty() {
                self.add_to_system(*system, place);
            }
        }
        for pattern in &look.path {
            match pattern.last_name() {
                Some(last) => self.asked.add(hash(0, last), place),
                None => self.asked_any.push(place),
            }
        }
        if !look.asked.is_empty() {
            self.links.push(place);
            return;
        }
        if !look.system.is_empty() {
            return;
        }
        if look.block || !look.device.is_empty() {
            self.devices.push(place);
        } else if look.through.is_some() {
            self.through.push(place);
        } else if look.looks_at_host() {
            self.add_host(place, look);
        } else {
            for pattern in &look.at {
                match pattern.last_name() {
                    Some(last) => self.walked.add(hash(0, last), place),
                    None => self.walked_any.push(place),
                }
            }
            if look.at.is_empty() {
                self.walked_any.push(place);
            }
        }
    }

    fn add_to_system(&mut self, system: FileSystem, place: Place) {
        if let Some(places) = self.by_system.get_mut(system as usize)
            && !places.contains(&place)
        {
            places.push(place);
        }
    }

    fn add_host(&mut self, place: Place, look: &FileLook) {
        let of_classes = look.classes.iter().flat_map(|c| c.object.iter().chain(&c.tree).chain(&c.named));
        let patterns: Vec<Pattern> =
            of_classes.map(|text| Pattern::new(text)).chain(look.host_path.iter().cloned()).collect();
        if patterns.is_empty() {
            self.host_any.push(place);
        }
        for pattern in patterns {
            let first: Vec<&str> = pattern.first_names().collect();
            match first.as_slice() {
                [] => self.host_any.push(place),
                [one] => self.host.add(hash(1, one), place),
                [one, two, ..] => self.host.add(hash(hash(2, one), two), place),
            }
        }
    }

    pub(super) fn wants(&self) -> &[Kind] {
        &self.wants
    }
    pub(super) fn reads_files(&self, kind: Kind) -> bool {
        self.reads_files.get(kind as usize) == Some(&true)
    }
    pub(super) fn others(&self, kind: Kind, in_container: bool) -> &[Place] {
        self.others
            .get(kind as usize)
            .and_then(|places| places.get(usize::from(in_container)))
            .map_or(&[], Vec::as_slice)
    }
    pub(super) fn compat(&self) -> &[Place] {
        &self.compat
    }
    pub(super) fn detector(&self, place: Place) -> &'static Detector {
        // A place is made from the table it points into.
        &self.detectors[usize::from(place.detector)]
    }
    pub(super) fn look(&self, place: Place) -> &'static Look {
        &self.detector(place).when[usize::from(place.look)]
    }

    /// Hands the file looks that may see the file to `try_look`.
    pub(super) fn candidates(
        &self,
        seen: &Seen<'_>,
        event: &Event,
        try_look: &mut dyn FnMut(Place, &'static FileLook),
    ) {
        let mut all = |places: &mut dyn Iterator<Item = Place>| {
            for place in places {
                if let Look::File(look) = self.look(place) {
                    try_look(place, look);
                }
            }
        };
        let file = seen.view.file;
        match seen.system {
            Some(system) if seen.of_object => {
                let seed = system as u64;
                if let Some(last) = last_name(seen.path) {
                    all(&mut self.by_name.get(hash(seed, last)));
                }
                if let Some(first) = names(seen.path).next() {
                    all(&mut self.by_name.get(hash(seed | FIRST, first)));
                }
                if let Some(places) = self.by_system.get(system as usize) {
                    all(&mut places.iter().copied());
                }
            }
            None if !seen.is_text() => {}
            _ => {
                if let Some(last) = last_name(seen.path) {
                    all(&mut self.asked.get(hash(0, last)));
                }
                let telling = ["/proc/", "/sys/", "/cgroup/"].iter().any(|place| seen.path.contains(place));
                if telling || seen.system.is_some() {
                    all(&mut self.asked_any.iter().copied());
                }
            }
        }
        if seen.is_device() || file.file_system == 0 && seen.path.starts_with("/dev/") {
            all(&mut self.devices.iter().copied());
        }
        if file.mount_namespace != 0 && file.mount_namespace != event.actor.namespaces.mount {
            all(&mut self.through.iter().copied());
        }
        if let Some(host) = &seen.host {
            let mut first = names(&host.path);
            if let Some(one) = first.next() {
                all(&mut self.host.get(hash(1, one)));
                if let Some(two) = first.next() {
                    all(&mut self.host.get(hash(hash(2, one), two)));
                }
            }
            all(&mut self.host_any.iter().copied());
        }
        if seen.view.asked.text.starts_with("/proc/") {
            all(&mut self.links.iter().copied());
        }
        if let Some(last) = last_name(seen.walked()) {
            all(&mut self.walked.get(hash(0, last)));
        }
        all(&mut self.walked_any.iter().copied());
    }
}
