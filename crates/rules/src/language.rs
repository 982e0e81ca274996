//! The features of the language, each with an example that is a test: `docs/rule-language.md` is made from this table, and
//! `tests/language.rs` holds every example against the engine.

/// Fields and their values as text. Of a field that stands for several values there may be several, and a list's
/// elements have commas between.
pub type Fields = &'static [(&'static str, &'static str)];

pub struct Feature {
    pub group: &'static str,
    pub name: &'static str,
    pub meaning: &'static str,
    pub example: Example,
}

pub enum Example {
    /// A condition with an event that matches and one that does not.
    Condition { condition: &'static str, matches: Fields, differs: Fields },
    /// A rule file; an event that its rules match, one that they do not, and what is said about the file.
    File { file: &'static str, matches: Fields, differs: Fields, says: &'static [&'static str] },
    /// A file with an error: what is said, with line and column.
    Error { file: &'static str, says: &'static str },
    /// An output with what it says of an event.
    Output { output: &'static str, event: Fields, text: &'static str },
}

macro_rules! features {
    ($($group:literal { $($name:literal $meaning:literal $kind:ident { $($body:tt)* })* })*) => {
        pub static FEATURES: &[Feature] = &[$($(Feature {
            group: $group, name: $name, meaning: $meaning, example: Example::$kind { $($body)* },
        },)*)*];
    };
}

features! {
    "Logic" {
        "`and`" "both hold" Condition {
            condition: "proc.name = cat and fd.num = 3",
            matches: &[("proc.name", "cat"), ("fd.num", "3")],
            differs: &[("proc.name", "cat"), ("fd.num", "4")],
        }
        "`or`" "one holds; `and` binds closer" Condition {
            condition: "proc.name = a and fd.num = 1 or proc.name = b",
            matches: &[("proc.name", "b")],
            differs: &[("proc.name", "a"), ("fd.num", "2")],
        }
        "`not`" "does not hold" Condition {
            condition: "not proc.name = cat",
            matches: &[("proc.name", "dog")],
            differs: &[("proc.name", "cat")],
        }
        "parentheses" "hold together; `not(`, `and(` and `or(` need no blank" Condition {
            condition: "not(proc.name = a or proc.name = b)",
            matches: &[("proc.name", "c")],
            differs: &[("proc.name", "b")],
        }
        "absent field" "every comparison with it is false, so `not x in (…)` is true" Condition {
            condition: "not proc.name in (cat, dog)",
            matches: &[],
            differs: &[("proc.name", "cat")],
        }
        "absent field, `!=`" "false as well" Condition {
            condition: "proc.name != cat",
            matches: &[("proc.name", "dog")],
            differs: &[],
        }
    }
    "Operators" {
        "`=`, `==`" "equal" Condition {
            condition: "proc.name == cat",
            matches: &[("proc.name", "cat")],
            differs: &[("proc.name", "Cat")],
        }
        "`!=`" "has a value, and another" Condition {
            condition: "fd.num != 3",
            matches: &[("fd.num", "4")],
            differs: &[("fd.num", "3")],
        }
        "`<`, `<=`, `>`, `>=`" "order of numbers; hexadecimal with `0x`" Condition {
            condition: "evt.rawres >= -0 and evt.rawres < 0x10",
            matches: &[("evt.rawres", "15")],
            differs: &[("evt.rawres", "-13")],
        }
        "`contains`" "holds the text" Condition {
            condition: "proc.cmdline contains \"-jar app\"",
            matches: &[("proc.cmdline", "java -jar app.jar")],
            differs: &[("proc.cmdline", "java -jar lib.jar")],
        }
        "`contains` for flags" "flags are text" Condition {
            condition: "evt.arg.flags contains O_TRUNC",
            matches: &[("evt.arg.flags", "O_WRONLY|O_TRUNC")],
            differs: &[("evt.arg.flags", "O_WRONLY")],
        }
        "`icontains`" "holds the text, in capitals or not" Condition {
            condition: "proc.cmdline icontains password",
            matches: &[("proc.cmdline", "grep PassWord")],
            differs: &[("proc.cmdline", "grep pass")],
        }
        "`bcontains`" "data holds these bytes, in hexadecimal" Condition {
            condition: "evt.buffer bcontains CAFE",
            matches: &[("evt.buffer", "\\xca\\xfe\\x00")],
            differs: &[("evt.buffer", "CAFE")],
        }
        "`startswith`" "begins with the text" Condition {
            condition: "fd.name startswith /etc/",
            matches: &[("fd.name", "/etc/passwd")],
            differs: &[("fd.name", "/opt/etc/")],
        }
        "`bstartswith`" "data begins with these bytes, in hexadecimal" Condition {
            condition: "evt.buffer bstartswith 7f45",
            matches: &[("evt.buffer", "\\x7fELF")],
            differs: &[("evt.buffer", "ELF\\x7fE")],
        }
        "`endswith`" "ends with the text" Condition {
            condition: "fd.name endswith .pem",
            matches: &[("fd.name", "/a/key.pem")],
            differs: &[("fd.name", "/a/key.pem.old")],
        }
        "`glob`" "matches the shell pattern as a whole; `*` and `?` match `/` too" Condition {
            condition: "fd.name glob \"/home/*/.ssh/[a-z]*\"",
            matches: &[("fd.name", "/home/a/b/.ssh/id")],
            differs: &[("fd.name", "/home/a/.ssh/ID")],
        }
        "`iglob`" "the same, in capitals or not" Condition {
            condition: "fd.name iglob *.PEM",
            matches: &[("fd.name", "/a/key.pem")],
            differs: &[("fd.name", "/a/key.pems")],
        }
        "`regex`" "matches the regular expression as a whole" Condition {
            condition: "fd.name regex '[a-z]*/proc/[0-9]+/cmdline'",
            matches: &[("fd.name", "/proc/7/cmdline")],
            differs: &[("fd.name", "/proc/7/cmdline2")],
        }
        "`exists`" "has a value" Condition {
            condition: "k8s.pod.name exists",
            matches: &[("k8s.pod.name", "web")],
            differs: &[],
        }
        "`in`" "is one of these" Condition {
            condition: "fd.sport in (22, 80)",
            matches: &[("fd.sport", "80")],
            differs: &[("fd.sport", "443")],
        }
        "`in` for lists" "all its elements are among these" Condition {
            condition: "fd.types in (file, ipv4)",
            matches: &[("fd.types", "file,file")],
            differs: &[("fd.types", "file,unix")],
        }
        "`intersects`" "one of its elements is among these" Condition {
            condition: "fd.types intersects (file, ipv4)",
            matches: &[("fd.types", "file,unix")],
            differs: &[("fd.types", "unix,pipe")],
        }
        "`pmatch`" "lies at or below one of these paths; components may be patterns" Condition {
            condition: "fd.name pmatch (/etc, /var/*/log)",
            matches: &[("fd.name", "/var/lib/log/x")],
            differs: &[("fd.name", "/etcetera")],
        }
        "`oneof`" "the comparison holds for exactly one of these" Condition {
            condition: "proc.name startswith oneof (kube, kubelet)",
            matches: &[("proc.name", "kubectl")],
            differs: &[("proc.name", "kubelet")],
        }
        "`anyof`" "for at least one" Condition {
            condition: "proc.name startswith anyof (kube, etcd)",
            matches: &[("proc.name", "etcdctl")],
            differs: &[("proc.name", "ls")],
        }
        "`allof`" "for all" Condition {
            condition: "proc.cmdline contains allof (curl, bash)",
            matches: &[("proc.cmdline", "bash -c curl")],
            differs: &[("proc.cmdline", "bash -c wget")],
        }
        "`!= allof`" "is none of these" Condition {
            condition: "proc.name != allof (su, sudo)",
            matches: &[("proc.name", "ls")],
            differs: &[("proc.name", "su")],
        }
        "modifier over an empty list" "never holds" Condition {
            condition: "proc.name = a or not proc.name startswith allof ()",
            matches: &[("proc.name", "b")],
            differs: NEVER,
        }
    }
    "Values" {
        "bare" "anything without blanks, parentheses, quotes, commas and `=`" Condition {
            condition: "fd.name = /a/[b]/c-d.e",
            matches: &[("fd.name", "/a/[b]/c-d.e")],
            differs: &[("fd.name", "/a/b/c-d.e")],
        }
        "quoted" "double or single quotes; escapes `\\b \\f \\n \\r \\t \\\\ \\/` and the quote itself" Condition {
            condition: "proc.cmdline = \"say \\\"it\\\"\\t\\\\\"",
            matches: &[("proc.cmdline", "say \"it\"\t\\")],
            differs: &[("proc.cmdline", "say it")],
        }
        "`\\xHH`" "any byte" Condition {
            condition: "fd.name endswith \"\\xFF\"",
            matches: &[("fd.name", "/tmp/a\\xff")],
            differs: &[("fd.name", "/tmp/a\u{fffd}")],
        }
        "numbers" "of 64 bits, with a sign or in hexadecimal" Condition {
            condition: "evt.rawres = -13",
            matches: &[("evt.rawres", "-13")],
            differs: &[("evt.rawres", "13")],
        }
        "truth" "`true` or `false`" Condition {
            condition: "evt.is_open_write = true",
            matches: &[("evt.is_open_write", "true")],
            differs: &[("evt.is_open_write", "false")],
        }
        "addresses" "of either version" Condition {
            condition: "fd.sip in (169.254.169.254, \"fd00:ec2::254\")",
            matches: &[("fd.sip", "fd00:ec2::254")],
            differs: &[("fd.sip", "169.254.169.253")],
        }
        "networks" "address and prefix; the field's address lies in it" Condition {
            condition: "fd.snet in (10.0.0.0/8, \"192.168.0.0/16\")",
            matches: &[("fd.snet", "192.168.3.4")],
            differs: &[("fd.snet", "172.16.0.1")],
        }
        "`val()`" "the value of another field" Condition {
            condition: "proc.name = val(proc.pname)",
            matches: &[("proc.name", "sh"), ("proc.pname", "sh")],
            differs: &[("proc.name", "sh"), ("proc.pname", "bash")],
        }
    }
    "Fields" {
        "index" "one of several: an ancestor, an argument" Condition {
            condition: "proc.aname[2] = sshd",
            matches: &[("proc.aname[2]", "sshd")],
            differs: &[("proc.aname[1]", "sshd")],
        }
        "key" "in brackets, quoted or not, or after a dot" Condition {
            condition: "proc.env[HOME] = /root and evt.arg.path = / and k8s.pod.label['app/name'] = web",
            matches: &[("proc.env[HOME]", "/root"), ("evt.arg[path]", "/"), ("k8s.pod.label[app/name]", "web")],
            differs: &[("proc.env[HOME]", "/root"), ("evt.arg[path]", "/")],
        }
        "path as key" "a mount by its source, which may be a pattern" Condition {
            condition: "container.mount.dest[/host*] exists",
            matches: &[("container.mount.dest[/host*]", "/mnt")],
            differs: &[],
        }
        "ancestors" "without an index, one of them satisfies the comparison" Condition {
            condition: "proc.aname in (sshd, dockerd)",
            matches: &[("proc.aname", "sh"), ("proc.aname", "sshd")],
            differs: &[("proc.aname", "sh"), ("proc.name", "sshd")],
        }
        "either end" "`fd.ip`, `fd.port`, `fd.net` and `fd.proto` are equal if one end is" Condition {
            condition: "fd.port = 22",
            matches: &[("fd.port", "40000"), ("fd.port", "22")],
            differs: &[("fd.port", "40000"), ("fd.port", "80")],
        }
        "either end, `!=`" "both ends differ" Condition {
            condition: "fd.port != 22",
            matches: &[("fd.port", "40000"), ("fd.port", "80")],
            differs: &[("fd.port", "40000"), ("fd.port", "22")],
        }
        "`evt.rawarg`" "compared as the kind that it is" Condition {
            condition: "evt.rawarg.uid = 0",
            matches: &[("evt.rawarg[uid]", "0")],
            differs: &[("evt.rawarg[uid]", "1000")],
        }
    }
    "Types of events" {
        "`evt.type`" "the rule is asked for events of these types only" Condition {
            condition: "evt.type in (open, openat)",
            matches: &[("evt.type", "openat")],
            differs: &[("evt.type", "execve")],
        }
        "other names" "another name of a system call is the same type" Condition {
            condition: "evt.type = pread64",
            matches: &[("evt.type", "pread")],
            differs: &[("evt.type", "read")],
        }
        "`evt.type` by pattern" "every operator for texts" Condition {
            condition: "evt.type startswith exec",
            matches: &[("evt.type", "execveat")],
            differs: &[("evt.type", "clone")],
        }
        "`evt.type.is`" "1 for the type, else 0" Condition {
            condition: "evt.type.is.open = 1",
            matches: &[("evt.type", "open")],
            differs: &[("evt.type", "openat")],
        }
        "`syscall.type`" "only of events that are system calls" Condition {
            condition: "syscall.type exists",
            matches: &[("evt.type", "open")],
            differs: &[("evt.type", "container")],
        }
        "`evt.dir`" "`<` always holds and `>` never: calls are told when they return; with a warning" File {
            file: "- rule: r\n  desc: d\n  condition: evt.type = open and evt.dir = <\n  output: o\n  priority: INFO\n",
            matches: &[("evt.type", "open")],
            differs: &[("evt.type", "read")],
            says: &["warning: rules.yaml:3:34: `evt.dir` is deprecated: events are told when a call returns, \
                so `<` always holds"],
        }
    }
    "Transformers" {
        "`tolower`" "in small letters" Condition {
            condition: "tolower(proc.name) = bash",
            matches: &[("proc.name", "BaSh")],
            differs: &[("proc.name", "zsh")],
        }
        "`toupper`" "in capitals" Condition {
            condition: "toupper(proc.name) = BASH",
            matches: &[("proc.name", "bash")],
            differs: &[("proc.name", "zsh")],
        }
        "`b64`" "decoded from base 64; absent where it is none" Condition {
            condition: "b64(evt.buffer) contains evil",
            matches: &[("evt.buffer", "c29tZSBldmls")],
            differs: &[("evt.buffer", "some evil")],
        }
        "`basename`" "what follows the last `/`" Condition {
            condition: "basename(proc.exepath) = cat",
            matches: &[("proc.exepath", "/usr/bin/cat")],
            differs: &[("proc.exepath", "/usr/bin/cat/")],
        }
        "`len`" "bytes of a text, elements of a list" Condition {
            condition: "len(proc.name) > 3 and len(fd.types) = 2",
            matches: &[("proc.name", "bash"), ("fd.types", "file,pipe")],
            differs: &[("proc.name", "zsh"), ("fd.types", "file,pipe")],
        }
        "`join`" "elements of a list with a separator between" Condition {
            condition: "join(\":\", (proc.name, proc.pid)) = sh:7",
            matches: &[("proc.name", "sh"), ("proc.pid", "7")],
            differs: &[("proc.name", "sh")],
        }
        "`concat`" "one after the other" Condition {
            condition: "concat(proc.name, \"-\", proc.pname) = a-b",
            matches: &[("proc.name", "a"), ("proc.pname", "b")],
            differs: &[("proc.name", "b"), ("proc.pname", "a")],
        }
        "`getopt`" "options of a command line and their values, as getopt(3) finds them" Condition {
            condition: "getopt(proc.args, \"nt:\") intersects (n, t)",
            matches: &[("proc.args", "-t 5 host")],
            differs: &[("proc.args", "host -t 5")],
        }
        "`getopt[…]`" "the value of one option, or the option itself" Condition {
            condition: "getopt(proc.args, \"nt:\")[t] = 5",
            matches: &[("proc.args", "-nt5 host")],
            differs: &[("proc.args", "-t 6 host")],
        }
        "within each other" "from the inside out" Condition {
            condition: "tolower(basename(proc.exepath)) = cat",
            matches: &[("proc.exepath", "/bin/CAT")],
            differs: &[("proc.exepath", "/CAT/dog")],
        }
        "on the right" "compared with a transformed field" Condition {
            condition: "tolower(proc.name) = tolower(proc.pname)",
            matches: &[("proc.name", "A"), ("proc.pname", "a")],
            differs: &[("proc.name", "A"), ("proc.pname", "b")],
        }
    }
    "Files" {
        "list" "a name for values, in lists of values and in other lists" File {
            file: "- list: shells\n  items: [bash, sh]\n\
                - list: programs\n  items: [shells, cat, \"a b\"]\n\
                - rule: r\n  desc: d\n  condition: evt.type = execve and proc.name in (programs, dog)\n\
                \x20 output: o\n  priority: INFO\n",
            matches: &[("evt.type", "execve"), ("proc.name", "bash")],
            differs: &[("evt.type", "execve"), ("proc.name", "programs")],
            says: &[],
        }
        "macro" "a name for a condition; it sees macros before it" File {
            file: "- macro: spawned\n  condition: evt.type in (execve, execveat)\n\
                - macro: shell\n  condition: spawned and proc.name = sh\n\
                - rule: r\n  desc: d\n  condition: shell\n  output: o\n  priority: INFO\n",
            matches: &[("evt.type", "execve"), ("proc.name", "sh")],
            differs: &[("evt.type", "open"), ("proc.name", "sh")],
            says: &[],
        }
        "redefinition" "the last one counts, in the place of the first" File {
            file: "- macro: a\n  condition: proc.name = old\n\
                - rule: r\n  desc: d\n  condition: evt.type = open and a\n  output: o\n  priority: INFO\n\
                - macro: a\n  condition: proc.name = new\n",
            matches: &[("evt.type", "open"), ("proc.name", "new")],
            differs: &[("evt.type", "open"), ("proc.name", "old")],
            says: &[],
        }
        "exceptions, several fields" "comps are `=` unless they say otherwise; each row of values is an exception" File {
            file: "- rule: r\n  desc: d\n  condition: evt.type = open\n  output: o\n  priority: INFO\n\
                \x20 exceptions:\n    - name: known\n      fields: [proc.name, fd.name]\n\
                \x20     comps: [=, startswith]\n      values:\n        - [cat, /etc]\n        - [\"a b\", /opt]\n",
            matches: &[("evt.type", "open"), ("proc.name", "cat"), ("fd.name", "/opt/x")],
            differs: &[("evt.type", "open"), ("proc.name", "a b"), ("fd.name", "/opt/x")],
            says: &[],
        }
        "exceptions, one field" "comps is `in` unless it says otherwise" File {
            file: "- rule: r\n  desc: d\n  condition: evt.type = open\n  output: o\n  priority: INFO\n\
                \x20 exceptions:\n    - name: names\n      fields: proc.name\n      values: [cat, dog]\n\
                \x20   - name: prefixes\n      fields: fd.name\n      comps: startswith anyof\n\
                \x20     values: [/proc, /sys]\n",
            matches: &[("evt.type", "open"), ("proc.name", "ls"), ("fd.name", "/etc")],
            differs: &[("evt.type", "open"), ("proc.name", "ls"), ("fd.name", "/sys/x")],
            says: &[],
        }
        "exceptions, lists of values" "for in, intersects, pmatch and modifiers; names of lists too" File {
            file: "- list: known\n  items: [cat, dog]\n\
                - rule: r\n  desc: d\n  condition: evt.type = open\n  output: o\n  priority: INFO\n\
                \x20 exceptions:\n    - name: e\n      fields: [proc.name, fd.name]\n      comps: [in, pmatch]\n\
                \x20     values:\n        - [known, [/etc, /opt]]\n        - [\"(a, b)\", /var]\n",
            matches: &[("evt.type", "open"), ("proc.name", "cat"), ("fd.name", "/var/x")],
            differs: &[("evt.type", "open"), ("proc.name", "b"), ("fd.name", "/var/x")],
            says: &[],
        }
        "`override: append`" "conditions, outputs and descriptions with a blank between; tags, exceptions, items" File {
            file: "- list: names\n  items: [a]\n\
                - rule: r\n  desc: d\n  condition: evt.type = open and proc.name in (names)\n  output: o\n\
                \x20 priority: INFO\n\
                - rule: r\n  condition: and fd.num > 2\n  override: {condition: append}\n\
                - list: names\n  items: [b]\n  override: {items: append}\n",
            matches: &[("evt.type", "open"), ("proc.name", "b"), ("fd.num", "3")],
            differs: &[("evt.type", "open"), ("proc.name", "b"), ("fd.num", "1")],
            says: &[],
        }
        "`override: replace`" "any key of a rule but its name and source" File {
            file: "- rule: r\n  desc: d\n  condition: evt.type = open\n  output: o\n  priority: INFO\n\
                - rule: r\n  condition: evt.type = close\n  priority: ERROR\n\
                \x20 override:\n    condition: replace\n    priority: replace\n",
            matches: &[("evt.type", "close")],
            differs: &[("evt.type", "open")],
            says: &[],
        }
        "`append: true`" "the older way to append to a condition, exceptions, items" File {
            file: "- macro: a\n  condition: evt.type = open\n- macro: a\n  condition: or evt.type = close\n  append: true\n\
                - rule: r\n  desc: d\n  condition: a\n  output: o\n  priority: INFO\n",
            matches: &[("evt.type", "close")],
            differs: &[("evt.type", "read")],
            says: &["warning: rules.yaml:5:11: `append` is deprecated; use `override`"],
        }
        "`enabled`" "a rule may be off, and a later entry may switch it" File {
            file: "- rule: r\n  desc: d\n  condition: evt.type = open\n  output: o\n  priority: INFO\n  enabled: false\n\
                - rule: r\n  enabled: true\n  override: {enabled: replace}\n",
            matches: &[("evt.type", "open")],
            differs: &[("evt.type", "close")],
            says: &[],
        }
        "`enabled` alone" "the older way to switch" File {
            file: "- rule: r\n  desc: d\n  condition: evt.type = open\n  output: o\n  priority: INFO\n  enabled: false\n\
                - rule: r\n  enabled: true\n",
            matches: &[("evt.type", "open")],
            differs: &[("evt.type", "close")],
            says: &["warning: rules.yaml:7:3: `enabled` alone is deprecated; use `override: {enabled: replace}`"],
        }
        "`required_engine_version`" "a version, or its middle number; an older engine is an error" Error {
            file: "- required_engine_version: 57\n- required_engine_version: 0.57.0\n\
                - required_engine_version: 0.999.0\n",
            says: "error: rules.yaml:3:28: rules for version 0.999.0 of the engine are wanted; this is 0.63.0",
        }
        "`required_plugin_versions`" "`container` is built in; alternatives may be named" File {
            file: "- required_plugin_versions:\n    - name: container\n      version: 0.4.0\n\
                \x20   - name: other\n      version: 1.0.0\n\
                \x20     alternatives:\n        - name: container\n          version: 0.2.0\n\
                - rule: r\n  desc: d\n  condition: evt.type = open\n  output: o\n  priority: INFO\n",
            matches: &[("evt.type", "open")],
            differs: &[("evt.type", "close")],
            says: &[],
        }
        "`source`" "only `syscall` is here; rules of others are left out with a warning" File {
            file: "- rule: k\n  desc: d\n  condition: ka.verb = get\n  output: o\n  priority: INFO\n  source: k8s_audit\n\
                - rule: r\n  desc: d\n  condition: evt.type = open\n  output: o\n  priority: INFO\n",
            matches: &[("evt.type", "open")],
            differs: &[("evt.type", "close")],
            says: &["warning: rules.yaml:1:3: no source `k8s_audit` is here, only `syscall`: the rule is left out"],
        }
        "`skip-if-unknown-filter`" "a rule with an unknown field is left out with a warning" File {
            file: "- rule: k\n  desc: d\n  condition: evt.type = open and proc.soul = 1\n  output: o\n  priority: INFO\n\
                \x20 skip-if-unknown-filter: true\n\
                - rule: r\n  desc: d\n  condition: evt.type = open\n  output: o\n  priority: INFO\n",
            matches: &[("evt.type", "open")],
            differs: &[("evt.type", "close")],
            says: &["warning: rules.yaml:3:34: there is no field `proc.soul`; the rule is left out, as it asks"],
        }
        "`warn_evttypes`" "a rule for very many types of events is warned about, unless it says `false`" File {
            file: "- rule: r\n  desc: d\n  condition: proc.name = a\n  output: o\n  priority: INFO\n\
                - rule: quiet\n  desc: d\n  condition: proc.name = a\n  output: o\n  priority: INFO\n\
                \x20 warn_evttypes: false\n",
            matches: &[("proc.name", "a")],
            differs: &[("proc.name", "b")],
            says: &["warning: rules.yaml:3:14: every event is looked at: name its types (`evt.type in (…)`)"],
        }
        "`priority`" "emergency, alert, critical, error, warning, notice, informational or info, debug" Error {
            file: "- rule: r\n  desc: d\n  condition: evt.type = open\n  output: o\n  priority: high\n",
            says: "error: rules.yaml:5:13: `high` is no priority; use emergency, alert, critical, error, warning, \
                notice, informational, info, debug",
        }
        "unknown keys" "a warning" File {
            file: "- rule: r\n  desc: d\n  condition: evt.type = open\n  output: o\n  priority: INFO\n  prio: 3\n",
            matches: &[("evt.type", "open")],
            differs: &[("evt.type", "close")],
            says: &["warning: rules.yaml:6:3: the key `prio` is not known here"],
        }
        "several documents" "of one file, one after the other" File {
            file: "- list: a\n  items: [x]\n---\n- rule: r\n  desc: d\n  condition: evt.type = open and proc.name in (a)\n\
                \x20 output: o\n  priority: INFO\n",
            matches: &[("evt.type", "open"), ("proc.name", "x")],
            differs: &[("evt.type", "open"), ("proc.name", "a")],
            says: &[],
        }
    }
    "Errors" {
        "place" "every error has a line and a column; the rest is loaded" Error {
            file: "- rule: r\n  desc: d\n  condition: >\n    evt.type = open\n    and proc.nmae = a\n  output: o\n\
                \x20 priority: INFO\n",
            says: "error: rules.yaml:5:9: there is no field `proc.nmae`; did you mean `proc.name`?",
        }
        "appended conditions" "an error points into the part that has it" Error {
            file: "- rule: r\n  desc: d\n  condition: evt.type = open\n  output: o\n  priority: INFO\n\
                - rule: r\n  condition: and proc.name is a\n  override: {condition: append}\n",
            says: "error: rules.yaml:7:28: an operator is expected, one of = != < <= > >= contains icontains bcontains \
                startswith bstartswith endswith glob iglob regex exists in intersects pmatch",
        }
        "kinds" "an operator or a value that does not fit the field" Error {
            file: "- rule: r\n  desc: d\n  condition: evt.type = open and fd.num startswith 3\n  output: o\n\
                \x20 priority: INFO\n",
            says: "error: rules.yaml:3:41: `startswith` does not fit a number",
        }
        "types of events" "an unknown name" Error {
            file: "- rule: r\n  desc: d\n  condition: evt.type in (open, opne)\n  output: o\n  priority: INFO\n",
            says: "error: rules.yaml:3:33: there is no type of event `opne`",
        }
        "macros in a circle" "are an error" Error {
            file: "- macro: a\n  condition: evt.type = open\n- macro: b\n  condition: a\n- macro: a\n  condition: b\n\
                - rule: r\n  desc: d\n  condition: a\n  output: o\n  priority: INFO\n",
            says: "error: rules.yaml:4:14: the macro `a` leads back to itself",
        }
        "lists in a circle" "are an error" Error {
            file: "- list: a\n  items: [b]\n- list: b\n  items: [a]\n",
            says: "error: rules.yaml:1:3: the list `a` leads back to itself",
        }
        "YAML" "what comes before and after a fault is loaded" File {
            file: "- rule: r\n  desc: d\n  condition: evt.type = open\n  output: o\n  priority: INFO\n\
                - list: [s\n- rule: s\n  desc: d\n  condition: evt.type = close\n  output: o\n  priority: INFO\n",
            matches: &[("evt.type", "close")],
            differs: &[("evt.type", "read")],
            says: &["error: rules.yaml:7:7: illegal placement of ':' indicator"],
        }
    }
    "Output" {
        "`%field`" "its value; `<NA>` where it has none" Output {
            output: "read %fd.name by %proc.name",
            event: &[("fd.name", "/etc/shadow")],
            text: "read /etc/shadow by <NA>",
        }
        "`%field[…]`" "with an argument" Output {
            output: "%proc.aname[2]: %evt.arg.flags.",
            event: &[("proc.aname[2]", "sshd"), ("evt.arg[flags]", "O_RDONLY")],
            text: "sshd: O_RDONLY.",
        }
        "`%transformer(…)`" "transformed" Output {
            output: "%toupper(proc.name) %join(\"-\", (proc.name, proc.pid))",
            event: &[("proc.name", "sh"), ("proc.pid", "7")],
            text: "SH sh-7",
        }
        "`%%`" "a per cent sign" Output { output: "100%% %proc.name", event: &[("proc.name", "a")], text: "100% a" }
        "`%12field`" "in a column of that width" Output {
            output: "|%6proc.name|%2proc.pname|",
            event: &[("proc.name", "sh"), ("proc.pname", "bash")],
            text: "|sh    |ba|",
        }
        "`*` first" "is taken off: rules tell whatever is absent" Output {
            output: "*%proc.name did it",
            event: &[],
            text: "<NA> did it",
        }
        "`%container.info`" "stands for nothing, as in Falco since 0.41" Output {
            output: "%proc.name %container.info.",
            event: &[("proc.name", "a")],
            text: "a .",
        }
        "lists" "elements with commas between, in parentheses" Output {
            output: "%fd.types",
            event: &[("fd.types", "file,pipe")],
            text: "(file,pipe)",
        }
    }
}

/// For an example that no event fails: a field that is not there cannot be given.
pub const NEVER: Fields = &[("evt.num", "never")];
