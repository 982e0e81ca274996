//! HostPath volumes are forbidden, read-only ones too.
//!
//! Restricted fields: `spec.volumes[*].hostPath`. Allowed: undefined.

use super::*;

pub(super) const CONTROL: Control = Control {
    id: "hostPathVolumes",
    level: Level::Baseline,
    revisions: &[Revision { since: 0, check: since_1_0, replaces: &[] }],
};

fn since_1_0(pod: &PodDeclaration, violations: &mut Violations) {
    for volume in &pod.volumes {
        let place = volume.source.origin.place();
        match volume.source.get() {
            Some(Some(kind)) if &**kind == "hostPath" => {
                violations.add(place, format!("volume `{}` is a hostPath", volume.name));
            }
            Some(_) => {}
            None => violations.add(place, format!("the source of volume `{}` cannot be read", volume.name)),
        }
    }
}
