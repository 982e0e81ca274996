//! Sockets: control interfaces of engines and hosts, other machines' services, families that reach the kernel.

use libc::*;

use super::{
    Argument, Attempt, CONNECTED_AND_CLOSED, NONE, NULL, STAYS_HERE, ZERO, call, internet, own, unix,
};
use crate::perform::steps;

/// No socket type has this number (SOCK_MAX is 11; SOCK_TYPE_MASK is 15).
const NO_TYPE: Argument = Argument::Int(15);
const TYPE_FIRST: &str =
    "__sock_create(): a type of socket that does not exist is refused before a module is loaded";

pub(super) static ROWS: &[Attempt] = &[
    Attempt {
        name: "docker-socket",
        techniques: &["engine-api"],
        harmless: CONNECTED_AND_CLOSED,
        steps: &[unix("/run/docker.sock")],
    },
    Attempt {
        name: "engine-sockets",
        techniques: &["engine-api"],
        harmless: CONNECTED_AND_CLOSED,
        steps: &[
            unix("/run/containerd/containerd.sock"),
            unix("/run/crio/crio.sock"),
            unix("/run/podman/podman.sock"),
            unix("/run/buildkit/buildkitd.sock"),
            unix("/run/cri-dockerd.sock"),
            unix("/run/k3s/containerd/containerd.sock"),
        ],
    },
    Attempt {
        name: "kubelet-sockets",
        techniques: &["root-daemon-api"],
        harmless: CONNECTED_AND_CLOSED,
        steps: &[
            unix("/var/lib/kubelet/device-plugins/kubelet.sock"),
            unix("/var/lib/kubelet/pod-resources/kubelet.sock"),
        ],
    },
    Attempt {
        name: "rootless-engine-socket",
        techniques: &["rootless-engine-api"],
        harmless: CONNECTED_AND_CLOSED,
        steps: &[unix("/run/user/1000/docker.sock"), unix("/run/user/1000/podman/podman.sock")],
    },
    Attempt {
        name: "service-manager-socket",
        techniques: &["host-service-manager"],
        harmless: CONNECTED_AND_CLOSED,
        steps: &[unix("/run/systemd/private"), unix("/run/dbus/system_bus_socket")],
    },
    Attempt {
        name: "root-daemon-socket",
        techniques: &["root-daemon-api"],
        harmless: CONNECTED_AND_CLOSED,
        steps: &[
            unix("/run/snapd.socket"),
            unix("/run/libvirt/libvirt-sock"),
            unix("/var/snap/lxd/common/lxd/unix.socket"),
        ],
    },
    Attempt {
        name: "agent-socket",
        techniques: &["person-agent"],
        harmless: CONNECTED_AND_CLOSED,
        steps: &[unix("/tmp/ssh-provoke/agent.1"), unix("/run/user/1000/gnupg/S.gpg-agent")],
    },
    Attempt {
        name: "display-socket",
        techniques: &["person-display"],
        harmless: CONNECTED_AND_CLOSED,
        steps: &[unix("/tmp/.X11-unix/X0"), unix("/run/user/1000/wayland-0")],
    },
    Attempt {
        name: "abstract-socket",
        techniques: &["host-abstract-socket"],
        harmless: "nobody listens on the name",
        steps: &[unix("@/containerd-shim/provoke-none.sock")],
    },
    Attempt {
        name: "engine-port",
        techniques: &["engine-api-tcp", "engine-api-loopback", "engine-api-given"],
        harmless: STAYS_HERE,
        steps: &[internet("127.0.0.1", 2375), internet("127.0.0.1", 2376)],
    },
    Attempt {
        name: "kubelet-port",
        techniques: &[
            "kubelet-api",
            "kubelet-api-loopback",
            "kubelet-api-by-grant",
            "kubelet-read-only-port",
        ],
        harmless: STAYS_HERE,
        steps: &[internet("127.0.0.1", 10250), internet("127.0.0.1", 10255)],
    },
    Attempt {
        name: "etcd-port",
        techniques: &["etcd-api", "etcd-api-loopback"],
        harmless: STAYS_HERE,
        steps: &[internet("127.0.0.1", 2379)],
    },
    Attempt {
        name: "api-server",
        techniques: &["create-pods", "exec-into-pods", "read-secrets"],
        harmless: STAYS_HERE,
        steps: &[internet("127.0.0.1", 6443), internet("10.96.0.1", 443)],
    },
    Attempt {
        name: "cloud-metadata",
        techniques: &["cloud-metadata"],
        harmless: STAYS_HERE,
        steps: &[
            internet("169.254.169.254", 80),
            internet("100.100.100.200", 80),
            internet("168.63.129.16", 80),
            internet("fd00:ec2::254", 80),
        ],
    },
    Attempt {
        name: "packet-socket",
        techniques: &["link-layer-access", "sniff-host-network"],
        harmless: TYPE_FIRST,
        steps: &[call(
            "socket(AF_PACKET, 15, 0)",
            SYS_socket,
            &[Argument::Int(AF_PACKET as i64), NO_TYPE, ZERO],
        )],
    },
    Attempt {
        name: "raw-socket",
        techniques: &["link-layer-access"],
        harmless: "inet_create(): a protocol above the last is refused first",
        steps: &[call(
            "socket(AF_INET, SOCK_RAW, ~0)",
            SYS_socket,
            &[Argument::Int(AF_INET as i64), Argument::Int(SOCK_RAW as i64), NONE],
        )],
    },
    Attempt {
        name: "crypto-socket",
        techniques: &["crypto-sockets"],
        harmless: TYPE_FIRST,
        steps: &[call("socket(AF_ALG, 15, 0)", SYS_socket, &[Argument::Int(AF_ALG as i64), NO_TYPE, ZERO])],
    },
    Attempt {
        name: "vsock",
        techniques: &["vsock"],
        harmless: TYPE_FIRST,
        steps: &[call(
            "socket(AF_VSOCK, 15, 0)",
            SYS_socket,
            &[Argument::Int(AF_VSOCK as i64), NO_TYPE, ZERO],
        )],
    },
    Attempt {
        name: "network-administration",
        techniques: &["network-administration", "control-host-network"],
        harmless: "netlink_rcv_skb(): a message that is longer than what was sent is dropped",
        steps: &[own("sendto(NETLINK_ROUTE, RTM_NEWROUTE, torn)", |_| steps::torn_route_message())],
    },
    Attempt {
        name: "interface-flags",
        techniques: &["control-host-network"],
        harmless: "the request cannot be read",
        steps: &[own("ioctl(socket, SIOCSIFFLAGS, NULL)", |_| steps::set_no_interface())],
    },
    Attempt {
        name: "shared-memory",
        techniques: &["shared-ipc-namespace", "host-ipc"],
        harmless: "no segment has the number -1; the key is asked for without IPC_CREAT",
        steps: &[
            call("shmat(-1, NULL, 0)", SYS_shmat, &[NONE, NULL, ZERO]),
            call(
                "shmget(0x70726f76, 1, 0)",
                SYS_shmget,
                &[Argument::Int(0x7072_6f76), Argument::Int(1), ZERO],
            ),
        ],
    },
    Attempt {
        name: "passed-descriptor",
        techniques: &[],
        harmless: "a descriptor of its own file, sent to itself",
        steps: &[own("sendmsg and recvmsg with SCM_RIGHTS", steps::pass_a_descriptor)],
    },
];
