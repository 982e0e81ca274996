//! `evt.*`: what happened, when, with which arguments.

use capture::list::descriptor_kind as kind;
use capture::table::Kind;
use rules::{Field, FieldId, Value};

use super::{View, flag, made, render};

const SECOND: u64 = 1_000_000_000;

/// Of the table `file_flags`.
mod open_flag {
    pub(super) const READ: i64 = 1;
    pub(super) const WRITE: i64 = 2;
    pub(super) const CREATE: i64 = 4;
    pub(super) const TEMPORARY: i64 = 8192;
    pub(super) const CREATED: i64 = 16384;
}

impl View<'_> {
    pub(super) fn event_field<'b>(&'b self, field: &Field) -> Option<Value<'b>> {
        use FieldId as F;
        let event = &self.event;
        let time = event.time;
        match field.id {
            F::EvtNum => Some(Value::Unsigned(self.ordinal)),
            F::EvtTime | F::EvtTimeS | F::EvtTimeIso8601 | F::EvtDatetime | F::EvtDatetimeS => {
                made(written_time(field.id, time)?)
            }
            F::EvtRawtime => Some(Value::Unsigned(time)),
            F::EvtRawtimeS => Some(Value::Unsigned(time / SECOND)),
            F::EvtRawtimeNs => Some(Value::Unsigned(time % SECOND)),
            F::EvtReltime => Some(Value::Unsigned(self.since_first())),
            F::EvtReltimeS => Some(Value::Unsigned(self.since_first() / SECOND)),
            F::EvtReltimeNs => Some(Value::Unsigned(self.since_first() % SECOND)),
            F::EvtSource => Some(Value::text("syscall")),
            F::EvtIsAsync => flag(event.kind.name == "asyncevent"),
            F::EvtAsynctype if event.kind.name == "asyncevent" => self.text("name").map(Value::bytes),
            F::EvtHostname => {
                let name = &*self.state.machine.host_name;
                (!name.is_empty()).then(|| Value::bytes(name))
            }
            F::EvtLatency => self.latency().map(Value::Unsigned),
            F::EvtLatencyS => self.latency().map(|latency| Value::Unsigned(latency / SECOND)),
            F::EvtLatencyNs => self.latency().map(|latency| Value::Unsigned(latency % SECOND)),
            F::EvtLatencyHuman => made(for_people(self.latency()?)),
            F::EvtDeltatime => Some(Value::Unsigned(self.since_previous())),
            F::EvtDeltatimeS => Some(Value::Unsigned(self.since_previous() / SECOND)),
            F::EvtDeltatimeNs => Some(Value::Unsigned(self.since_previous() % SECOND)),
            F::EvtDir => Some(Value::text(if event.kind.enter { ">" } else { "<" })),
            F::EvtType => Some(Value::text(event.name())),
            F::EvtTypeIs => Some(Value::Unsigned((field.key()? == event.kind.name).into())),
            F::SyscallType => (event.kind.source == "call").then(|| Value::text(event.name())),
            F::EvtCategory => Some(Value::text(self.category())),
            F::EvtCpu => Some(Value::Signed(event.cpu.into())),
            F::EvtArgs | F::EvtInfo => made(self.arguments()),
            F::EvtArg => made(self.argument(field)?),
            F::EvtRawarg => self.raw_argument(field.key()?),
            F::EvtBuffer => {
                self.parameter("data").and_then(|(event, place)| event.raw(place)).map(Value::bytes)
            }
            F::EvtBuflen => {
                let io = event.kind.category.starts_with("io-") && self.descriptor().is_some();
                event
                    .result()
                    .filter(|result| io && *result >= 0)
                    .map(|result| Value::Unsigned(result as u64))
            }
            F::EvtRes => {
                let result = event.result()?;
                if result >= 0 { Some(Value::text("SUCCESS")) } else { made(render::errno(result)) }
            }
            F::EvtRawres => event.result().map(Value::Signed),
            F::EvtFailed => event.result().and_then(|result| flag(result < 0)),
            F::EvtIsIo => flag(event.kind.marks.reads || event.kind.marks.writes),
            F::EvtIsIoRead => flag(event.kind.marks.reads),
            F::EvtIsIoWrite => flag(event.kind.marks.writes),
            F::EvtIoDir if event.kind.marks.writes => Some(Value::text("write")),
            F::EvtIoDir if event.kind.marks.reads => Some(Value::text("read")),
            F::EvtIsWait => flag(event.kind.marks.waits),
            F::EvtWaitLatency if event.kind.marks.waits => self.latency().map(Value::Unsigned),
            F::EvtIsSyslog => flag(self.writes_to_log()),
            F::EvtCount => Some(Value::Unsigned(1)),
            F::EvtCountError
            | F::EvtCountErrorFile
            | F::EvtCountErrorNet
            | F::EvtCountErrorMemory
            | F::EvtCountErrorOther => self.error_count(field.id),
            F::EvtCountExit => (!event.kind.enter).then_some(Value::Unsigned(1)),
            F::EvtAbspath => made(self.absolute_path(field.key())?),
            F::EvtIsOpenRead | F::EvtIsOpenWrite | F::EvtIsOpenExec | F::EvtIsOpenCreate => {
                flag(self.opened_for(field.id))
            }
            _ => None,
        }
    }

    fn since_first(&self) -> u64 {
        self.event.time.saturating_sub(self.clock.first)
    }

    fn since_previous(&self) -> u64 {
        self.event.time.saturating_sub(self.clock.previous)
    }

    fn latency(&self) -> Option<u64> {
        self.before().map(|before| self.event.time.saturating_sub(before.time))
    }

    /// What input and output are about follows from the descriptor.
    fn category(&self) -> &'static str {
        let category = self.event.kind.category;
        if self.event.code <= 1 {
            return self.applied.plan.event_type.category().name().unwrap_or("file");
        }
        if !category.starts_with("io-") {
            return if category == "ipc" { "IPC" } else { category };
        }
        match self.descriptor().map(|found| found.kind) {
            Some(kind::FILE | kind::OPEN_FILE | kind::DIRECTORY) => "file",
            Some(kind::IPV4..=kind::IPV6_LISTENING) => "net",
            Some(kind::PIPE | kind::UNIX | kind::EVENT | kind::SIGNAL | kind::INOTIFY) => "ipc",
            _ => "unknown",
        }
    }

    /// `fd=3(<f>/etc/passwd) size=4096`; nothing for generic events, whose arguments are the sensor's own.
    fn arguments(&self) -> Vec<u8> {
        let mut text = Vec::new();
        if self.event.code <= 1 {
            return text;
        }
        for (place, parameter) in self.event.kind.parameters.iter().enumerate() {
            let Some(rendered) = render::parameter(self.context(), &self.event, place) else { break };
            if !text.is_empty() {
                text.push(b' ');
            }
            text.extend_from_slice(parameter.name.as_bytes());
            text.push(b'=');
            text.extend(rendered.plain);
            if !rendered.resolved.is_empty() {
                text.push(b'(');
                text.extend(rendered.resolved);
                text.push(b')');
            }
        }
        text
    }

    fn argument(&self, field: &Field) -> Option<Vec<u8>> {
        let rendered = match (field.index(), field.key()) {
            (Some(index), _) => render::parameter(self.context(), &self.event, index as usize)?,
            (_, Some(name)) => {
                let (event, place) = self.parameter(name).or_else(|| self.parameter(other_name(name)?))?;
                render::parameter(self.context(), &event, place)?
            }
            _ => return None,
        };
        Some(rendered.meaning())
    }

    /// The argument as the value it is.
    fn raw_argument<'b>(&'b self, name: &str) -> Option<Value<'b>> {
        let (event, place) = self.parameter(name)?;
        let bytes = event.raw(place).filter(|bytes| !bytes.is_empty())?;
        match event.kind.parameters.get(place)?.kind {
            Kind::Text | Kind::Path | Kind::RelativePath => event.text(place).map(Value::bytes),
            Kind::Bytes | Kind::Texts | Kind::Pairs | Kind::Descriptors | Kind::Dynamic => {
                Some(Value::bytes(bytes))
            }
            Kind::Address | Kind::Tuple => made(render::parameter(self.context(), &event, place)?.plain),
            Kind::Bool => event.number(place).map(|value| Value::Bool(value != 0)),
            Kind::Signed | Kind::Errno | Kind::Descriptor | Kind::Pid => {
                event.number(place).map(Value::Signed)
            }
            _ => event.number(place).map(|value| Value::Unsigned(value as u64)),
        }
    }

    fn opened_for(&self, field: FieldId) -> bool {
        if self.event.kind.enter {
            return false;
        }
        let executable = || self.number("mode").is_some_and(|mode| mode & 0o111 != 0);
        match self.event.kind.name {
            "creat" => field == FieldId::EvtIsOpenExec && executable(),
            name @ ("open" | "openat" | "openat2" | "open_by_handle_at") => {
                let flags = self.number("flags").unwrap_or_default();
                let succeeded = self.event.result().is_some_and(|result| result >= 0);
                match field {
                    FieldId::EvtIsOpenRead => flags & open_flag::READ != 0,
                    FieldId::EvtIsOpenWrite => flags & open_flag::WRITE != 0,
                    FieldId::EvtIsOpenCreate => {
                        flags & open_flag::CREATED != 0 || (flags & open_flag::TEMPORARY != 0 && succeeded)
                    }
                    _ => {
                        let makes = flags & (open_flag::CREATE | open_flag::TEMPORARY) != 0;
                        makes && name != "open_by_handle_at" && executable()
                    }
                }
            }
            _ => false,
        }
    }

    fn error_count<'b>(&'b self, field: FieldId) -> Option<Value<'b>> {
        let failed = self.event.result().map(|result| Value::Unsigned((result < 0).into()));
        let memory = self.event.kind.category == "memory";
        let about = match self.descriptor().map(|found| found.kind) {
            Some(kind::FILE | kind::OPEN_FILE | kind::DIRECTORY) => FieldId::EvtCountErrorFile,
            Some(kind::IPV4..=kind::IPV6_LISTENING | kind::UNIX) => FieldId::EvtCountErrorNet,
            Some(_) => FieldId::EvtCountErrorOther,
            None => match self.event.kind.name {
                "open" | "openat" | "openat2" | "creat" | "open_by_handle_at" => FieldId::EvtCountErrorFile,
                "accept" | "accept4" | "connect" => FieldId::EvtCountErrorNet,
                _ if memory => FieldId::EvtCountErrorMemory,
                _ => FieldId::EvtCountErrorOther,
            },
        };
        let counts = match field {
            FieldId::EvtCountError => true,
            FieldId::EvtCountErrorMemory => memory,
            field => field == about,
        };
        failed.filter(|_| counts)
    }

    /// The path that a call names relative to a directory's descriptor, absolute; `src` and `dst` where it has two.
    pub(super) fn absolute_path(&self, which: Option<&str>) -> Option<Vec<u8>> {
        let second = which == Some("dst");
        let names: &[(&str, &str)] = match (self.event.kind.name, second) {
            ("renameat" | "renameat2", false) => &[("olddirfd", "oldpath"), ("olddir", "oldpath")],
            ("renameat" | "renameat2", true) => &[("newdirfd", "newpath"), ("newdir", "newpath")],
            ("linkat", false) => &[("olddir", "oldpath")],
            ("linkat", true) => &[("newdir", "newpath")],
            ("symlinkat", _) => &[("linkdirfd", "linkpath")],
            ("openat" | "openat2" | "unlinkat" | "mknodat", _) => &[("dirfd", "name"), ("dirfd", "path")],
            ("mkdirat", _) => &[("dirfd", "path")],
            ("fchmodat", _) => &[("dirfd", "filename")],
            ("fchownat", _) => &[("dirfd", "pathname")],
            ("open_by_handle_at", _) => &[("mountfd", "path")],
            _ => return None,
        };
        names.iter().find_map(|(directory, path)| {
            let directory = self.number(directory)?;
            let path = self.text(path).filter(|path| !path.is_empty())?;
            Some(self.state.resolve(self.applied.thread?, Some(directory), path))
        })
    }

    fn writes_to_log(&self) -> bool {
        self.event.kind.marks.writes
            && self.descriptor().is_some_and(|found| found.name.ends_with(b"/dev/log"))
    }

    /// What is written to the system log, where the event does that.
    pub(super) fn logged(&self) -> Option<&[u8]> {
        let data = self.writes_to_log().then(|| self.parameter("data"))?;
        data.and_then(|(event, place)| event.raw(place))
    }
}

/// Names that an argument has had in other versions of its event.
fn other_name(name: &str) -> Option<&'static str> {
    Some(match name {
        "path" => "name",
        "name" => "path",
        "olddirfd" => "olddir",
        "newdirfd" => "newdir",
        "olddir" => "olddirfd",
        "newdir" => "newdirfd",
        _ => return None,
    })
}

fn written_time(field: FieldId, time: u64) -> Option<String> {
    let (seconds, nanoseconds) = (time / SECOND, time % SECOND);
    let moment = jiff::Timestamp::new(i64::try_from(seconds).ok()?, i32::try_from(nanoseconds).ok()?).ok()?;
    let local = moment.to_zoned(jiff::tz::TimeZone::system());
    Some(match field {
        FieldId::EvtTime => format!("{}.{nanoseconds:09}", local.strftime("%H:%M:%S")),
        FieldId::EvtTimeS => local.strftime("%H:%M:%S").to_string(),
        FieldId::EvtDatetime => format!("{}.{nanoseconds:09}", local.strftime("%Y-%m-%d %H:%M:%S")),
        FieldId::EvtDatetimeS => local.strftime("%Y-%m-%d %H:%M:%S").to_string(),
        _ => {
            let utc = moment.to_zoned(jiff::tz::TimeZone::UTC);
            format!("{}.{nanoseconds:09}+0000", utc.strftime("%Y-%m-%dT%H:%M:%S"))
        }
    })
}

/// `10.3ms`
fn for_people(nanoseconds: u64) -> String {
    let scaled = |divisor: f64, unit| format!("{:.2}{unit}", nanoseconds as f64 / divisor);
    match nanoseconds {
        0..1_000 => format!("{nanoseconds}ns"),
        1_000..1_000_000 => scaled(1e3, "us"),
        1_000_000..SECOND => scaled(1e6, "ms"),
        _ => scaled(1e9, "s"),
    }
}
