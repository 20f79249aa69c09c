// SPDX-License-Identifier: Apache-2.0

package config

import (
	"fmt"

	"github.com/foyer-matrix/foyer/hack/cluster/internal/layout"
	"github.com/foyer-matrix/foyer/hack/cluster/internal/pki"
)

// Server is the API server's URL.
var Server = fmt.Sprintf("https://%s", layout.NodePort(layout.APIPort))

// Kubeconfig is one user's way to the API server.
func Kubeconfig(dirs layout.Dirs, user pki.User) Object {
	const name = "foyer-cluster"
	return Object{
		"apiVersion": "v1",
		"kind":       "Config",
		"clusters": []Object{{"name": name, "cluster": Object{
			"server": Server, "certificate-authority": dirs.PKI(pki.ClusterCA + ".crt"),
		}}},
		"users": []Object{{"name": user.File, "user": Object{
			"client-certificate": dirs.PKI(user.File + ".crt"), "client-key": dirs.PKI(user.File + ".key"),
		}}},
		"contexts":        []Object{{"name": name, "context": Object{"cluster": name, "user": user.File}}},
		"current-context": name,
	}
}

// Kubelet suits a small machine with a nearly full disk, beside another kubelet.
func Kubelet(dirs layout.Dirs) Object {
	return Object{
		"apiVersion":               "kubelet.config.k8s.io/v1beta1",
		"kind":                     "KubeletConfiguration",
		"address":                  layout.NodeAddress.String(),
		"port":                     layout.KubeletPort,
		"healthzBindAddress":       layout.NodeAddress.String(),
		"healthzPort":              layout.KubeletHealthPort,
		"tlsCertFile":              dirs.PKI(pki.NodeServing + ".crt"),
		"tlsPrivateKeyFile":        dirs.PKI(pki.NodeServing + ".key"),
		"authentication":           Object{"x509": Object{"clientCAFile": dirs.PKI(pki.ClusterCA + ".crt")}, "anonymous": Object{"enabled": false}},
		"cgroupDriver":             "cgroupfs",
		"cgroupRoot":               "/" + layout.Cgroup,
		"clusterDNS":               []string{layout.DNSAddress.String()},
		"clusterDomain":            layout.ClusterDomain,
		"containerRuntimeEndpoint": "unix://" + dirs.ContainerdSocket(),
		"enforceNodeAllocatable":   []string{},
		"failSwapOn":               false,
		"evictionHard":             Object{"memory.available": "50Mi", "nodefs.available": "1%", "imagefs.available": "1%"},
		// Imported images cannot be pulled again, so none is ever collected.
		"imageGCHighThresholdPercent": 100,
		"imageGCLowThresholdPercent":  99,
		"podLogsDir":                  dirs.Log("pods"),
		"resolvConf":                  dirs.Config("resolv.conf"),
		"volumePluginDir":             dirs.Data("kubelet", "volume-plugins"),
		"syncFrequency":               "10s",
		"nodeStatusUpdateFrequency":   "5s",
		"maxPods":                     200,
	}
}

// KubeProxy leaves alone what only the machine's own network namespace may set.
func KubeProxy(dirs layout.Dirs) Object {
	return Object{
		"apiVersion":         "kubeproxy.config.k8s.io/v1alpha1",
		"kind":               "KubeProxyConfiguration",
		"mode":               "iptables",
		"clientConnection":   Object{"kubeconfig": dirs.Config("kube-proxy.kubeconfig")},
		"hostnameOverride":   layout.NodeName,
		"clusterCIDR":        layout.PodRange.String(),
		"bindAddress":        layout.NodeAddress.String(),
		"healthzBindAddress": layout.NodePort(layout.ProxyHealthPort),
		"metricsBindAddress": layout.NodePort(layout.ProxyMetricsPort),
		"conntrack": Object{
			"maxPerCore": 0, "min": 0, "tcpEstablishedTimeout": "0s", "tcpCloseWaitTimeout": "0s",
		},
		"iptables": Object{"localhostNodePorts": false, "minSyncPeriod": "100ms", "syncPeriod": "30s"},
	}
}
