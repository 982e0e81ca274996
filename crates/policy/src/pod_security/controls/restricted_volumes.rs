//! Only kinds of volumes that come from the API or through a claim are allowed.
//!
//! Restricted fields: `spec.volumes[*]`. Allowed: `configMap`, `csi`, `downwardAPI`, `emptyDir`, `ephemeral`,
//! `persistentVolumeClaim`, `projected`, `secret`, `image` (new in 1.33, and put into the check of 1.0). A volume that names
//! no source is an `emptyDir` by the time it is judged (SetDefaults_Volume, pkg/apis/core/v1/defaults.go).

use super::*;

pub(super) const CONTROL: Control = Control {
    id: "restrictedVolumes",
    level: Level::Restricted,
    revisions: &[Revision { since: 0, check: since_1_0, replaces: &["hostPathVolumes"] }],
};

pub const ALLOWED_1_0: &[&str] = &[
    "configMap",
    "csi",
    "downwardAPI",
    "emptyDir",
    "ephemeral",
    "persistentVolumeClaim",
    "projected",
    "secret",
    "image",
];

fn since_1_0(pod: &PodDeclaration, violations: &mut Violations) {
    for volume in &pod.volumes {
        let place = volume.source.origin.place();
        match volume.source.get() {
            None => violations.add(place, format!("the source of volume `{}` cannot be read", volume.name)),
            Some(Some(kind)) if !ALLOWED_1_0.contains(&&**kind) => {
                violations.add(place, format!("volume `{}` is of the kind {kind}", volume.name));
            }
            Some(_) => {}
        }
    }
}
