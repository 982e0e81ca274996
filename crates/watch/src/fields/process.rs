//! `proc.*`, `thread.*`, `user.*`, `group.*`: who did it.

use std::borrow::Cow;

use rules::{Field, FieldId, Value};

use crate::state::{NOT_KNOWN, Thread, User};

use super::{View, flag, made, names, render};

/// What is asked of an ancestor.
#[derive(Clone, Copy)]
enum Of {
    Name,
    Executable,
    Path,
    CommandLine,
    Pid,
    Environment,
}

impl Of {
    fn ask<'b>(self, thread: &'b Thread) -> Option<Value<'b>> {
        match self {
            Of::Name => text(&thread.name),
            Of::Executable => text(&thread.image.executable),
            Of::Path => thread.image.path.as_deref().map(Value::bytes),
            Of::CommandLine => command_line(thread),
            Of::Pid => Some(Value::Signed(thread.process)),
            Of::Environment => environment(thread, None),
        }
    }
}

impl View<'_> {
    pub(super) fn process_field<'b>(&'b self, field: &Field) -> Option<Value<'b>> {
        use FieldId as F;
        let thread = self.thread()?;
        let number = |number: i64| (number != NOT_KNOWN).then_some(Value::Signed(number));
        let file = &thread.image.file;
        match field.id {
            F::ThreadTid => return Some(Value::Signed(thread.thread)),
            F::ProcPid => return Some(Value::Signed(thread.process)),
            // Of the others nothing was told.
            _ if thread.placeholder => return None,
            _ => {}
        }
        let leader = self.state.leader(thread);
        let parent = || self.state.parent(leader);
        match field.id {
            F::ProcName => text(&thread.name),
            F::ProcExe => text(&thread.image.executable),
            F::ProcExepath => thread.image.path.as_deref().map(Value::bytes),
            F::ProcPname => parent().and_then(|parent| Of::Name.ask(parent)),
            F::ProcPexe => parent().and_then(|parent| Of::Executable.ask(parent)),
            F::ProcPexepath => parent().and_then(|parent| Of::Path.ask(parent)),
            F::ProcPcmdline => parent().and_then(command_line),
            F::ProcAname => self.ancestor(field, Of::Name),
            F::ProcAexe => self.ancestor(field, Of::Executable),
            F::ProcAexepath => self.ancestor(field, Of::Path),
            F::ProcAcmdline => self.ancestor(field, Of::CommandLine),
            F::ProcApid => self.ancestor(field, Of::Pid),
            F::ProcAenv => match field.key() {
                Some(key) => {
                    self.state.ancestors(leader).skip(1).find_map(|found| environment(found, Some(key)))
                }
                None => self.ancestor(field, Of::Environment),
            },
            F::ProcArgs => match field.index() {
                Some(index) => parts(&thread.image.arguments).nth(index as usize).map(Value::bytes),
                None => made(arguments(thread)),
            },
            F::ProcCmdline => command_line(thread),
            F::ProcExeline => made(joined(&thread.image.executable, &arguments(thread))),
            F::ProcCmdnargs => Some(Value::Unsigned(parts(&thread.image.arguments).count() as u64)),
            F::ProcCmdlenargs => {
                Some(Value::Unsigned(parts(&thread.image.arguments).map(|part| part.len() as u64).sum()))
            }
            F::ProcEnv => environment(leader, field.key()),
            F::ProcCwd => {
                let directory = &leader.directory;
                match directory.ends_with(b"/") {
                    true => Some(Value::bytes(directory)),
                    false => made([directory, &b"/"[..]].concat()),
                }
            }
            F::ProcLoginshellid => self.login_shell(leader).map(Value::Signed),
            F::ProcTty => Some(Value::Unsigned(thread.terminal.into())),
            F::ProcPpid => number(leader.parent),
            F::ProcVpid => number(thread.process_inside),
            F::ProcPvpid => parent().and_then(|parent| number(parent.process_inside)),
            F::ProcSid => number(thread.session),
            F::ProcSname => self.session_leader(leader).and_then(|found| Of::Name.ask(found)),
            F::ProcSidExe => self.session_leader(leader).and_then(|found| Of::Executable.ask(found)),
            F::ProcSidExepath => self.session_leader(leader).and_then(|found| Of::Path.ask(found)),
            F::ProcVpgid => number(thread.group_inside),
            F::ProcVpgidName => self.group_leader_inside(leader).and_then(|found| Of::Name.ask(found)),
            F::ProcVpgidExe => self.group_leader_inside(leader).and_then(|found| Of::Executable.ask(found)),
            F::ProcVpgidExepath => self.group_leader_inside(leader).and_then(|found| Of::Path.ask(found)),
            F::ProcPgid => number(thread.group),
            F::ProcPgidName => self.state.thread(thread.group).and_then(|found| Of::Name.ask(found)),
            F::ProcPgidExe => self.state.thread(thread.group).and_then(|found| Of::Executable.ask(found)),
            F::ProcPgidExepath => self.state.thread(thread.group).and_then(|found| Of::Path.ask(found)),
            F::ProcIsSidLeader => leads(thread.session, thread.process_inside),
            F::ProcIsVpgidLeader => leads(thread.group_inside, thread.process_inside),
            F::ProcIsPgidLeader => leads(thread.group, thread.process),
            F::ProcDuration => self.lasted(leader),
            F::ProcPpidDuration => parent().and_then(|parent| self.lasted(parent)),
            F::ProcPidTs => started(leader),
            F::ProcPpidTs => parent().and_then(started),
            F::ProcIsExeWritable => file.writable.and_then(flag),
            F::ProcIsExeUpperLayer => file.upper_layer.and_then(flag),
            F::ProcIsExeLowerLayer => file.lower_layer.and_then(flag),
            F::ProcIsExeFromMemfd => file.memfd.and_then(flag),
            F::ProcExeIno => file.inode.map(|inode| Value::Signed(inode as i64)),
            F::ProcExeInoCtime => file.changed.map(Value::Unsigned),
            F::ProcExeInoMtime => file.modified.map(Value::Unsigned),
            F::ProcExeInoCtimeDurationProcStart => {
                let changed = file.changed.filter(|changed| *changed != 0 && leader.start != 0)?;
                Some(Value::Unsigned(leader.start.saturating_sub(changed)))
            }
            F::ProcExeInoCtimeDurationPidnsStart => {
                let changed = file.changed.filter(|changed| *changed != 0 && leader.namespace_start != 0)?;
                Some(Value::Unsigned(changed.saturating_sub(leader.namespace_start)))
            }
            F::ProcPidnsInitStartTs => {
                (thread.namespace_start != 0).then_some(Value::Unsigned(thread.namespace_start))
            }
            F::ProcStdinType | F::ProcStdoutType | F::ProcStderrType => {
                let found = self.state.descriptors(leader)?.get(standard(field.id))?;
                render::type_name(found.kind).map(Value::text)
            }
            F::ProcStdinName | F::ProcStdoutName | F::ProcStderrName => {
                let found = self.state.descriptors(leader)?.get(standard(field.id))?;
                Some(Value::bytes(&found.name))
            }
            F::ProcFdopencount => Some(Value::Unsigned(self.state.descriptors(leader)?.len() as u64)),
            F::ProcFdlimit => number(thread.descriptor_limit),
            F::ProcFdusage => {
                let open = self.state.descriptors(leader)?.len();
                let limit = Some(leader.descriptor_limit).filter(|limit| *limit > 0)?;
                Some(Value::Float(open as f64 * 100.0 / limit as f64))
            }
            F::ProcVmsize => Some(Value::Unsigned(leader.memory[0].into())),
            F::ProcVmrss => Some(Value::Unsigned(leader.memory[1].into())),
            F::ProcVmswap => Some(Value::Unsigned(leader.memory[2].into())),
            F::ProcNthreads => Some(Value::Unsigned(self.threads_of(leader.process))),
            F::ProcNchilds => Some(Value::Unsigned(self.threads_of(leader.process).saturating_sub(1))),
            F::ThreadCapPermitted => made(names::capabilities(thread.capabilities?.permitted)),
            F::ThreadCapInheritable => made(names::capabilities(thread.capabilities?.inheritable)),
            F::ThreadCapEffective => made(names::capabilities(thread.capabilities?.effective)),
            F::ThreadPfmajor => Some(Value::Unsigned(thread.faults[0])),
            F::ThreadPfminor => Some(Value::Unsigned(thread.faults[1])),
            F::ThreadIsmain => flag(thread.is_leader()),
            F::ThreadVtid => number(thread.thread_inside),
            F::ThreadCgroups => made(parts(&thread.cgroups).collect::<Vec<_>>().join(&b' ')),
            F::ThreadCgroup => {
                parts(&thread.cgroups).find_map(|part| value_of(part, field.key()?)).map(Value::bytes)
            }
            F::ThreadVmsize if thread.is_leader() => Some(Value::Unsigned(thread.memory[0].into())),
            F::ThreadVmrss if thread.is_leader() => Some(Value::Unsigned(thread.memory[1].into())),
            _ => None,
        }
    }

    pub(super) fn account_field(&self, id: FieldId) -> Option<Value<'_>> {
        use FieldId as F;
        let thread = self.thread()?;
        let known = |id: u32| (id != u32::MAX).then_some(id);
        match id {
            F::UserUid => known(thread.uid).map(|uid| Value::Unsigned(uid.into())),
            F::UserName => self.user_name(thread, known(thread.uid)?),
            F::UserHomedir => self.user(thread, known(thread.uid)?).map(|user| Value::bytes(&user.home)),
            F::UserShell => self.user(thread, known(thread.uid)?).map(|user| Value::bytes(&user.shell)),
            F::UserLoginuid if !thread.placeholder => {
                Some(Value::Signed(known(thread.login_uid).map_or(-1, i64::from)))
            }
            F::UserLoginname => self.user_name(thread, known(thread.login_uid)?),
            F::GroupGid => known(thread.gid).map(|gid| Value::Unsigned(gid.into())),
            F::GroupName => match self.state.group(thread.container.as_ref(), known(thread.gid)?) {
                Some(name) => Some(Value::bytes(name)),
                None => (thread.gid == 0).then(|| Value::text("root")),
            },
            _ => None,
        }
    }

    fn user(&self, thread: &Thread, uid: u32) -> Option<&User> {
        self.state.user(thread.container.as_ref(), uid)
    }

    /// 0 is root everywhere; other numbers are named by the accounts of the place.
    fn user_name(&self, thread: &Thread, uid: u32) -> Option<Value<'_>> {
        match self.user(thread, uid) {
            Some(user) => Some(Value::bytes(&user.name)),
            None => (uid == 0).then(|| Value::text("root")),
        }
    }

    /// `proc.aname[2]`: of the ancestor so many generations up. Without index, of all together.
    fn ancestor<'b>(&'b self, field: &Field, of: Of) -> Option<Value<'b>> {
        let leader = self.state.leader(self.thread()?);
        match field.index() {
            Some(index) => self.state.ancestors(leader).nth(index as usize).and_then(|found| of.ask(found)),
            None => {
                let mut all = Vec::new();
                for value in self.state.ancestors(leader).skip(1).filter_map(|found| of.ask(found)) {
                    let Value::Text(text) = value else { return None };
                    if !all.is_empty() {
                        all.extend_from_slice(b"->");
                    }
                    all.extend_from_slice(&text);
                }
                made(all)
            }
        }
    }

    pub(super) fn any_ancestor(&self, id: FieldId, found: &mut dyn FnMut(&Value<'_>) -> bool) -> bool {
        let of = match id {
            FieldId::ProcAname => Of::Name,
            FieldId::ProcAexe => Of::Executable,
            FieldId::ProcAexepath => Of::Path,
            FieldId::ProcAcmdline => Of::CommandLine,
            FieldId::ProcApid => Of::Pid,
            FieldId::ProcAenv => Of::Environment,
            _ => return false,
        };
        let Some(thread) = self.thread().filter(|thread| !thread.placeholder) else { return false };
        let leader = self.state.leader(thread);
        self.state
            .ancestors(leader)
            .skip(1)
            .filter_map(|ancestor| of.ask(ancestor))
            .any(|value| found(&value))
    }

    /// By convention the process whose number is that of the session; where the number is that of another pid
    /// namespace, the oldest ancestor of the same session.
    fn session_leader<'b>(&'b self, leader: &'b Thread) -> Option<&'b Thread> {
        if leader.session <= 0 {
            return None;
        }
        let namespaced = leader.thread_inside != NOT_KNOWN && leader.thread_inside != leader.thread;
        if !namespaced {
            return self.state.thread(leader.session);
        }
        self.state.ancestors(leader).take_while(|found| found.session == leader.session).last()
    }

    fn group_leader_inside<'b>(&'b self, leader: &'b Thread) -> Option<&'b Thread> {
        if leader.group_inside <= 0 {
            return None;
        }
        let namespaced = leader.thread_inside != NOT_KNOWN && leader.thread_inside != leader.thread;
        if !namespaced {
            return self.state.thread(leader.group_inside);
        }
        self.state.ancestors(leader).take_while(|found| found.group_inside == leader.group_inside).last()
    }

    /// The oldest shell among its ancestors (libs, `TYPE_LOGINSHELLID`: a name that ends in `sh`).
    fn login_shell(&self, leader: &Thread) -> Option<i64> {
        let shells = self.state.ancestors(leader).filter(|found| found.name.ends_with(b"sh"));
        shells.last().map(|found| found.process)
    }

    fn lasted(&self, thread: &Thread) -> Option<Value<'static>> {
        (thread.start != 0).then(|| Value::Unsigned(self.event.time.saturating_sub(thread.start)))
    }

    fn threads_of(&self, process: i64) -> u64 {
        self.state.threads().filter(|thread| thread.process == process).count() as u64
    }
}

fn started(thread: &Thread) -> Option<Value<'static>> {
    (thread.start != 0).then_some(Value::Unsigned(thread.start))
}

fn standard(id: FieldId) -> i64 {
    match id {
        FieldId::ProcStdinType | FieldId::ProcStdinName => 0,
        FieldId::ProcStdoutType | FieldId::ProcStdoutName => 1,
        _ => 2,
    }
}

fn leads(of: i64, number: i64) -> Option<Value<'static>> {
    (of != NOT_KNOWN && number != NOT_KNOWN).then_some(Value::Bool(of == number))
}

fn text(text: &[u8]) -> Option<Value<'_>> {
    Some(Value::bytes(text))
}

/// The strings of a list, each of which ends with a zero byte.
pub(super) fn parts(list: &[u8]) -> impl Iterator<Item = &[u8]> {
    let list = list.strip_suffix(b"\0").unwrap_or(list);
    let none = list.is_empty();
    list.split(|byte| *byte == 0).filter(move |_| !none)
}

fn arguments(thread: &Thread) -> Vec<u8> {
    let list = &thread.image.arguments;
    let list = list.strip_suffix(b"\0").unwrap_or(list);
    list.iter().map(|byte| if *byte == 0 { b' ' } else { *byte }).collect()
}

fn joined(first: &[u8], arguments: &[u8]) -> Vec<u8> {
    if arguments.is_empty() { first.to_vec() } else { [first, arguments].join(&b' ') }
}

fn command_line(thread: &Thread) -> Option<Value<'_>> {
    Some(Value::Text(Cow::Owned(joined(&thread.name, &arguments(thread)))))
}

fn environment<'b>(thread: &'b Thread, key: Option<&str>) -> Option<Value<'b>> {
    let list = &thread.image.environment;
    match key {
        Some(key) => parts(list).find_map(|part| value_of(part, key)).map(Value::bytes),
        None => made(parts(list).collect::<Vec<_>>().join(&b' ')),
    }
}

/// The value in `key=value`.
fn value_of<'b>(part: &'b [u8], key: &str) -> Option<&'b [u8]> {
    part.strip_prefix(key.as_bytes())?.strip_prefix(b"=")
}
