//! Paths as the kernel would walk them, by their text alone: no link is followed.

/// `path` from `directory`, without `.`, `..`, doubled and closing slashes. As libsinsp joins paths, so that names
/// compare equal to those of its rules.
pub fn join(directory: &[u8], path: &[u8]) -> Vec<u8> {
    let mut joined = Vec::with_capacity(directory.len() + path.len() + 1);
    if !path.starts_with(b"/") {
        walk(&mut joined, directory);
    }
    walk(&mut joined, path);
    if joined.is_empty() {
        joined.push(b'/');
    }
    joined
}

fn walk(joined: &mut Vec<u8>, path: &[u8]) {
    for part in path.split(|byte| *byte == b'/') {
        match part {
            b"" | b"." => {}
            b".." => {
                let parent = joined.iter().rposition(|byte| *byte == b'/').unwrap_or(0);
                joined.truncate(parent);
            }
            part => {
                joined.push(b'/');
                joined.extend_from_slice(part);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_joined_to_its_directory_without_detours() {
        for (directory, path, expected) in [
            ("/tmp/", "file", "/tmp/file"),
            ("/tmp", "../etc/./shadow", "/etc/shadow"),
            ("/tmp", "/etc//cron.d/", "/etc/cron.d"),
            ("/", "../..", "/"),
            ("/a/b", "../../../c", "/c"),
            ("", "x", "/x"),
        ] {
            assert_eq!(
                join(directory.as_bytes(), path.as_bytes()),
                expected.as_bytes(),
                "{directory} {path}"
            );
        }
    }
}
