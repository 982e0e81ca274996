//! A condition as a formula over fields of a pod. Which fields decide it stands here; what they decide is asked: each
//! combination of their values is given to the engine, and the condition is checked on the confinement that comes out.

use std::sync::Arc;

use confinement::{
    Capability, Confinement, EngineKind, Fact, NamespaceKind, Origin, Request, ServiceAccount, Truth, confine,
};
use sources::Context;
use techniques::condition::{Condition, Filter, KERNEL_INTERFACES, Limit, MASKABLE};

use super::cube::Formula;
use super::field::{Field, camel};
use super::mount::{Probe, Shown};
use super::verdict::Polarity;

/// What a condition comes to.
pub(super) enum Compiled {
    Formula(Formula),
    /// Wider than the condition: what it says is true wherever that is, and elsewhere too.
    Wider(Formula, &'static str),
    /// Nothing that a pod says decides it, and why.
    NotSaid(&'static str),
}

const RBAC: &str = "what a service account may do stands in other objects";
const OTHERS: &str = "it hangs on which other containers there are";
const HOST_PROCESSES: &str = "it hangs on the processes of the host";

/// Compiles conditions for one engine and host.
pub(super) struct Conditions<'c> {
    context: &'c Context,
    /// Of a container that asks for nothing, as root.
    base: Confinement,
}

impl<'c> Conditions<'c> {
    pub(super) fn new(context: &'c Context) -> Conditions<'c> {
        Conditions { context, base: confined(context, |_| {}) }
    }

    pub(super) fn compile(&self, condition: &Condition, polarity: Polarity) -> Compiled {
        use Condition as C;
        let fields = |fields: &[Field]| Compiled::Formula(self.table(condition, polarity, fields));
        let probe = Probe { base: &self.base, counts: polarity.counts() };
        match condition {
            C::Root => fields(&[Field::Root]),
            C::HostIds | C::InitialUserNamespace | C::OwnUserNamespace | C::SameIds => {
                fields(&[Field::HostUsers])
            }
            C::Bounding(capability) => fields(&[Field::Privileged, Field::Capability(*capability)]),
            C::Usable(capability) => {
                fields(&[Field::Root, Field::Privileged, Field::Capability(*capability)])
            }
            C::Privileged | C::CgroupWritable => fields(&[Field::Privileged]),
            C::SharesHost(kind) => match kind {
                NamespaceKind::Pid => fields(&[Field::HostPid]),
                NamespaceKind::Ipc => fields(&[Field::HostIpc]),
                NamespaceKind::Net | NamespaceKind::Uts => fields(&[Field::HostNetwork]),
                NamespaceKind::Cgroup => fields(&[Field::Privileged]),
                NamespaceKind::Time => fields(&[]),
            },
            C::SharedSegment => fields(&[Field::HostNetwork]),
            C::HostKernel => fields(&[Field::Runtime]),
            C::Syscall(_) | C::SocketFamily(_) | C::NewUserNamespace | C::CompatSyscalls => {
                let mut deciding = vec![Field::Privileged, Field::Seccomp];
                deciding.extend(self.opened_by(condition).into_iter().map(Field::Capability));
                fields(&deciding)
            }
            C::SeccompOff => fields(&[Field::Privileged, Field::Seccomp]),
            C::Lsm(_) => Compiled::Formula(self.lsm(condition, polarity)),
            C::Mounts { class, write } => {
                let write = if *write { "Write" } else { "" };
                shown(probe.by_path(condition, &format!("mounts{}{write}", camel(class))))
            }
            C::DeviceNode(class) => self.beside(
                condition,
                polarity,
                &[Field::Privileged],
                probe.by_path(condition, &format!("device{}", camel(class))),
            ),
            C::GpuDevice => Compiled::NotSaid("devices of a vendor are handed out by resources of any name"),
            C::DeviceCgroup { .. } => fields(&[Field::Privileged]),
            C::KernelInterface(name) => {
                let Some((_, file)) = KERNEL_INTERFACES.iter().find(|(n, _)| n == name) else {
                    return Compiled::NotSaid("no such interface");
                };
                let mounted = probe.by_file(condition, file, &format!("writes{}", camel(name)));
                self.beside(condition, polarity, &[Field::Privileged, Field::ProcMount], mounted)
            }
            C::Unmasked(name) => {
                let Some((_, file)) = MASKABLE.iter().find(|(n, _)| n == name) else {
                    return Compiled::NotSaid("no such file");
                };
                let mounted = probe.by_file(condition, file, &format!("shows{}", camel(name)));
                self.beside(condition, polarity, &[Field::Privileged, Field::ProcMount], mounted)
            }
            C::SharedPropagation => shown(probe.propagation(condition)),
            C::HostBackedMount { .. } => {
                // Without this the files that the engine itself binds would answer for every mount.
                let bare = confined(self.context, |request| request.attached = known(false));
                let probe = Probe { base: &bare, counts: polarity.counts() };
                self.beside(condition, polarity, &[Field::ReadOnlyRoot], probe.backed(condition))
            }
            C::Owns(class) => {
                let not_root = confined(self.context, |request| request.user = known(Arc::from("1000")));
                shown(probe.owned(condition, class, &not_root))
            }
            C::InGroup(_) => {
                // Whether a number is that group's only the host knows.
                Compiled::Formula(if (polarity.counts())(Truth::Unknown) {
                    Formula::of(Field::Group, YES)
                } else {
                    Formula::never()
                })
            }
            C::ControlApiGiven => Compiled::Wider(
                Formula::of(Field::EngineAddress, YES),
                "of several addresses of an engine the last counts, here each",
            ),
            C::Unlimited(Limit::Memory) => fields(&[Field::MemoryLimit]),
            C::Unlimited(Limit::Cpu) => fields(&[Field::CpuLimit]),
            C::WritableRootfs => fields(&[Field::ReadOnlyRoot]),
            C::ServiceAccountToken => {
                Compiled::NotSaid("the service account decides whether its token is mounted")
            }
            C::Grants { .. } => Compiled::NotSaid(RBAC),
            C::SharesContainer(_) | C::WritableSharedMount => Compiled::NotSaid(OTHERS),
            C::HostProcessOfSameUser => Compiled::NotSaid(HOST_PROCESSES),
            C::WritableHostMount(_) => Compiled::NotSaid("it wants a helper on the host"),
            C::SetsHostSysctl => Compiled::NotSaid("sysctls are judged by their names and namespaces"),
            C::ImageUnpinned => Compiled::NotSaid("ask for digests with `require: {images: {digest: true}}`"),
            C::PrivilegesCanRise => Compiled::NotSaid("it counts beside facts of the image"),
            // Nothing that a pod says decides these.
            C::Inheritable
            | C::SetuidPrograms
            | C::UserNamespacesEnabled
            | C::CgroupVersion(_)
            | C::Sysctl { .. }
            | C::Kernel { .. }
            | C::LockdownBelow(_)
            | C::ModulesLoadable
            | C::KernelOption(_)
            | C::LocalUser
            | C::CloudMetadata
            | C::Listener { .. }
            | C::EngineTcp { .. }
            | C::NetworkAttached
            | C::Unlimited(Limit::Pids)
            | C::ImageSecret
            | C::CgroupParent
            | C::Flaw(_)
            | C::EngineUser
            | C::HostAccomplice
            | C::ImageUntrusted
            | C::UnderKubelet
            | C::RunsUnder(_)
            | C::ModuleAvailable(_) => fields(&[]),
        }
    }

    /// What a condition comes to that no field decides.
    pub(super) fn constant(&self, condition: &Condition) -> Truth {
        condition.check(&self.base, &Filter::of(&self.base), &mut ())
    }

    fn ask(&self, condition: &Condition, fields: &[Field], values: &[usize]) -> Truth {
        let confinement = confined(self.context, |request| {
            for (field, value) in fields.iter().zip(values) {
                field.ask(*value, request);
            }
        });
        condition.check(&confinement, &Filter::of(&confinement), &mut ())
    }

    fn table(&self, condition: &Condition, polarity: Polarity, fields: &[Field]) -> Formula {
        let counts = polarity.counts();
        Formula::table(fields, |values| counts(self.ask(condition, fields, values)))
    }

    /// By fields, or by what a mount shows.
    fn beside(
        &self,
        condition: &Condition,
        polarity: Polarity,
        fields: &[Field],
        mounted: Shown,
    ) -> Compiled {
        let own = self.table(condition, polarity, fields);
        Compiled::Formula(if mounted.is_never() {
            own
        } else {
            own.or(&Formula::of(Field::Mount(mounted), YES))
        })
    }

    /// Capabilities with which the engine's filter permits what it denies without them, or the other way.
    fn opened_by(&self, condition: &Condition) -> Vec<Capability> {
        let builtin = [Field::Seccomp];
        let with = |capability: Option<(Capability, usize)>| {
            let mut fields = builtin.to_vec();
            let mut values = vec![2];
            if let Some((capability, value)) = capability {
                fields.push(Field::Capability(capability));
                values.push(value);
            }
            self.ask(condition, &fields, &values)
        };
        let plain = with(None);
        let matters = |c: &&Capability| (0..2).any(|value| with(Some((**c, value))) != plain);
        Capability::ALL.iter().filter(matters).copied().collect()
    }

    /// AppArmor and SELinux: by what is asked of them, and what lifts them.
    fn lsm(&self, condition: &Condition, polarity: Polarity) -> Formula {
        let mut fields = vec![Field::Privileged, Field::AppArmor, Field::SeLinux];
        if self.context.kubernetes.kind == EngineKind::Crio {
            fields.extend([Field::HostPid, Field::HostIpc, Field::HostNetwork]);
        }
        let own = self.table(condition, polarity, &fields);
        // The profile knows the container's own /proc and /sys by their paths.
        let elsewhere = Field::Mount(Probe::elsewhere());
        let mount =
            confinement::Mount::bind(confinement::HostPath::new("/"), "/not-known", false, Origin::Nowhere);
        let counts = polarity.counts();
        let through = Formula::table(&fields, |values| {
            let mut confinement = confined(self.context, |request| {
                for (field, value) in fields.iter().zip(values) {
                    field.ask(*value, request);
                }
            });
            confinement.mounts.push(mount.clone());
            counts(condition.check(&confinement, &Filter::unasked(), &mut ()))
        });
        if through == own {
            return own;
        }
        match through.and(&Formula::of(elsewhere, YES)) {
            Some(through) => own.or(&through),
            None => own,
        }
    }
}

/// The second of two values.
pub(super) const YES: u8 = 0b10;

fn shown(shown: Shown) -> Compiled {
    Compiled::Formula(if shown.is_never() { Formula::never() } else { Formula::of(Field::Mount(shown), YES) })
}

fn known<T>(value: T) -> Option<Fact<T>> {
    Some(Fact::known(value, Origin::Nowhere))
}

/// What the engine makes of a container of a pod that asks for nothing, but for what `ask` adds.
fn confined(context: &Context, ask: impl FnOnce(&mut Request)) -> Confinement {
    let account = ServiceAccount {
        namespace: "default".into(),
        name: "default".into(),
        token_mounted: Fact::known(true, Origin::Nowhere),
        grants: Fact::unknown(Origin::Nowhere),
    };
    let mut request = Request {
        image: known("image".into()),
        user: known("0".into()),
        service_account: Some(account),
        ..Request::default()
    };
    ask(&mut request);
    confine(&request, &context.kubernetes, &context.host)
}
