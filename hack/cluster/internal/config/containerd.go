// SPDX-License-Identifier: Apache-2.0

package config

import "github.com/foyer-matrix/foyer/hack/cluster/internal/layout"

// The images that the cluster itself needs; this module builds them.
const (
	PauseImage   = "cluster.foyer.localhost/pause:dev"
	BusyboxImage = "cluster.foyer.localhost/busybox:dev"
)

// CNIPlugins is where Debian's package containernetworking-plugins puts them.
const CNIPlugins = "/usr/lib/cni"

// Containerd keeps everything of containerd below the state folder, so that it
// runs beside another containerd or Docker.
func Containerd(dirs layout.Dirs, options Options) Object {
	runc := Object{
		"runtime_type": "io.containerd.runc.v2",
		"options":      Object{"SystemdCgroup": false, "Root": dirs.Run("runc")},
	}
	cri := Object{
		"sandbox_image":                       PauseImage,
		"restrict_oom_score_adj":              options.RestrictOOMScore,
		"netns_mounts_under_state_dir":        true,
		"stream_server_address":               "127.0.0.1",
		"stream_server_port":                  "0",
		"disable_hugetlb_controller":          true,
		"tolerate_missing_hugetlb_controller": true,
		"containerd": Object{
			"snapshotter":          "overlayfs",
			"default_runtime_name": "runc",
			"runtimes":             Object{"runc": runc},
		},
		"cni": Object{"bin_dir": CNIPlugins, "conf_dir": dirs.Config("cni")},
	}
	return Object{
		"version": 2,
		"root":    dirs.Data("containerd"),
		"state":   dirs.Run("containerd"),
		"grpc":    Object{"address": dirs.ContainerdSocket()},
		// Unused here; some refuse to start where their tools are missing.
		"disabled_plugins": []string{
			"io.containerd.snapshotter.v1.aufs", "io.containerd.snapshotter.v1.btrfs",
			"io.containerd.snapshotter.v1.devmapper", "io.containerd.snapshotter.v1.zfs",
			"io.containerd.internal.v1.opt",
		},
		"plugins": Object{"io.containerd.grpc.v1.cri": cri},
	}
}

// CNI joins the pods to one bridge in the node's network namespace. It does not
// enforce NetworkPolicies.
func CNI(dirs layout.Dirs) Object {
	return Object{
		"cniVersion": "0.4.0",
		"name":       layout.CNINetwork,
		"plugins": []Object{
			{
				"type":      "bridge",
				"bridge":    layout.PodBridge,
				"isGateway": true,
				"ipMasq":    false,
				// A pod may reach itself by its Service; excludes promiscMode.
				"hairpinMode": true,
				"ipam": Object{
					"type":    "host-local",
					"ranges":  [][]Object{{{"subnet": layout.PodRange.String()}}},
					"routes":  []Object{{"dst": "0.0.0.0/0"}},
					"dataDir": dirs.Run("cni"),
				},
			},
			{"type": "portmap", "capabilities": Object{"portMappings": true}},
		},
	}
}
