//! No value of an option makes its reader panic or hang; what is read of a value without unknown parts is known, and a
//! mount always has a target.
#![no_main]

use confinement::{EngineKind, Fact, MountSource, Origin, Request};
use libfuzzer_sys::fuzz_target;
use sources::options::{self, Surroundings};

fuzz_target!(|text: &str| {
    for engine in [EngineKind::Docker, EngineKind::Podman] {
        let around = Surroundings {
            engine,
            folder: "/srv/app",
            home: "/home/user",
            volume: &|name, origin| Fact::known(MountSource::Volume(name.into()), origin.clone()),
            subject: &|_| "other".into(),
            read_file: &|_| Err("absent".to_owned()),
        };
        let origin = Origin::Nowhere;
        let unknown = text.contains(options::UNKNOWN);
        for read in [options::volume, options::mount, options::tmpfs] {
            if let Ok(mount) = read(text, &origin, &around) {
                assert!(!mount.target.is_empty());
                assert!(mount.source.is_known() || unknown);
                if let Some(path) = mount.host_path() {
                    assert!(path.as_str().starts_with('/') && !path.as_str().contains("//"));
                }
            }
        }
        let mut request = Request::default();
        let _ = options::security_option(text, &origin, &around, &mut request);
        let _ = options::device(text, &origin, &mut request);
        let _ = options::network(text, &origin, &around, &mut request);
        let _ = options::device_rule(text, &origin);
        let _ = options::pid_namespace(text, &origin, &around);
        let _ = options::user_namespace(text, &origin);
        let _ = options::id_maps(&[(text, origin.clone())], &[]);
        let _ = options::sysctl(text, &origin);
        let _ = options::control_apis([("DOCKER_HOST", Some(text), origin.clone())]);
        let _ = (options::bytes(text), options::cpus(text), options::pids(text), options::boolean(text));
    }
});
