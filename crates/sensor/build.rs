//! Compiles the BPF programs with clang, where the feature `loader` asks for them: three times, for the ways that
//! kernels have of reading their memory (`src/bpf/common.bpf.h`).

use std::path::{Path, PathBuf};
use std::process::Command;

const PACKAGES: &str = "install clang (Debian: apt-get install clang libelf-dev zlib1g-dev pkg-config), or build \
                        without the feature `loader` of the crate `sensor`";

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-changed=src/bpf");
    println!("cargo:rerun-if-changed=src/families");
    println!("cargo:rerun-if-env-changed=CLANG");
    if std::env::var_os("CARGO_FEATURE_LOADER").is_none() {
        return;
    }
    let out = PathBuf::from(std::env::var_os("OUT_DIR").unwrap_or_default());
    let clang = std::env::var("CLANG").unwrap_or_else(|_| "clang".to_owned());
    for (source, object, options) in [
        ("sensor.bpf.c", "cast.bpf.o", &["-mcpu=v2", "-DCAST"][..]),
        ("sensor.bpf.c", "direct.bpf.o", &["-mcpu=v2"][..]),
        ("sensor.bpf.c", "plain.bpf.o", &["-mcpu=v2", "-DPLAIN"][..]),
        // Compare-and-swap came with 5.12, which has all that the hooks need besides.
        ("hooks.bpf.c", "hooks.bpf.o", &["-mcpu=v3"][..]),
    ] {
        if let Err(why) = compile(&clang, Path::new(source), &out.join(object), options) {
            eprintln!("the sensor's BPF programs do not compile: {why}");
            std::process::exit(1);
        }
    }
}

fn compile(clang: &str, source: &Path, object: &Path, options: &[&str]) -> Result<(), String> {
    // bpf_helpers.h and its companions, as the crate libbpf-sys carries them.
    let headers = std::env::var("DEP_BPF_INCLUDE").map_err(|_| "libbpf's headers are missing".to_owned())?;
    let status = Command::new(clang)
        .args(["-g", "-O2", "-target", "bpf", "-D__TARGET_ARCH_x86", "-Wall", "-Werror"])
        .arg("-Wno-unused-function")
        .args(options)
        .arg("-I")
        .arg(&headers)
        .arg("-c")
        .arg(Path::new("src/bpf").join(source))
        .arg("-o")
        .arg(object)
        .status()
        .map_err(|error| format!("cannot run {clang}: {error}; {PACKAGES}"))?;
    if status.success() { Ok(()) } else { Err(format!("{clang} ended with {status}")) }
}
