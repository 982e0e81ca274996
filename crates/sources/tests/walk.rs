//! Which files a walk finds, and what it does not touch.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::time::Duration;

use sources::walk::{Likely, files, likely, read_bounded, read_stream};
use tempfile::TempDir;

fn tree(names: &[&str]) -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    for name in names {
        let path = directory.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, "a: 1\n").unwrap();
    }
    directory
}

/// The files found, relative to the root, and the errors.
fn found(root: &Path) -> (Vec<String>, Vec<String>) {
    let (mut paths, mut errors) = (Vec::new(), Vec::new());
    for file in files(root) {
        match file {
            Ok(path) => paths.push(path.strip_prefix(root).unwrap().display().to_string()),
            Err(error) => errors.push(error.to_string()),
        }
    }
    (paths, errors)
}

fn make_fifo(path: &Path) {
    let mode = rustix::fs::Mode::from_raw_mode(0o644);
    rustix::fs::mknodat(rustix::fs::CWD, path, rustix::fs::FileType::Fifo, mode, 0).unwrap();
}

#[test]
fn only_files_that_may_hold_something_to_judge_are_found_and_in_order() {
    let directory = tree(&[
        "b/compose.YAML",
        "b/main.rs",
        "a/deployment.yml",
        "Dockerfile",
        "Dockerfile.prod",
        "web.dockerfile",
        "Containerfile",
        "daemon.json",
        "run.sh",
        "web.container",
        "web.container.d/10-limits.conf",
        "nginx/nginx.conf",
        "README.md",
        "LICENSE",
        ".hidden/pod.yaml",
        ".github/workflow.yml",
    ]);
    fs::write(directory.path().join("start"), "#!/usr/bin/env -S bash -e\ndocker run x\n").unwrap();
    fs::write(directory.path().join("tool"), "#!/usr/bin/python3\n").unwrap();
    let (paths, errors) = found(directory.path());
    assert_eq!(errors, Vec::<String>::new());
    let expected = [
        "Containerfile",
        "Dockerfile",
        "Dockerfile.prod",
        "a/deployment.yml",
        "b/compose.YAML",
        "daemon.json",
        "run.sh",
        "start",
        "web.container",
        "web.container.d/10-limits.conf",
        "web.dockerfile",
    ];
    assert_eq!(paths, expected);
    assert_eq!(likely(Path::new("x/web.container.d/a.conf")), Some(Likely::Quadlet));
    assert_eq!(likely(Path::new("x/Dockerfile.dev")), Some(Likely::Dockerfile));
}

#[test]
fn what_git_ignores_is_left_out_with_or_without_a_repository() {
    let directory = tree(&["keep.yaml", "build/out.yaml", "sub/skip.yaml", "sub/keep.yaml"]);
    fs::write(directory.path().join(".gitignore"), "build/\n").unwrap();
    fs::write(directory.path().join("sub/.gitignore"), "skip.yaml\n").unwrap();
    assert_eq!(found(directory.path()).0, ["keep.yaml", "sub/keep.yaml"]);
}

#[test]
fn a_file_or_directory_that_is_named_is_taken_though_hidden_or_of_any_name() {
    let directory = tree(&[".hidden/pod.yaml", "notes.txt"]);
    assert_eq!(found(&directory.path().join(".hidden")).0, ["pod.yaml"]);
    let file = directory.path().join("notes.txt");
    let named: Vec<PathBuf> = files(&file).into_iter().map(Result::unwrap).collect();
    assert_eq!(named, [file]);
}

#[test]
fn links_within_the_tree_are_taken_links_out_of_it_are_errors_and_loops_end() {
    let outside = tree(&["secret.yaml"]);
    let directory = tree(&["..data/config.yaml", "sub/x.yaml"]);
    let root = directory.path();
    symlink("..data/config.yaml", root.join("config.yaml")).unwrap();
    symlink(outside.path().join("secret.yaml"), root.join("out.yaml")).unwrap();
    symlink("missing", root.join("broken.yaml")).unwrap();
    symlink("self.yaml", root.join("self.yaml")).unwrap();
    symlink("..", root.join("sub/up")).unwrap();
    symlink(outside.path(), root.join("elsewhere")).unwrap();
    let (paths, errors) = found(root);
    assert_eq!(paths, ["config.yaml", "sub/x.yaml"]);
    assert_eq!(errors.len(), 3, "{errors:?}");
    assert!(errors[0].contains("broken.yaml: a broken symbolic link"), "{errors:?}");
    assert!(errors[1].contains("out.yaml: a symbolic link out of the directory"), "{errors:?}");
    assert!(errors[2].contains("self.yaml"), "{errors:?}");
}

#[test]
fn a_fifo_or_a_socket_is_never_opened() {
    let directory = tree(&["x.yaml"]);
    make_fifo(&directory.path().join("fifo.yaml"));
    make_fifo(&directory.path().join("fifo"));
    symlink("fifo.yaml", directory.path().join("link.yaml")).unwrap();
    let _socket = UnixListener::bind(directory.path().join("socket.json")).unwrap();
    let root = directory.path().to_owned();
    let (sender, receiver) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let fifo = root.join("fifo.yaml");
        let named = files(&fifo).remove(0).unwrap_err().to_string();
        let read = read_bounded(&fifo, 10).unwrap_err().to_string();
        sender.send((found(&root), named, read)).unwrap();
    });
    let ((paths, errors), named, read) = receiver.recv_timeout(Duration::from_secs(20)).expect("it hangs");
    assert_eq!(paths, ["x.yaml"]);
    assert_eq!(errors, Vec::<String>::new());
    assert!(named.contains("fifo.yaml: a FIFO, not a regular file"), "{named}");
    assert_eq!(named, read);
}

#[test]
fn a_device_and_a_directory_are_not_read() {
    let error = read_bounded(Path::new("/dev/zero"), 10).unwrap_err().to_string();
    assert!(error.starts_with("/dev/zero: a device"), "{error}");
    assert!(read_bounded(Path::new("/"), 10).unwrap_err().to_string().contains("a directory"));
}

#[test]
fn reading_stops_at_the_limit() {
    let directory = tree(&["x.yaml"]);
    let path = directory.path().join("x.yaml");
    assert_eq!(read_bounded(&path, 5).unwrap(), b"a: 1\n");
    let error = read_bounded(&path, 4).unwrap_err().to_string();
    assert!(error.ends_with("x.yaml: larger than the limit of 4 bytes"), "{error}");
    let endless = std::io::repeat(b'x');
    assert!(read_stream(endless, Path::new("-"), 1 << 20).is_err());
    // Its size is said to be 0.
    assert!(!read_bounded(Path::new("/proc/self/status"), 1 << 20).unwrap().is_empty());
}

#[test]
fn what_cannot_be_read_is_an_error_that_names_it() {
    let directory = tree(&["open.yaml", "closed/x.yaml"]);
    let missing = directory.path().join("missing");
    assert!(files(&missing).remove(0).unwrap_err().to_string().contains("missing: No such file"));
    let closed = directory.path().join("closed");
    fs::set_permissions(&closed, fs::Permissions::from_mode(0o000)).unwrap();
    let readable_anyway = fs::read_dir(&closed).is_ok();
    let (paths, errors) = found(directory.path());
    fs::set_permissions(&closed, fs::Permissions::from_mode(0o755)).unwrap();
    if readable_anyway {
        println!("skipped: this user may read everything (root)");
        return;
    }
    assert_eq!(paths, ["open.yaml"]);
    assert!(errors[0].contains("closed: Permission denied"), "{errors:?}");
}

#[test]
fn two_walks_of_a_large_tree_give_the_same_order() {
    let directory = tempfile::tempdir().unwrap();
    for n in 0..2000 {
        let folder = directory.path().join(format!("d{}", n % 50));
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join(format!("f{n}.yaml")), "").unwrap();
    }
    let (paths, _) = found(directory.path());
    assert_eq!(paths.len(), 2000);
    assert!(paths.iter().map(PathBuf::from).is_sorted());
    assert_eq!(found(directory.path()).0, paths);
}
