// The oracle of the test beside it: decodes bodies with encoding/json, as the Docker daemon does, and says what came out.
//
// Standard input, a line each: `shape JSON` sets the type to decode into, made of a description of it; `create` sets the
// type of the body of POST /containers/create; `body HEX` decodes. Each answer is one line: `ok JSON`, `syntax WHY` or
// `type WHY`. Only the standard library is used.
package main

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"reflect"
	"strings"
)

// StrSlice is one text or a list of them, with the decoder that moby gives it (api/types/strslice/strslice.go).
type StrSlice []string

func (e *StrSlice) UnmarshalJSON(b []byte) error {
	if len(b) == 0 {
		return nil
	}
	p := make([]string, 0, 1)
	if err := json.Unmarshal(b, &p); err != nil {
		var s string
		if err := json.Unmarshal(b, &s); err != nil {
			return err
		}
		p = append(p, s)
	}
	*e = p
	return nil
}

// What moby 20.10 decodes the body of POST /containers/create into: runconfig/config_unix.go (ContainerConfigWrapper),
// api/types/container/{config,host_config}.go, api/types/mount/mount.go, api/types/network/network.go. Field names are those
// of the tags, and types those of Go, with named types of no decoder of their own written as what they are. Keys that are
// newer or older are marked.
type wrapper struct {
	*Config
	InnerHostConfig  *HostConfig `json:"HostConfig,omitempty"`
	Cpuset           string      `json:",omitempty"`
	NetworkingConfig *struct {
		EndpointsConfig map[string]*endpoint
	} `json:"NetworkingConfig,omitempty"`
	*HostConfig
}

type endpoint struct {
	IPAMConfig *struct {
		IPv4Address  string
		IPv6Address  string
		LinkLocalIPs []string
	}
	Links               []string
	Aliases             []string
	NetworkID           string
	EndpointID          string
	Gateway             string
	IPAddress           string
	IPPrefixLen         int
	IPv6Gateway         string
	GlobalIPv6Address   string
	GlobalIPv6PrefixLen int
	MacAddress          string
	DriverOpts          map[string]string
}

type Config struct {
	Hostname     string
	Domainname   string
	User         string
	AttachStdin  bool
	AttachStdout bool
	AttachStderr bool
	ExposedPorts map[string]struct{}
	Tty          bool
	OpenStdin    bool
	StdinOnce    bool
	Env          []string
	Cmd          StrSlice
	Healthcheck  *struct {
		Test        []string
		Interval    int64
		Timeout     int64
		StartPeriod int64
		Retries     int
	}
	ArgsEscaped     bool
	Image           string
	Volumes         map[string]struct{}
	WorkingDir      string
	Entrypoint      StrSlice
	NetworkDisabled bool
	MacAddress      string
	OnBuild         []string
	Labels          map[string]string
	StopSignal      string
	StopTimeout     *int
	Shell           StrSlice
}

type HostConfig struct {
	Binds           []string
	ContainerIDFile string
	LogConfig       struct {
		Type   string
		Config map[string]string
	}
	NetworkMode  string
	PortBindings map[string][]struct {
		HostIP   string `json:"HostIp"`
		HostPort string
	}
	RestartPolicy struct {
		Name              string
		MaximumRetryCount int
	}
	AutoRemove      bool
	VolumeDriver    string
	VolumesFrom     []string
	CapAdd          StrSlice
	CapDrop         StrSlice
	CgroupnsMode    string
	DNS             []string `json:"Dns"`
	DNSOptions      []string `json:"DnsOptions"`
	DNSSearch       []string `json:"DnsSearch"`
	ExtraHosts      []string
	GroupAdd        []string
	IpcMode         string
	Cgroup          string
	Links           []string
	OomScoreAdj     int
	PidMode         string
	Privileged      bool
	PublishAllPorts bool
	ReadonlyRootfs  bool
	SecurityOpt     []string
	StorageOpt      map[string]string
	Tmpfs           map[string]string
	UTSMode         string
	UsernsMode      string
	ShmSize         int64
	Sysctls         map[string]string
	Runtime         string
	ConsoleSize     [2]uint
	Isolation       string
	Resources
	Mounts        []mount
	MaskedPaths   []string
	ReadonlyPaths []string
	Init          *bool
	Annotations   map[string]string // API 1.43
	Capabilities  StrSlice          // before Docker 20.10
}

type weight struct {
	Path   string
	Weight uint16
}

type throttle struct {
	Path string
	Rate uint64
}

type Resources struct {
	CPUShares            int64 `json:"CpuShares"`
	Memory               int64
	NanoCPUs             int64 `json:"NanoCpus"`
	CgroupParent         string
	BlkioWeight          uint16
	BlkioWeightDevice    []*weight
	BlkioDeviceReadBps   []*throttle
	BlkioDeviceWriteBps  []*throttle
	BlkioDeviceReadIOps  []*throttle
	BlkioDeviceWriteIOps []*throttle
	CPUPeriod            int64 `json:"CpuPeriod"`
	CPUQuota             int64 `json:"CpuQuota"`
	CPURealtimePeriod    int64 `json:"CpuRealtimePeriod"`
	CPURealtimeRuntime   int64 `json:"CpuRealtimeRuntime"`
	CpusetCpus           string
	CpusetMems           string
	Devices              []struct {
		PathOnHost        string
		PathInContainer   string
		CgroupPermissions string
	}
	DeviceCgroupRules []string
	DeviceRequests    []struct {
		Driver       string
		Count        int
		DeviceIDs    []string
		Capabilities [][]string
		Options      map[string]string
	}
	KernelMemory      int64
	KernelMemoryTCP   int64
	MemoryReservation int64
	MemorySwap        int64
	MemorySwappiness  *int64
	OomKillDisable    *bool
	PidsLimit         *int64
	Ulimits           []*struct {
		Name string
		Hard int64
		Soft int64
	}
	CPUCount           int64 `json:"CpuCount"`
	CPUPercent         int64 `json:"CpuPercent"`
	IOMaximumIOps      uint64
	IOMaximumBandwidth uint64
}

type mount struct {
	Type        string
	Source      string
	Target      string
	ReadOnly    bool
	Consistency string
	BindOptions *struct {
		Propagation            string
		NonRecursive           bool
		CreateMountpoint       bool // API 1.42
		ReadOnlyNonRecursive   bool // API 1.44
		ReadOnlyForceRecursive bool // API 1.44
	}
	VolumeOptions *struct {
		NoCopy       bool
		Labels       map[string]string
		Subpath      string // API 1.45
		DriverConfig *struct {
			Name    string
			Options map[string]string
		}
	}
	TmpfsOptions *struct {
		SizeBytes int64
		Mode      uint32
	}
	ImageOptions *struct { // API 1.48
		Subpath string
	}
	ClusterOptions *struct{} // API 1.42
}

// shape describes a type: its kind, its fields by the names of their tags, or what it holds.
type shape struct {
	Kind   string
	Names  []string
	Shapes []shape
}

func (s shape) inner() reflect.Type { return s.Shapes[0].goType() }

func (s shape) goType() reflect.Type {
	switch s.Kind {
	case "struct":
		fields := make([]reflect.StructField, len(s.Names))
		for i, name := range s.Names {
			fields[i] = reflect.StructField{
				Name: fmt.Sprintf("F%d", i),
				Type: s.Shapes[i].goType(),
				Tag:  reflect.StructTag(fmt.Sprintf("json:%q", name)),
			}
		}
		return reflect.StructOf(fields)
	case "pointer":
		return reflect.PointerTo(s.inner())
	case "slice":
		return reflect.SliceOf(s.inner())
	case "map":
		return reflect.MapOf(reflect.TypeOf(""), s.inner())
	case "text":
		return reflect.TypeOf("")
	case "number":
		return reflect.TypeOf(int64(0))
	case "bool":
		return reflect.TypeOf(false)
	case "any":
		return reflect.TypeOf((*any)(nil)).Elem()
	case "text-or-list":
		return reflect.TypeOf(StrSlice(nil))
	}
	panic("no such kind: " + s.Kind)
}

func decode(body []byte, into reflect.Type) string {
	value := reflect.New(into)
	if err := json.NewDecoder(bytes.NewReader(body)).Decode(value.Interface()); err != nil {
		var syntax *json.SyntaxError
		if errors.As(err, &syntax) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return fmt.Sprintf("syntax %q", err)
		}
		return fmt.Sprintf("type %q", err)
	}
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(value.Elem().Interface()); err != nil {
		panic(err)
	}
	return "ok " + strings.TrimSuffix(out.String(), "\n")
}

// names lists the keys of the type of a create body, so that none is forgotten.
func names(t reflect.Type, prefix string) (all []string) {
	for t.Kind() == reflect.Pointer || t.Kind() == reflect.Slice {
		t = t.Elem()
	}
	if t.Kind() != reflect.Struct {
		return nil
	}
	for i := 0; i < t.NumField(); i++ {
		field := t.Field(i)
		if field.Anonymous {
			all = append(all, names(field.Type, prefix)...)
			continue
		}
		name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
		if name == "" {
			name = field.Name
		}
		all = append(all, prefix+name)
		all = append(all, names(field.Type, prefix+name+".")...)
	}
	return all
}

func main() {
	in := bufio.NewReaderSize(os.Stdin, 1<<20)
	out := bufio.NewWriter(os.Stdout)
	into := reflect.TypeOf(wrapper{})
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			return
		}
		word, rest, _ := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
		answer := "ok"
		switch word {
		case "create":
			into = reflect.TypeOf(wrapper{})
			answer = "ok " + strings.Join(names(into, ""), " ")
		case "shape":
			var described shape
			if err := json.Unmarshal([]byte(rest), &described); err != nil {
				panic(err)
			}
			into = described.goType()
		case "body":
			body, err := hex.DecodeString(rest)
			if err != nil {
				panic(err)
			}
			answer = decode(body, into)
		default:
			panic("no such word: " + word)
		}
		fmt.Fprintln(out, answer)
		out.Flush()
	}
}
