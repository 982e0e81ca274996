package main

warn contains msg if {
	input.confinement.limits.memory == "unlimited"
	msg := sprintf("%s has no limit of memory", [input.subject.name])
}

deny_devices contains msg if {
	some node in input.confinement.devices.nodes
	not startswith(node.path, "/dev/net/")
	msg := sprintf("%s gets the device %s", [input.subject.name, node.path])
}
