//! Kernel modules that flaws need and nothing here uses, denied in a file of modprobe.d(5). `blacklist` is not
//! enough: it stops aliases, and the kernel asks for these by alias as well as by name; `install NAME /bin/false`
//! stops both.

use super::disk::Disk;
use super::updates::{Found, needs};
use super::{FileProposal, Known, Proposal, Reason};

const FILE: &str = "/etc/modprobe.d/80-stockade.conf";
const HEADER: &str = "# Modules that known flaws need and nothing here uses, denied by stockade.\n";

pub(super) fn propose(known: &Known<'_>, flaws: &[Found], disk: &Disk<'_>, proposal: &mut Proposal) {
    if known.host.modules_loadable.value == Some(false) {
        return;
    }
    let Some(loaded) = disk.read("/proc/modules") else {
        proposal.notes.push("which modules are loaded is not known; none is denied".into());
        return;
    };
    let release = known.host.kernel_release.get().map_or("", |release| release);
    let folder = format!("/lib/modules/{release}");
    let built_in = disk.read(&format!("{folder}/modules.builtin")).unwrap_or_default();
    let there = disk.read(&format!("{folder}/modules.dep"));
    let before = disk.read(FILE);
    let mut after = before.clone().unwrap_or_default();
    let mut reasons = Vec::new();
    for module in named(flaws) {
        let flaws_of: Vec<&Found> =
            flaws.iter().filter(|found| needs(found.flaw, &format!("module-available({module})"))).collect();
        let numbers: Vec<String> = flaws_of.iter().map(|found| found.flaw.id.clone()).collect();
        if is_file_of(&built_in, &module) {
            proposal.notes.push(format!(
                "{module}, which {} needs, is built into the kernel and cannot be denied; only the update mends it",
                numbers.join(", ")
            ));
            continue;
        }
        // A kernel whose modules are not installed loads none.
        if there.as_deref().is_some_and(|there| !is_file_of(there, &module)) {
            continue;
        }
        if is_denied(&after, &module) {
            continue;
        }
        if let Some(users) = in_use(&loaded, &module) {
            proposal.notes.push(format!(
                "{module}, which {} needs, is loaded{users} and is not denied; unload it if nothing needs it, and run \
                 this again",
                numbers.join(", ")
            ));
            continue;
        }
        if after.is_empty() {
            after.push_str(HEADER);
        } else if !after.ends_with('\n') {
            after.push('\n');
        }
        let setting = format!("install {module} /bin/false");
        let titles: Vec<&str> = flaws_of.iter().map(|found| found.flaw.title.as_str()).collect();
        let why = titles.join("; ");
        after.push_str(&format!("\n# {}\n{setting}\n", numbers.join(", ")));
        let breaks = match module.as_str() {
            "esp4" | "esp6" => Some("IPsec cannot be set up"),
            "rxrpc" => Some("AFS and rxrpc cannot be used"),
            "rds" => Some("RDS, of Oracle's clusters, cannot be used"),
            name if name.starts_with("algif_") => {
                Some("programs that let the kernel encrypt for them do it themselves")
            }
            _ => None,
        };
        proposal.breaks.extend(breaks.map(|text| format!("{module} denied: {text}")));
        reasons.push(Reason { setting, why, answers: numbers });
    }
    if !reasons.is_empty() {
        proposal.files.push(FileProposal { path: FILE.into(), before, after, reasons });
    }
}

/// The modules that flaws name, each once.
fn named(flaws: &[Found]) -> Vec<String> {
    let conditions =
        flaws.iter().flat_map(|found| &found.flaw.needs).flat_map(techniques::flaw::Needs::conditions);
    let mut names: Vec<String> = conditions
        .filter_map(|text| Some(text.strip_prefix("module-available(")?.strip_suffix(')')?.to_owned()))
        .collect();
    names.sort();
    names.dedup();
    names
}

/// modules.dep(5) and modules.builtin name files: `kernel/net/rds/rds.ko.xz: …`.
fn is_file_of(list: &str, module: &str) -> bool {
    list.lines().any(|line| {
        let path = line.split(':').next().unwrap_or("").trim();
        let file = path.rsplit('/').next().unwrap_or("");
        file.split_once(".ko").is_some_and(|(name, _)| name.replace('-', "_") == module)
    })
}

/// proc(5), /proc/modules: name, size, instances, who uses it.
fn in_use(loaded: &str, module: &str) -> Option<String> {
    loaded.lines().find_map(|line| {
        let mut fields = line.split_whitespace();
        if fields.next() != Some(module) {
            return None;
        }
        let users = fields.nth(2).unwrap_or("-").trim_matches(',');
        Some(if users == "-" { String::new() } else { format!(" and used by {users}") })
    })
}

fn is_denied(text: &str, module: &str) -> bool {
    text.lines().any(|line| {
        let mut words = line.split_whitespace();
        words.next() == Some("install")
            && words.next().map(|name| name.replace('-', "_")).as_deref() == Some(module)
            && words
                .next()
                .is_some_and(|program| matches!(program, "/bin/false" | "/bin/true" | "/usr/bin/false"))
    })
}
